//! Which objects of the lake count in a round.
//!
//! S3 lists by key, and a key has the time of the event, not of the object. So each round lists the recent days, and a
//! few of the older ones in turn: a log can arrive long after its event, as after a redrive.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use sha2::{Digest as _, Sha256};

use crate::aws::{
    CallError, Deadline,
    s3::{Bucket, Listed, Listing},
};

/// How much of the lake is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many pages of a thousand keys are listed of one table's recent days, or of one older day.
    pub pages: usize,
    /// How many of the older days are listed, beside the recent ones.
    pub older_days: usize,
    /// How many objects are read.
    pub reads: usize,
}

impl Bounds {
    /// The bounds of a round, which then costs a cent at most.
    pub const ROUND: Self = Self { pages: 100, older_days: 10, reads: 10_000 };
    /// Everything since the first day.
    pub const NONE: Self = Self { pages: usize::MAX, older_days: 0, reads: usize::MAX };
}

/// The days and objects that count.
#[derive(Debug, Clone, Copy)]
pub struct Since {
    /// The first recent day: all objects of its partition and of later ones count.
    pub day: NaiveDate,
    /// Of older days, the objects that were put there at this time or later.
    pub put: DateTime<Utc>,
}

/// The first half of the SHA-256 of a key or of an `alert_id`.
pub(super) type Id = [u8; 16];

/// An object that counts.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) listed: Listed,
    /// That of its key.
    pub(super) id: Id,
    /// The time in its name, which is that of the event, or of the receipt of a failure.
    pub(super) time: DateTime<Utc>,
}

/// The objects that count, as they were listed once.
#[derive(Debug)]
pub struct View {
    pub(super) objects: Vec<Entry>,
    /// Whether there are more than could be listed.
    pub(super) is_cut: bool,
    reads_left: AtomicUsize,
}

impl Entry {
    fn of(listed: Listed) -> Self {
        Self { id: id(&listed.key), time: time_of(&listed.key).unwrap_or(listed.modified), listed }
    }
}

pub(super) fn id(text: &str) -> Id {
    let mut id = Id::default();
    let digest = Sha256::digest(text);
    id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    id
}

/// The time in the name of an object: `{YYYYMMDDTHHMMSSZ}-{id}.json`.
fn time_of(key: &str) -> Option<DateTime<Utc>> {
    let name = key.rsplit('/').next()?;
    let (time, _) = name.split_once('-')?;
    Some(NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ").ok()?.and_utc())
}

impl View {
    /// Whether one more object may be read.
    pub(super) fn may_read(&self) -> bool {
        let take = |left: usize| left.checked_sub(1);
        self.reads_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// Lists the days of some folders.
#[derive(Debug, Default)]
pub(super) struct Days(Mutex<Older>);

/// What is known of the older days.
#[derive(Debug, Default)]
struct Older {
    /// Whose turn it is, as a number of days.
    turn: usize,
    /// The objects that count, by day.
    found: BTreeMap<String, Vec<Listed>>,
}

impl Days {
    pub(super) async fn view(
        &self,
        bucket: &Bucket,
        folders: &[String],
        since: Since,
        bounds: Bounds,
        deadline: Deadline,
    ) -> Result<View, CallError> {
        let (mut listed, mut is_any_cut, mut older) = (Vec::new(), false, Vec::new());
        for folder in folders {
            let first = format!("{folder}day={}/", since.day.format("%Y-%m-%d"));
            let Listing { objects, is_cut } = bucket.list_after(folder, &first, bounds.pages, deadline).await?;
            listed.extend(objects);
            is_any_cut |= is_cut;
            if bounds.older_days > 0 {
                let days = bucket.folders(folder, deadline).await?;
                older.extend(days.into_iter().filter(|day| *day < first));
            }
        }
        for day in self.next(&older, bounds.older_days) {
            let Listing { mut objects, is_cut } = bucket.list_after(&day, &day, bounds.pages, deadline).await?;
            objects.retain(|object| object.modified >= since.put);
            is_any_cut |= is_cut;
            self.with(|known| known.found.insert(day, objects));
        }
        self.with(|known| {
            known.found.retain(|day, objects| {
                objects.retain(|object| object.modified >= since.put);
                !objects.is_empty() && older.contains(day)
            });
            listed.extend(known.found.values().flatten().cloned());
        });
        Ok(View {
            objects: listed.into_iter().map(Entry::of).collect(),
            is_cut: is_any_cut,
            reads_left: AtomicUsize::new(bounds.reads),
        })
    }

    /// The days whose turn it is.
    fn next(&self, older: &[String], count: usize) -> Vec<String> {
        let turn = self.with(|known| {
            let turn = known.turn;
            known.turn = if older.is_empty() { 0 } else { (turn + count) % older.len() };
            turn
        });
        older.iter().cycle().skip(turn).take(count.min(older.len())).cloned().collect()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Older) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_object_has_its_time() {
        let time = time_of("logs/tracebit_alert/day=2026-11-24/hour=10/20261124T100102Z-0f.json");
        assert_eq!(time, Some("2026-11-24T10:01:02Z".parse().unwrap()));
        assert_eq!(time_of("logs/tracebit_alert/readme.txt"), None);
    }

    #[test]
    fn every_older_day_has_its_turn() {
        let days = Days::default();
        let older: Vec<_> = (0..25).map(|day| format!("day={day:02}/")).collect();
        let mut seen: Vec<_> = (0..3).flat_map(|_| days.next(&older, 10)).collect();
        assert_eq!(seen.len(), 30);
        seen.sort();
        seen.dedup();
        assert_eq!(seen, older);
        assert!(days.next(&[], 10).is_empty());
        assert_eq!(days.next(&older[..3], 10), older[..3]);
    }
}
