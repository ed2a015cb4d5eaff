//! Which object an SQS message is about: EventBridge's `Object Created` event of S3.
//!
//! Source: S3's user guide, "EventBridge event message structure".

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::json;

use crate::core::{
    lake::{Prefix, Table},
    schema::Schemas,
};

/// S3's limit. Nothing longer gets into a log line.
const MAX_KEY_BYTES: usize = 1024;

const SOURCE: &str = "aws.s3";
const DETAIL_TYPE: &str = "Object Created";

/// The reasons of an event about an object that somebody put, and did not copy or restore.
const PUT_REASONS: [&str; 2] = ["PutObject", "CompleteMultipartUpload"];

/// Why a message is not about an object of the lake. A later attempt does not change that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum EventError {
    /// The body is something else.
    #[error("its body is not an Object Created event of S3")]
    NotAnEvent,
    /// The bucket is another.
    #[error("its object is in another bucket than LAKE_BUCKET")]
    OtherBucket,
    /// The object is not a part of a table.
    #[error("its object is not under LAKE_PREFIX in a table of this lake")]
    OtherKey,
}

/// An object that S3 says it has created.
#[derive(Debug)]
pub(super) struct CreatedObject {
    bucket: String,
    /// The key, decoded.
    pub(super) key: String,
    /// The size in bytes, as far as the event names it.
    pub(super) size: usize,
    /// Whether somebody put it there. Objects that are copied in place or restored are not new.
    pub(super) is_new: bool,
}

/// Where an object of the lake stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The table.
    pub(super) table: Table<'a>,
    /// The day of the partition, `YYYY-MM-DD`.
    pub(super) day: &'a str,
    /// The id in the object's name: the row id of its only record.
    pub(super) id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Event {
    source: String,
    detail_type: String,
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    bucket: Bucket,
    object: Object,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
    #[serde(default)]
    size: usize,
}

impl CreatedObject {
    /// Reads the body of a message.
    ///
    /// EventBridge has the key as it is, and S3's own notifications encode it. Decoding does no harm, because no key of
    /// the lake has a `%`.
    pub(super) fn open(body: &str) -> Result<Self, EventError> {
        let event: Event = serde_json::from_str(body).map_err(|_| EventError::NotAnEvent)?;
        if event.source != SOURCE || event.detail_type != DETAIL_TYPE {
            return Err(EventError::NotAnEvent);
        }
        let Detail { bucket, object, reason } = event.detail;
        let key = percent_decode_str(&object.key).decode_utf8().map_err(|_| EventError::OtherKey)?.into_owned();
        if key.len() > MAX_KEY_BYTES {
            return Err(EventError::OtherKey);
        }
        let is_new = reason.is_none_or(|reason| PUT_REASONS.contains(&reason.as_str()));
        Ok(Self { bucket: bucket.name, key, size: object.size, is_new })
    }

    /// An object that a list of the bucket names.
    pub(super) fn listed(bucket: &str, key: &str, size: usize) -> Self {
        Self { bucket: bucket.to_owned(), key: key.to_owned(), size, is_new: true }
    }

    /// The body of a message about it, as S3's event would make it.
    pub(super) fn message(&self) -> String {
        json!({
            "version": "0",
            "source": SOURCE,
            "detail-type": DETAIL_TYPE,
            "detail": {
                "version": "0",
                "bucket": {"name": self.bucket},
                "object": {"key": self.key, "size": self.size},
                "reason": PUT_REASONS[0],
            },
        })
        .to_string()
    }

    /// Where it stands in the lake of `bucket`.
    pub(super) fn place<'a>(
        &'a self,
        bucket: &str,
        prefix: &Prefix,
        schemas: &'a Schemas,
    ) -> Result<Place<'a>, EventError> {
        if self.bucket != bucket {
            return Err(EventError::OtherBucket);
        }
        let tables = schemas.iter().map(Table::LogType).chain([Table::Failures]);
        let mut rest_of = tables.filter_map(|table| Some((table, self.key.strip_prefix(&table.folder(prefix))?)));
        let (table, rest) = rest_of.next().ok_or(EventError::OtherKey)?;
        let (day, id) = day_and_id(rest).ok_or(EventError::OtherKey)?;
        Ok(Place { table, day, id })
    }
}

