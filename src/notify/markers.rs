//! Of what people were notified today.
//!
//! A small object for each subject, day and severity says so, in a folder of the topic's own, because two stacks on one
//! bucket notify different people. It is created after the message was published, so a crash between the two notifies
//! twice rather than never. The notifier also remembers what it did itself, so that a message that comes back does not
//! repeat it, and so that a bucket that takes no object does not make every log send an e-mail.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, NaiveDate, Utc};
use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::facts::{Alert, Subject};
use crate::{
    aws::{Deadline, s3::Bucket},
    core::{lake::Prefix, severity::Severity, time},
};

/// The folder of the markers, beside the tables.
const FOLDER: &str = "notified";

/// What stands in the place of the severity in the marker of a record that a rule kept quiet.
pub(super) const QUIET: &str = "quiet";

/// How many things are remembered. When there are more, memory starts again, and the markers still know.
const MAX_REMEMBERED: usize = 100_000;

/// A severity that is not known is the lowest, so that one that is known then notifies again.
pub(super) type Rank = Option<Severity>;

/// What people know of a subject today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// That it is less severe.
    LessSevere,
    /// Enough: they were notified of this severity or a higher one.
    Enough,
}

/// What this instance knows of a subject on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    /// The highest severity of which people were notified.
    rank: Rank,
    /// Whether the bucket has a marker of it.
    is_marked: bool,
}

/// The subjects of which people were notified.
#[derive(Debug)]
pub(super) struct Markers {
    bucket: Bucket,
    folder: String,
    subjects: Memory<HashMap<(NaiveDate, String), Known>>,
    records: Memory<HashSet<[u8; 32]>>,
    quiet: Memory<HashSet<[u8; 32]>>,
}

impl Markers {
    /// The markers of the topic with this ARN.
    pub(super) fn new(bucket: Bucket, prefix: &Prefix, topic_arn: &str) -> Self {
        Self {
            bucket,
            folder: folder(prefix, topic_arn),
            subjects: Memory::default(),
            records: Memory::default(),
            quiet: Memory::default(),
        }
    }

    /// Whether this instance has done what there is to do about this very record.
    pub(super) fn is_done(&self, alert: &Alert) -> bool {
        !alert.row_id.is_empty() && self.records.get().contains(&Self::record(alert))
    }

    /// Remembers that there is no more to do about this record.
    pub(super) fn done(&self, alert: &Alert) {
        let mut records = self.records.get();
        if records.len() >= MAX_REMEMBERED {
            records.clear();
        }
        records.insert(Self::record(alert));
    }

    fn record(alert: &Alert) -> [u8; 32] {
        Sha256::digest(&alert.row_id).into()
    }

    /// Of what people were notified on the day of `now`. If nobody knows, of nothing.
    pub(super) async fn before(&self, alert: &Alert, now: DateTime<Utc>, deadline: Deadline) -> Before {
        let mut known = self.remembered(&alert.subject, now);
        if known.is_none_or(|known| known.rank < alert.severity) {
            match self.bucket.list(&self.start_of_keys(&alert.subject, now), deadline).await {
                Ok(keys) => {
                    if let Some(rank) = keys.iter().map(|key| rank(key)).max() {
                        known = Some(self.remember(&alert.subject, Known { rank, is_marked: true }, now));
                    }
                }
                Err(problem) => tracing::warn!(
                    "cannot check whether this alert was notified today, so it may be notified twice: {problem}"
                ),
            }
        }
        match known {
            None => Before::Nothing,
            Some(Known { rank, .. }) if rank < alert.severity => Before::LessSevere,
            Some(Known { rank, is_marked }) => {
                // The watcher asks for what has no marker again and again.
                if !is_marked {
                    self.write(alert, rank, now, deadline).await;
                }
                Before::Enough
            }
        }
    }

    /// Remembers that people were notified on the day of `now`. A failure is logged and ignored, because they were
    /// notified.
    pub(super) async fn mark(&self, alert: &Alert, now: DateTime<Utc>, deadline: Deadline) {
        self.remember(&alert.subject, Known { rank: alert.severity, is_marked: false }, now);
        self.write(alert, alert.severity, now, deadline).await;
    }

