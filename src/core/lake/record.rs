//! The line of JSON that the lake keeps. A log keeps its own members as they were sent, and the standard fields follow.
//! A classification failure keeps the text as sent and says what is wrong with it.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use data_encoding::BASE64;
use serde::Serialize;

use super::table::FAILURES_TABLE;
use crate::core::{
    redacted::Redacted,
    row_id::RowId,
    schema::{Indicators, Log},
    time,
};

/// The values of `p_source_id` and `p_source_label`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `SOURCE_ID`.
    pub id: Option<String>,
    /// `SOURCE_LABEL`, or `tracebit` if it is not set.
    pub label: String,
}

/// What all records of one delivery share.
#[derive(Debug, Clone, Copy)]
pub struct ReceiveContext<'a> {
    /// When the delivery was received.
    pub received: DateTime<Utc>,
    /// The source that the configuration names.
    pub source: &'a Source,
}

/// The size of the standard fields of most alerts.
const USUAL_STANDARD_BYTES: usize = 768;

#[derive(Serialize)]
struct StandardFields<'a> {
    p_log_type: &'a str,
    p_event_time: String,
    p_parse_time: String,
    p_row_id: RowId,
    p_schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_source_id: Option<&'a str>,
    p_source_label: &'a str,
    #[serde(flatten)]
    indicators: &'a Indicators,
}

/// The standard fields of a log's record, `,"p_…":…}` and a newline: what stands in the place of the log's last `}`.
pub(super) fn standard_fields(log: &Log<'_, '_>, context: ReceiveContext<'_>) -> Vec<u8> {
    let mut fields = Vec::with_capacity(USUAL_STANDARD_BYTES);
    push_json(
        &mut fields,
        &StandardFields {
            p_log_type: &log.schema.log_type,
            p_event_time: time::sql(log.event_time),
            p_parse_time: time::sql(context.received),
            p_row_id: log.row_id,
            p_schema_version: log.schema.version,
            p_source_id: context.source.id.as_deref(),
            p_source_label: &context.source.label,
            indicators: &log.indicators,
        },
    );
    // A log that fits a schema has members, because the discriminator is required.
    if let Some(brace) = fields.first_mut() {
        *brace = b',';
    }
    fields.push(b'\n');
    fields
}

/// Appends the record of the log `text` with these [`standard_fields`] to `lines`.
pub(super) fn push_log(lines: &mut Vec<u8>, text: &[u8], standard_fields: &[u8]) {
    lines.reserve(text.len() + standard_fields.len());
    push_on_one_line(lines, text);
    lines.pop();
    lines.extend_from_slice(standard_fields);
}

/// A classification failure: an element, or a whole payload, that fits no schema.
#[derive(Debug)]
pub struct Failure<'s, 't> {
    /// What is wrong, for a person to read. It can quote a name or a value of the payload.
    pub error: Redacted<String>,
    /// The text as sent.
    pub payload: Redacted<Cow<'t, [u8]>>,
    /// The log type that its discriminator names, if any.
    pub log_type: Option<&'s str>,
}

impl Failure<'_, '_> {
    /// Its identity, which follows from the payload alone.
    #[must_use]
    pub fn row_id(&self) -> RowId {
        RowId::of(FAILURES_TABLE, &self.payload)
    }
}

#[derive(Serialize)]
struct FailureFields<'a> {
    error: &'a str,
    payload: &'a str,
    payload_encoding: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_type: Option<&'a str>,
    p_parse_time: String,
    p_row_id: RowId,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_source_id: Option<&'a str>,
    p_source_label: &'a str,
}

/// Appends the record of `failure` and a newline to `lines`.
pub(super) fn push_failure(lines: &mut Vec<u8>, failure: &Failure<'_, '_>, id: RowId, context: ReceiveContext<'_>) {
    let encoded;
    let (payload, payload_encoding) = match std::str::from_utf8(&failure.payload) {
        Ok(text) if !escapes_inflate(&failure.payload) => (text, "utf-8"),
        _ => {
            encoded = BASE64.encode(&failure.payload);
            (encoded.as_str(), "base64")
        }
    };
    let fields = FailureFields {
        error: &failure.error,
        payload,
        payload_encoding,
        log_type: failure.log_type,
        p_parse_time: time::sql(context.received),
        p_row_id: id,
        p_source_id: context.source.id.as_deref(),
        p_source_label: &context.source.label,
    };
    push_json(lines, &fields);
    lines.push(b'\n');
}

