//! The line of JSON that the lake keeps: of a log, its own members as they were sent and then the standard fields; of a
//! classification failure, the text and what was wrong with it.

use std::fmt;

use chrono::{DateTime, Utc};
use data_encoding::{BASE64, HEXLOWER};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{config::Source, indicator::Indicators, schema::Log, time};

/// The table of what fits no schema.
pub const FAILURES_TABLE: &str = "classification_failures";

/// A record's identity: the same for the same log, however often it is delivered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId([u8; 16]);

impl RowId {
    /// The first half of the SHA-256 of `kind` (a log type, or the failures' table), a newline and `content` (a log in
    /// canonical form, or a payload).
    #[must_use]
    pub fn of(kind: &str, content: &[u8]) -> Self {
        Self::from_digest(Sha256::new().chain_update(kind).chain_update(b"\n").chain_update(content))
    }

    /// The identity of several records together, whatever their order.
    #[must_use]
    pub fn of_all(ids: &[Self]) -> Self {
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        Self::from_digest(sorted.iter().fold(Sha256::new(), |digest, id| digest.chain_update(id.0)))
    }

    fn from_digest(digest: Sha256) -> Self {
        let bytes: [u8; 32] = digest.finalize().into();
        let (half, _) = bytes.split_at(16);
        let mut id = [0; 16];
        id.copy_from_slice(half);
        Self(id)
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RowId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

/// When and whence: what all records of one delivery share.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// When the delivery was received.
    pub received: DateTime<Utc>,
    /// The source that the configuration names.
    pub source: &'a Source,
}

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

/// Appends the record of `log` to `lines`, with the newline that ends it.
pub fn push_log(lines: &mut Vec<u8>, log: &Log<'_, '_>, origin: Origin<'_>) {
    let standard = StandardFields {
        p_log_type: &log.schema.log_type,
        p_event_time: time::sql(log.event_time),
        p_parse_time: time::sql(origin.received),
        p_row_id: log.row_id,
        p_schema_version: log.schema.version,
        p_source_id: origin.source.id.as_deref(),
        p_source_label: &origin.source.label,
        indicators: &log.indicators,
    };
    push_on_one_line(lines, log.text);
    // A log that fits a schema has members, for the discriminator is required: its `}` gives way to `,"p_…":…}`.
    lines.pop();
    let comma = lines.len();
    push_json(lines, &standard);
    if let Some(brace) = lines.get_mut(comma) {
        *brace = b',';
    }
    lines.push(b'\n');
}

/// A log, or a whole payload, that became a classification failure.
#[derive(Debug)]
pub struct Failure<'a> {
    /// What was wrong, for a person to read.
    pub error: String,
    /// What was sent.
    pub payload: &'a [u8],
    /// The log type that its discriminator names.
    pub log_type: Option<&'a str>,
}

impl Failure<'_> {
    /// The same for the same payload.
    #[must_use]
    pub fn row_id(&self) -> RowId {
        RowId::of(FAILURES_TABLE, self.payload)
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

/// Appends the record of `failure` to `lines`, with the newline that ends it.
pub fn push_failure(lines: &mut Vec<u8>, failure: &Failure<'_>, id: RowId, origin: Origin<'_>) {
    let encoded;
    let (payload, payload_encoding) = match std::str::from_utf8(failure.payload) {
        Ok(text) if !swells(failure.payload) => (text, "utf-8"),
        _ => {
            encoded = BASE64.encode(failure.payload);
            (encoded.as_str(), "base64")
        }
    };
    let fields = FailureFields {
        error: &failure.error,
        payload,
        payload_encoding,
        log_type: failure.log_type,
        p_parse_time: time::sql(origin.received),
        p_row_id: id,
        p_source_id: origin.source.id.as_deref(),
        p_source_label: &origin.source.label,
    };
    push_json(lines, &fields);
    lines.push(b'\n');
}

/// Whether a payload is large and would be several times as large as JSON, where a control character without an escape
/// of its own takes six bytes; base64 takes four for three.
fn swells(payload: &[u8]) -> bool {
    const LARGE: usize = 1024 * 1024;
    let has_no_escape = |byte: &&u8| byte.is_ascii_control() && !matches!(byte, 0x08 | b'\t' | b'\n' | 0x0c | b'\r');
    payload.len() > LARGE && payload.iter().filter(has_no_escape).count() > payload.len() / 4
}

fn push_json(lines: &mut Vec<u8>, fields: &impl Serialize) {
    #[expect(clippy::expect_used, reason = "strings, numbers and lists of them into memory have no way to fail")]
    serde_json::to_writer(lines, fields).expect("plain fields into memory");
}

/// Copies valid JSON as it is; where it spans lines, without the white space between its tokens.
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
    use crate::schema::Schemas;

    fn source() -> Source {
        Source { id: None, label: "tracebit".to_owned() }
    }

    fn record(text: &str, source: &Source) -> String {
        let schemas = Schemas::embedded().unwrap();
        let log = schemas.classify(text.as_bytes()).unwrap();
        let mut lines = Vec::new();
        let received = time::parse("2026-11-22T10:20:30.5678Z").unwrap();
        push_log(&mut lines, &log, Origin { received, source });
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
        let value: Value = serde_json::from_str(HEALTH_CHECK).unwrap();
        let mut value = value;
        value["text"] = json!(" a \" b \\\" \n c \\");
        let pretty = serde_json::to_string_pretty(&value).unwrap().replace('\n', "\r\n");
        let record = record(&pretty, &source());
        assert_eq!(record.matches(['\n', '\r']).count(), 1);
        assert!(record.starts_with(&value.to_string()[..value.to_string().len() - 1]), "{record}");
    }

    #[test]
    fn a_failure_keeps_what_was_sent() {
        for (payload, kept, encoding) in [(&b"{\"a\":\n"[..], "{\"a\":\n", "utf-8"), (b"\xff\xfe", "//4=", "base64")] {
            let failure = Failure { error: "e".to_owned(), payload, log_type: None };
            let mut lines = Vec::new();
            let origin_source = source();
            let received = time::parse("2026-11-22T10:20:30Z").unwrap();
            push_failure(&mut lines, &failure, failure.row_id(), Origin { received, source: &origin_source });
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
    fn a_large_payload_of_control_characters_does_not_swell() {
        let payload = vec![0; 2_000_000];
        let failure = Failure { error: "e".to_owned(), payload: &payload, log_type: None };
        let mut lines = Vec::new();
        let origin_source = source();
        let received = time::parse("2026-11-22T10:20:30Z").unwrap();
        push_failure(&mut lines, &failure, failure.row_id(), Origin { received, source: &origin_source });
        assert!(lines.len() < 3_000_000, "{}", lines.len());
        assert_eq!(serde_json::from_slice::<Value>(&lines).unwrap()["payload_encoding"], "base64");
    }

    #[test]
    fn the_identity_of_several_does_not_depend_on_their_order() {
        let (a, b) = (RowId::of("t", b"a"), RowId::of("t", b"b"));
        assert_eq!(RowId::of_all(&[a, b]), RowId::of_all(&[b, a]));
        assert_ne!(RowId::of_all(&[a, b]), RowId::of_all(&[a, a]));
        assert_ne!(RowId::of("t", b"a"), RowId::of("u", b"a"));
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            // Eighths, for serde_json's own reading of longer fractions is off by one in the last place.
            any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
            "\\PC*".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("\\PC{0,6}", inner, 0..6)
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
            extra in prop::collection::btree_map("[a-oq-z]\\PC{0,8}", json_value(), 0..6),
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