    /// Records that a rule kept this record quiet, so that the watcher does not ask for it. It says nothing of the
    /// alert's other records.
    pub(super) async fn mark_quiet(&self, alert: &Alert, now: DateTime<Utc>, deadline: Deadline) {
        if self.quiet.get().contains(&Self::record(alert)) {
            return;
        }
        let key = format!("{}day={}/{}-{QUIET}.json", self.folder, now.format("%Y-%m-%d"), quiet_name(&alert.row_id));
        let body = json!({"p_row_id": alert.row_id, "quiet": time::sql(now)}).to_string().into_bytes();
        match self.bucket.create(&key, body, "application/json", deadline).await {
            Ok(_) => {
                let mut quiet = self.quiet.get();
                if quiet.len() >= MAX_REMEMBERED {
                    quiet.clear();
                }
                quiet.insert(Self::record(alert));
            }
            Err(problem) => tracing::warn!("cannot record that a rule kept this alert quiet: {problem}"),
        }
    }

    async fn write(&self, alert: &Alert, rank: Rank, now: DateTime<Utc>, deadline: Deadline) {
        let key = format!("{}{}.json", self.start_of_keys(&alert.subject, now), name(rank));
        let body = json!({"subject": alert.subject.token(), "p_row_id": alert.row_id, "notified": time::sql(now)});
        match self.bucket.create(&key, body.to_string().into_bytes(), "application/json", deadline).await {
            Ok(_) => drop(self.remember(&alert.subject, Known { rank, is_marked: true }, now)),
            Err(problem) => tracing::warn!(
                "cannot record that this alert was notified today, so it may be notified twice: {problem}"
            ),
        }
    }

    fn start_of_keys(&self, subject: &Subject, now: DateTime<Utc>) -> String {
        format!("{}day={}/{}-", self.folder, now.format("%Y-%m-%d"), subject.digest())
    }

    fn remembered(&self, subject: &Subject, now: DateTime<Utc>) -> Option<Known> {
        self.subjects.get().get(&(now.date_naive(), subject.digest().to_owned())).copied()
    }

    /// Remembers the highest severity, and of that one whether it is marked.
    fn remember(&self, subject: &Subject, new: Known, now: DateTime<Utc>) -> Known {
        let mut subjects = self.subjects.get();
        if subjects.len() >= MAX_REMEMBERED {
            subjects.clear();
        }
        let known = subjects.entry((now.date_naive(), subject.digest().to_owned())).or_insert(new);
        if (known.rank, known.is_marked) < (new.rank, new.is_marked) {
            *known = new;
        }
        *known
    }
}

/// What stands for a record in the name of its marker, if a rule kept it quiet.
pub(super) fn quiet_name(row_id: &str) -> String {
    HEXLOWER.encode(&Sha256::new().chain_update("quiet\n").chain_update(row_id).finalize()).chars().take(32).collect()
}

/// The folder of the markers of the topic with this ARN.
pub(super) fn folder(prefix: &Prefix, topic_arn: &str) -> String {
    let topic: String = HEXLOWER.encode(&Sha256::digest(topic_arn)).chars().take(16).collect();
    format!("{}{topic}/", prefix.folder(FOLDER))
}

/// The severity in the name of a marker.
pub(super) fn rank(key: &str) -> Rank {
    key.trim_end_matches(".json").rsplit('-').next()?.parse().ok()
}

fn name(rank: Rank) -> String {
    rank.map_or_else(|| "unknown".to_owned(), |severity| severity.to_string().to_lowercase())
}

#[derive(Debug, Default)]
struct Memory<T>(Mutex<T>);

impl<T> Memory<T> {
    fn get(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_names_its_severity() {
        for rank_of in [None, Some(Severity::Info), Some(Severity::Critical)] {
            assert_eq!(rank(&format!("notified/00ff/day=2026-11-24/0123-{}.json", name(rank_of))), rank_of);
        }
        assert!(None < Some(Severity::Info), "an unknown severity is the lowest");
    }
}
