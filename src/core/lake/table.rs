//! Tables, and the keys of their objects:
//! `{prefix}{table}/day=YYYY-MM-DD/hour=HH/{YYYYMMDDTHHMMSSZ}-{id}.json`, all in UTC.
//!
//! Only the event time gets from a log into a key. Table names come from the schemas, and ids are digests.

use std::fmt;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Timelike as _, Utc};

use crate::core::{
    row_id::RowId,
    schema::{Schema, Schemas},
    time,
};

/// The table of classification failures.
pub const FAILURES_TABLE: &str = "classification_failures";

/// The first day that queries see. The partition projection in `template.yaml` starts there and ends tomorrow.
const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap();

/// The longest prefix, in bytes. A key has 1024 bytes at most (S3's limit), and the rest of it needs less than 224.
const MAX_PREFIX_BYTES: usize = 800;

/// The text before every key: nothing, or path segments that each end in `/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefix(String);

/// A prefix that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPrefix {
    /// It would make odd keys.
    #[error(
        "expected segments of letters, digits and ! _ . ' ( ) = - joined by single slashes, such as logs or \
         security/tracebit, {MAX_PREFIX_BYTES} characters at most"
    )]
    Segments,
    /// A folder such as `severity=all` looks like a partition, which hides the column of this name in every record.
    #[error("has a folder NAME=… whose NAME is a column of the lake's tables; choose another name")]
    Column,
}

/// The columns that no schema names, beside those that begin with `p_`.
const OTHER_COLUMNS: [&str; 6] = ["day", "hour", "error", "payload", "payload_encoding", "log_type"];

impl Prefix {
    /// Reads a prefix. `logs` and `logs/` mean the same. It may have the characters that S3's documentation calls safe
    /// and `=`, but not `*`, because that would be a wildcard in a policy that contains the prefix.
    ///
    /// # Errors
    /// If a segment is empty, `.` or `..`, has another character, or looks like a partition by a column of the lake.
    pub fn new(text: &str) -> Result<Self, BadPrefix> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"!_.'()=-".contains(&byte);
        let is_good = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_safe);
        if text.len() > MAX_PREFIX_BYTES || !text.split('/').all(is_good) {
            return Err(BadPrefix::Segments);
        }
        let mut partitions = text.split('/').filter_map(|segment| Some(segment.split_once('=')?.0));
        if partitions.any(is_column) { Err(BadPrefix::Column) } else { Ok(Self(format!("{text}/"))) }
    }

    /// The start of all keys in the folder `name`.
    #[must_use]
    pub fn folder(&self, name: &str) -> String {
        format!("{}{name}/", self.0)
    }
}

/// Whether a table has a column of this name. Engines compare names without case.
fn is_column(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let schemas = Schemas::embedded();
    let mut fields = schemas.iter().flat_map(Schemas::iter).flat_map(|schema| &schema.fields);
    name.starts_with("p_") || OTHER_COLUMNS.contains(&name.as_str()) || fields.any(|field| field.name == name)
}

/// A day and an hour in UTC: `day=YYYY-MM-DD/hour=HH/`.
///
/// The day is always one that queries see. A log of another day (an unset clock says year 1) is filed under the day on
/// which it was received, hour 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    day: NaiveDate,
    hour: u32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "day={}/hour={:02}/", self.day, self.hour)
    }
}

/// A table of the lake.
#[derive(Debug, Clone, Copy)]
pub enum Table<'s> {
    /// The logs that fit this schema.
    LogType(&'s Schema),
    /// What fits no schema.
    Failures,
}