/// The day and the id of `day=YYYY-MM-DD/hour=HH/{time}-{id}.json`.
fn day_and_id(rest: &str) -> Option<(&str, &str)> {
    let (day, rest) = rest.strip_prefix("day=")?.split_once('/')?;
    let (hour, name) = rest.strip_prefix("hour=")?.split_once('/')?;
    let is_date = day.len() == 10 && day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let is_hour = hour.len() == 2 && hour.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let name = name.strip_suffix(".json").filter(|name| name.bytes().all(is_name))?;
    let id = name.rsplit_once('-').map_or(name, |(_, id)| id);
    (is_date && is_hour).then_some((day, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(bucket: &str, key: &str) -> String {
        let object = json!({"key": key, "size": 1234, "etag": "e", "sequencer": "1"});
        json!({
            "version": "0", "detail-type": "Object Created", "source": "aws.s3", "account": "123456789012",
            "detail": {"version": "0", "bucket": {"name": bucket}, "object": object, "reason": "PutObject"},
        })
        .to_string()
    }

    fn day_of(bucket: &str, key: &str) -> Result<(String, String), EventError> {
        let schemas = Schemas::embedded().unwrap();
        let object = CreatedObject::open(&body(bucket, key))?;
        let place = object.place("lake", &Prefix::new("logs").unwrap(), &schemas)?;
        Ok((place.table.name().to_owned(), place.day.to_owned()))
    }

    #[test]
    fn the_key_says_table_and_day() {
        let name = "day=2026-11-24/hour=10/20261124T100000Z-0123.json";
        let encoded = name.replace('=', "%3D").replace('/', "%2F");
        for (table, rest) in
            [("tracebit_alert", name), ("tracebit_healthcheck", &encoded), ("classification_failures", name)]
        {
            let found = day_of("lake", &format!("logs/{table}/{rest}"));
            assert_eq!(found, Ok((table.to_owned(), "2026-11-24".to_owned())));
        }
    }

    #[test]
    fn other_buckets_and_keys_are_refused() {
        let good = "logs/tracebit_alert/day=2026-11-24/hour=10/20261124T100000Z-0123.json";
        assert!(day_of("lake", good).is_ok());
        assert_eq!(day_of("other", good), Err(EventError::OtherBucket));
        for (from, to) in [
            ("logs/", ""),
            ("tracebit_alert", "notified"),
            ("tracebit_alert/", "tracebit_alert"),
            ("day=", "year="),
            ("2026-11-24", "today"),
            ("2026-11-24", "2026-11-2'"),
            ("2026-11-24", "2026-11-241"),
            ("hour=10/", ""),
            ("hour=10", "hour=1'"),
            ("hour=10", "hour=100"),
            (".json", ".gz"),
            ("0123", "a\nb"),
            ("0123", "%ff"),
            ("10/2", "10/x/2"),
            ("0123", &"0".repeat(MAX_KEY_BYTES + 1 - good.len() + "0123".len())),
        ] {
            assert_eq!(day_of("lake", &good.replace(from, to)), Err(EventError::OtherKey), "{from} {to}");
        }
        let longest = good.replace("0123", &"0".repeat(MAX_KEY_BYTES - good.len() + "0123".len()));
        assert!(day_of("lake", &longest).is_ok());
    }

    #[test]
    fn a_message_about_a_listed_object_is_read_as_the_event_is() {
        let key = "logs/tracebit_alert/day=2026-11-24/hour=10/20261124T100000Z-0123.json";
        let listed = CreatedObject::listed("lake", key, 1234);
        let opened = CreatedObject::open(&listed.message()).unwrap();
        let all = |object: CreatedObject| (object.bucket, object.key, object.size, object.is_new);
        assert_eq!(all(opened), all(listed));
    }

    #[test]
    fn only_an_object_that_was_put_is_new() {
        let put = body("lake", "k");
        for (reason, is_new) in [
            (r#""reason":"PutObject""#, true),
            (r#""reason":"CompleteMultipartUpload""#, true),
            (r#""reason":null"#, true),
            (r#""reasons":"CopyObject""#, true),
            (r#""reason":"CopyObject""#, false),
            (r#""reason":"RestoreObject""#, false),
        ] {
            let body = put.replace(r#""reason":"PutObject""#, reason);
            assert_eq!(CreatedObject::open(&body).unwrap().is_new, is_new, "{reason}");
        }
    }

    #[test]
    fn anything_else_is_not_an_event() {
        let good = body("lake", "k");
        for (from, to) in
            [("Object Created", "Object Deleted"), ("aws.s3", "aws.ec2"), ("\"key\"", "\"kex\""), ("{", "[")]
        {
            let error = CreatedObject::open(&good.replacen(from, to, 1)).unwrap_err();
            assert_eq!(error, EventError::NotAnEvent, "{from}");
        }
    }
}
