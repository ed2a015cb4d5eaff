//! Where an object lies: `{prefix}{table}/day=YYYY-MM-DD/hour=HH/{YYYYMMDDTHHMMSSZ}-{id}.json`, all in UTC.
//!
//! Nothing of a log's text gets into a key but its event time: tables come from the schemas, ids are digests.

use chrono::{DateTime, Utc};

use crate::record::RowId;

/// What a prefix may take of a key's 1024 bytes (S3's limit); a table and the rest need less than the others.
const MAX_PREFIX_BYTES: usize = 800;

/// What stands before every key: nothing, or path segments that each end in `/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefix(String);

/// The prefix cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected segments of letters, digits and ! _ . ' ( ) = - joined by single slashes, such as logs or security/tracebit, \
     {MAX_PREFIX_BYTES} characters at most"
)]
pub struct BadPrefix;

impl Prefix {
    /// Reads `logs` and `logs/` as the same; the characters are those that S3's documentation calls safe, and `=`,
    /// but no `*`, which would be a wildcard in a policy made of the prefix.
    ///
    /// # Errors
    /// When a segment is empty, `.` or `..`, or has another character.
    pub fn new(text: &str) -> Result<Self, BadPrefix> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"!_.'()=-".contains(&byte);
        let is_good = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_safe);
        if text.len() <= MAX_PREFIX_BYTES && text.split('/').all(is_good) {
            Ok(Self(format!("{text}/")))
        } else {
            Err(BadPrefix)
        }
    }

    /// The key of the object with `id` in `table`, filed under the hour of `time`.
    #[must_use]
    pub fn key(&self, table: &str, time: DateTime<Utc>, id: RowId) -> String {
        format!("{}{}-{id}.json", self.partition(table, time), time.format("%Y%m%dT%H%M%SZ"))
    }

    /// What the keys of a table and hour have in common.
    #[must_use]
    pub fn partition(&self, table: &str, time: DateTime<Utc>) -> String {
        format!("{}{}/", self.table(table), time.format("day=%Y-%m-%d/hour=%H"))
    }

    /// What the keys of a table have in common.
    #[must_use]
    pub fn table(&self, table: &str) -> String {
        format!("{}{table}/", self.0)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_told_by_table_time_and_id() {
        let time = Utc.with_ymd_and_hms(987, 1, 2, 3, 4, 5).unwrap();
        let id = RowId::of("t", b"c");
        assert_eq!(
            Prefix::new("logs/tracebit").unwrap().key("tracebit_alert", time, id),
            format!("logs/tracebit/tracebit_alert/day=0987-01-02/hour=03/09870102T030405Z-{id}.json")
        );
        assert!(Prefix::default().key("tracebit_alert", time, id).starts_with("tracebit_alert/day="));
    }

    #[test]
    fn a_trailing_slash_makes_no_difference() {
        assert_eq!(Prefix::new("logs"), Prefix::new("logs/"));
    }

    #[test]
    fn prefixes_that_would_make_odd_keys_are_refused() {
        for text in ["/", "/logs", "logs//", "a//b", ".", "a/../b", "./a", "my logs", "a\nb", "ü", "a\\b", "a?b", "a*"]
        {
            assert_eq!(Prefix::new(text), Err(BadPrefix), "{text:?}");
        }
        assert_eq!(Prefix::new(&"a".repeat(MAX_PREFIX_BYTES + 1)), Err(BadPrefix));
    }

    proptest! {
        #[test]
        fn no_key_has_an_empty_or_dotted_segment(
            prefix in "[a-z./ =-]{0,12}",
            seconds in -62_167_219_200i64..253_402_300_800,
            content in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let Ok(prefix) = Prefix::new(&prefix) else { return Ok(()) };
            let key = prefix.key("tracebit_alert", Utc.timestamp_opt(seconds, 0).unwrap(), RowId::of("t", &content));
            for segment in key.split('/') {
                prop_assert!(!["", ".", ".."].contains(&segment), "{}", key);
            }
            prop_assert!(key.len() <= 1024);
            let (_, hive) = key.split_once("/day=").unwrap();
            prop_assert_eq!(hive.len(), "0000-00-00/hour=00/00000000T000000Z-.json".len() + 32);
        }
    }
}