/// Whether a payload is large and JSON's escapes would make it several times as large. A control character without a
/// short escape takes six bytes in JSON; base64 takes four bytes for three.
fn escapes_inflate(payload: &[u8]) -> bool {
    const LARGE: usize = 1024 * 1024;
    let has_no_escape = |byte: &&u8| byte.is_ascii_control() && !matches!(byte, 0x08 | b'\t' | b'\n' | 0x0c | b'\r');
    payload.len() > LARGE && payload.iter().filter(has_no_escape).count() > payload.len() / 4
}

fn push_json(lines: &mut Vec<u8>, fields: &impl Serialize) {
    #[expect(clippy::expect_used, reason = "writing strings, numbers and lists of them into memory cannot fail")]
    serde_json::to_writer(lines, fields).expect("plain fields into memory");
}

/// Copies valid JSON. If it spans lines, the white space between its tokens is left out.
fn push_on_one_line(lines: &mut Vec<u8>, json: &[u8]) {
    if memchr::memchr2(b'\n', b'\r', json).is_none() {
        lines.extend_from_slice(json);
        return;
    }
    let (mut in_string, mut escaped) = (false, false);
    lines.extend(json.iter().copied().filter(|byte| {
        let is_kept = in_string || !byte.is_ascii_whitespace();
        match byte {
            b'"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = *byte == b'\\' && !escaped;
        is_kept
    }));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::core::schema::Schemas;

    fn source() -> Source {
        Source { id: None, label: "tracebit".to_owned() }
    }

    fn record(text: &str, source: &Source) -> String {
        let schemas = Schemas::embedded().unwrap();
        let log = schemas.classify(text.as_bytes()).unwrap();
        let mut lines = Vec::new();
        let received = time::parse("2026-11-22T10:20:30.5678Z").unwrap();
        push_log(&mut lines, &log.text, &standard_fields(&log, ReceiveContext { received, source }));
        String::from_utf8(lines).unwrap()
    }

    const HEALTH_CHECK: &str = r#"{"discriminator":{"type":"health_check","subtype":"s"},"timestamp":"2026-11-22T09:00:00Z","is_healthy":true}"#;

    #[test]
    fn a_log_keeps_its_members_as_sent_and_gets_the_standard_fields() {
        let odd = r#"{ "discriminator" : {"subtype":"s","type":"health_check"},"big": 1234567890123456789012345678901234567890 , "e":1.50E+3,"none":null, "timestamp":"2026-11-22T09:00:00.1+01:00","is_healthy":false,"\u00e9":"\u0041\/"}"#;
        let with_id = Source { id: Some("src-1".to_owned()), label: "decoys".to_owned() };
        let id = &record(odd, &with_id)[record(odd, &with_id).find("p_row_id\":\"").unwrap() + 11..][..32];
        assert_eq!(
            record(odd, &with_id),
            format!(
                "{},\"p_log_type\":\"Tracebit.HealthCheck\",\"p_event_time\":\"2026-11-22 08:00:00.100\",\
                 \"p_parse_time\":\"2026-11-22 10:20:30.567\",\"p_row_id\":\"{id}\",\"p_schema_version\":1,\
                 \"p_source_id\":\"src-1\",\"p_source_label\":\"decoys\"}}\n",
                &odd[..odd.len() - 1]
            )
        );
    }

    #[test]
    fn a_log_over_several_lines_becomes_one_line() {
        let mut value: Value = serde_json::from_str(HEALTH_CHECK).unwrap();
        value["text"] = json!(" a \" b \\\" \n c \\");
        let pretty = serde_json::to_string_pretty(&value).unwrap().replace('\n', "\r\n");
        let record = record(&pretty, &source());
        assert_eq!(record.matches(['\n', '\r']).count(), 1);
        assert!(record.starts_with(&value.to_string()[..value.to_string().len() - 1]), "{record}");
    }

    #[test]
    fn a_failure_keeps_what_was_sent() {
        for (payload, kept, encoding) in [(&b"{\"a\":\n"[..], "{\"a\":\n", "utf-8"), (b"\xff\xfe", "//4=", "base64")] {
            let failure =
                Failure { error: Redacted("e".to_owned()), payload: Redacted(Cow::Borrowed(payload)), log_type: None };
            let mut lines = Vec::new();
            let source = source();
            let received = time::parse("2026-11-22T10:20:30Z").unwrap();
            push_failure(&mut lines, &failure, failure.row_id(), ReceiveContext { received, source: &source });
            let record: Value = serde_json::from_slice(&lines).unwrap();
            let id = failure.row_id().to_string();
            assert_eq!(id.len(), 32);
            assert_eq!(
                record,
                json!({"error": "e", "payload": kept, "payload_encoding": encoding, "p_row_id": id,
                       "p_parse_time": "2026-11-22 10:20:30.000", "p_source_label": "tracebit"})
            );
        }
    }

    #[test]
    fn a_payload_of_control_characters_is_kept_as_base64() {
        let payload = vec![0; 2_000_000];
        let failure =
            Failure { error: Redacted("e".to_owned()), payload: Redacted(Cow::Borrowed(&payload)), log_type: None };
        let mut lines = Vec::new();
        let source = source();
        let received = time::parse("2026-11-22T10:20:30Z").unwrap();
        push_failure(&mut lines, &failure, failure.row_id(), ReceiveContext { received, source: &source });
        assert!(lines.len() < 3_000_000, "{}", lines.len());
        assert_eq!(serde_json::from_slice::<Value>(&lines).unwrap()["payload_encoding"], "base64");
    }

    /// Names of this form in lower case, because names that differ in case alone are a violation.
    fn name(form: &'static str) -> impl Strategy<Value = String> {
        form.prop_map(|name| name.to_lowercase())
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            // Eighths, because serde_json misreads longer fractions by one in the last place.
            any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
            "\\PC*".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(name("\\PC{0,6}"), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The text of `value` with its members in another order and white space between its tokens.
    fn respell(value: &Value, space: &str) -> String {
        match value {
            Value::Object(members) => {
                let members: Vec<_> = members
                    .iter()
                    .rev()
                    .map(|(name, value)| format!("{space}{}{space}:{}", json!(name), respell(value, space)))
                    .collect();
                format!("{{{}{space}}}", members.join(","))
            }
            Value::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(|element| respell(element, space)).collect();
                format!("[{space}{}]{space}", elements.join(","))
            }
            scalar => format!("{space}{scalar}{space}"),
        }
    }

    proptest! {
        #[test]
        fn the_record_keeps_every_member_and_the_row_id_ignores_spelling(
            extra in prop::collection::btree_map(name("[a-oq-z]\\PC{0,8}"), json_value(), 0..6),
            space in "[ \t\r\n]{0,3}",
        ) {
            let mut log: Value = serde_json::from_str(HEALTH_CHECK).unwrap();
            for (name, value) in extra {
                log.as_object_mut().unwrap().entry(name).or_insert(value);
            }
            let first: Value = serde_json::from_str(&record(&log.to_string(), &source())).unwrap();
            for (name, value) in log.as_object().unwrap() {
                prop_assert_eq!(first.get(name), Some(value));
            }
            let again = record(&respell(&log, &space), &source());
            prop_assert_eq!(again.matches('\n').count(), 1);
            let again: Value = serde_json::from_str(&again).unwrap();
            prop_assert_eq!(&again, &first);

            log["is_healthy"] = json!(false);
            let other: Value = serde_json::from_str(&record(&log.to_string(), &source())).unwrap();
            prop_assert_ne!(&other["p_row_id"], &first["p_row_id"]);
        }
    }
}