impl<'s> Table<'s> {
    /// The table's name.
    #[must_use]
    pub fn name(self) -> &'s str {
        match self {
            Self::LogType(schema) => &schema.table,
            Self::Failures => FAILURES_TABLE,
        }
    }

    /// The partition of a record. `time` is the event time of a log, and the receive time of a failure.
    #[must_use]
    pub fn partition(self, time: DateTime<Utc>, received: DateTime<Utc>) -> Partition {
        let (day, today) = (time.date_naive(), received.date_naive());
        let is_queried = day >= FIRST_DAY && today.checked_add_days(Days::new(1)).is_none_or(|last| day <= last);
        if is_queried { Partition { day, hour: time.hour() } } else { Partition { day: today, hour: 0 } }
    }

    /// The key of the object with `id`, whose earliest record is of `time`.
    ///
    /// The names of failures have the hour alone, so that a failure that is repeated within its hour is one object.
    #[must_use]
    pub fn key(self, prefix: &Prefix, partition: Partition, time: DateTime<Utc>, id: RowId) -> String {
        let within_hour = match self {
            Self::LogType(_) => 0,
            Self::Failures => time.num_seconds_from_midnight() % 3600,
        };
        let time = time::basic(time - TimeDelta::seconds(within_hour.into()));
        format!("{}{partition}{time}-{id}.json", self.folder(prefix))
    }

    /// The start of all keys of the table.
    #[must_use]
    pub fn folder(self, prefix: &Prefix) -> String {
        prefix.folder(self.name())
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// The key of an alert of `time` that was received at `received`.
    fn key(prefix: &str, time: &str, received: &str) -> String {
        let schemas = Schemas::embedded().unwrap();
        let alerts = Table::LogType(schemas.iter().next().unwrap());
        let prefix = if prefix.is_empty() { Prefix::default() } else { Prefix::new(prefix).unwrap() };
        let partition = alerts.partition(at(time), at(received));
        alerts.key(&prefix, partition, at(time), RowId::of("t", b"c"))
    }

    #[test]
    fn a_key_follows_from_table_time_and_id() {
        let id = RowId::of("t", b"c");
        assert_eq!(
            key("logs/tracebit", "2026-01-02T03:04:05.9Z", "2026-01-02T04:00:00Z"),
            format!("logs/tracebit/tracebit_alert/day=2026-01-02/hour=03/20260102T030405Z-{id}.json")
        );
        assert!(key("", "2026-01-02T03:04:05Z", "2026-01-02T04:00:00Z").starts_with("tracebit_alert/day="));
    }

    #[test]
    fn a_day_that_queries_do_not_see_becomes_the_day_of_receipt() {
        let received = "2026-11-24T10:00:00Z";
        for (time, expected) in [
            ("2024-01-01T00:00:00Z", "day=2024-01-01/hour=00/20240101T000000Z-"),
            ("2026-11-25T23:59:59Z", "day=2026-11-25/hour=23/20261125T235959Z-"),
            ("2023-12-31T23:59:59Z", "day=2026-11-24/hour=00/20231231T235959Z-"),
            ("2026-11-26T00:00:00Z", "day=2026-11-24/hour=00/20261126T000000Z-"),
            ("0001-01-01T00:00:00Z", "day=2026-11-24/hour=00/00010101T000000Z-"),
        ] {
            let key = key("", time, received);
            assert!(key.starts_with(&format!("tracebit_alert/{expected}")), "{key}");
        }
    }

    #[test]
    fn a_failure_has_one_key_in_its_hour() {
        let key = |time: &str| {
            let time = at(time);
            let partition = Table::Failures.partition(time, time);
            Table::Failures.key(&Prefix::default(), partition, time, RowId::of("t", b"c"))
        };
        assert_eq!(key("2026-11-24T10:00:00Z"), key("2026-11-24T10:59:59.9Z"));
        assert_ne!(key("2026-11-24T10:00:00Z"), key("2026-11-24T11:00:00Z"));
    }

    #[test]
    fn a_trailing_slash_makes_no_difference() {
        assert_eq!(Prefix::new("logs"), Prefix::new("logs/"));
    }

    #[test]
    fn a_prefix_that_would_make_odd_keys_is_refused() {
        for text in ["/", "/logs", "logs//", "a//b", ".", "a/../b", "./a", "my logs", "a\nb", "ü", "a\\b", "a?b", "a*"]
        {
            assert_eq!(Prefix::new(text), Err(BadPrefix::Segments), "{text:?}");
        }
        assert_eq!(Prefix::new(&"a".repeat(MAX_PREFIX_BYTES + 1)), Err(BadPrefix::Segments));
    }

    #[test]
    fn a_prefix_that_would_hide_a_column_is_refused() {
        for text in ["severity=all/", "logs/Severity=x", "day=1", "hour=2", "p_any_emails=x", "payload=x/y"] {
            assert_eq!(Prefix::new(text), Err(BadPrefix::Column), "{text:?}");
        }
        for text in ["env=prod/", "logs/team=blue", "severity/", "seventy=1"] {
            assert!(Prefix::new(text).is_ok(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_key_has_an_empty_or_dotted_segment(
            prefix in "[a-z./ =-]{0,12}",
            seconds in -62_167_219_200i64..253_402_300_800,
            content in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let Ok(prefix) = Prefix::new(&prefix) else { return Ok(()) };
            let time = Utc.timestamp_opt(seconds, 0).unwrap();
            let received = Utc.with_ymd_and_hms(2026, 11, 24, 0, 0, 0).unwrap();
            let partition = Table::Failures.partition(time, received);
            let key = Table::Failures.key(&prefix, partition, time, RowId::of("t", &content));
            for segment in key.split('/') {
                prop_assert!(!["", ".", ".."].contains(&segment), "{}", key);
            }
            prop_assert!(key.len() <= 1024);
            let (_, hive) = key.split_once("/day=").unwrap();
            prop_assert_eq!(hive.len(), "0000-00-00/hour=00/00000000T000000Z-.json".len() + 32);
        }
    }
}
