//! How many later messages of one alert go to chat.
//!
//! Somebody who lists a bucket a hundred thousand times must not bury another alert in the channel. Within an hour the
//! first messages of an alert are published one by one. After that, one message says how many more logs there are,
//! whenever their number passes the next power of ten. Machines get every event all the same.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Utc};

/// How many messages of one alert are published one by one within an hour.
const ONE_BY_ONE: u64 = 10;

/// How many alerts are counted at once. When there are more, counting starts again.
const MAX_COUNTED: usize = 10_000;

/// Counts the later messages of each alert within an hour.
#[derive(Debug, Default)]
pub(super) struct Flood(Mutex<HashMap<String, (i64, u64)>>);

/// What to publish of some later messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// How many are published one by one.
    pub(super) one_by_one: usize,
    /// How many logs the alert has in this hour, if a message must say so.
    pub(super) total: Option<u64>,
}

impl Flood {
    /// What to publish of `more` later messages of the subject with this digest.
    pub(super) fn share(&self, digest: &str, more: usize, now: DateTime<Utc>) -> Share {
        let hour = now.timestamp().div_euclid(3600);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_COUNTED {
            counts.clear();
        }
        let count = counts.entry(digest.to_owned()).or_insert((hour, 0));
        if count.0 != hour {
            *count = (hour, 0);
        }
        let before = count.1;
        count.1 += more as u64;
        share(before, count.1)
    }
}

/// What to publish if the number of messages grows from `before` to `after`.
fn share(before: u64, after: u64) -> Share {
    let one_by_one = ONE_BY_ONE.min(after) - ONE_BY_ONE.min(before);
    let power = |count: u64| count.checked_ilog10().unwrap_or_default();
    let is_due = after > ONE_BY_ONE && (before <= ONE_BY_ONE || power(after) > power(before));
    Share { one_by_one: usize::try_from(one_by_one).unwrap_or(usize::MAX), total: is_due.then_some(after) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_published_one_by_one_and_then_by_powers_of_ten() {
        for (before, after, one_by_one, total) in [
            (0, 3, 3, None),
            (3, 10, 7, None),
            (0, 4_822, 10, Some(4_822)),
            (9, 11, 1, Some(11)),
            (11, 12, 0, None),
            (12, 99, 0, None),
            (99, 100, 0, Some(100)),
            (100, 5_000, 0, Some(5_000)),
            (5_000, 9_999, 0, None),
        ] {
            assert_eq!(share(before, after), Share { one_by_one, total }, "{before} to {after}");
        }
    }

    #[test]
    fn each_subject_and_hour_has_a_count_of_its_own() {
        let flood = Flood::default();
        let at = |time: &str| crate::core::time::parse(time).unwrap();
        let one_by_one = |digest, time| flood.share(digest, 10, at(time)).one_by_one;
        assert_eq!(one_by_one("a", "2026-11-24T10:00:00Z"), 10);
        assert_eq!(one_by_one("a", "2026-11-24T10:59:59.999Z"), 0);
        assert_eq!(one_by_one("b", "2026-11-24T10:59:59Z"), 10);
        assert_eq!(one_by_one("a", "2026-11-24T11:00:00Z"), 10);
    }

    #[test]
    fn a_hundred_thousand_logs_are_some_fifteen_messages() {
        let shares = (0..10_000).map(|batch| share(batch * 10, batch * 10 + 10));
        let messages: usize = shares.map(|share| share.one_by_one + usize::from(share.total.is_some())).sum();
        assert!((11..=15).contains(&messages), "{messages}");
    }
}
