//! Which alerts were notified today.
//!
//! A small object for each alert and day says so. It is created after the message was published, so a crash between the two
//! notifies twice rather than never. The notifier also remembers what it did itself, so that a message that comes back does
//! not repeat it, and so that a bucket that takes no object does not make every log send an e-mail.

use std::{
    collections::HashSet,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::json;

use super::facts::{Alert, AlertId};
use crate::{
    aws::{Deadline, s3::Bucket},
    core::{lake::Prefix, time},
};

/// The folder of the markers, beside the tables.
const FOLDER: &str = "notified";

/// How many things are remembered. When there are more, memory starts again, and the markers still know.
const MAX_REMEMBERED: usize = 100_000;

/// The alerts of which people were notified.
#[derive(Debug)]
pub(super) struct Markers {
    bucket: Bucket,
    folder: String,
    alerts: Memory<(NaiveDate, AlertId)>,
    records: Memory<String>,
}

impl Markers {
    pub(super) fn new(bucket: Bucket, prefix: &Prefix) -> Self {
        Self { bucket, folder: prefix.folder(FOLDER), alerts: Memory::default(), records: Memory::default() }
    }

    /// Whether this instance has published a message of this very record.
    pub(super) fn has_published(&self, alert: &Alert) -> bool {
        !alert.row_id.is_empty() && self.records.has(&alert.row_id)
    }

    /// Remembers that a message of this record was published.
    pub(super) fn remember(&self, alert: &Alert) {
        self.records.add(alert.row_id.clone());
    }

    /// Whether people were notified of the alert on the day of `now`. If nobody knows, they were not.
    pub(super) async fn was_notified(&self, alert: &Alert, now: DateTime<Utc>, deadline: Deadline) -> bool {
        let remembered = (now.date_naive(), alert.id.clone());
        if self.alerts.has(&remembered) {
            return true;
        }
        match self.bucket.has(&self.key(alert, now), deadline).await {
            Ok(found) => {
                if found {
                    self.alerts.add(remembered);
                }
                found
            }
            Err(problem) => {
                tracing::warn!(
                    "cannot check whether this alert was notified today, so it may be notified twice: {problem}"
                );
                false
            }
        }
    }

    /// Remembers that people were notified of the alert on the day of `now`. A failure is logged and ignored, because they
    /// were notified.
    pub(super) async fn mark(&self, alert: &Alert, now: DateTime<Utc>, deadline: Deadline) {
        self.alerts.add((now.date_naive(), alert.id.clone()));
        let body = json!({"alert_id": alert.id, "p_row_id": alert.row_id, "notified": time::sql(now)}).to_string();
        let created = self.bucket.create(&self.key(alert, now), body.into_bytes(), "application/json", deadline).await;
        if let Err(problem) = created {
            tracing::warn!("cannot record that this alert was notified today, so it may be notified twice: {problem}");
        }
    }

    fn key(&self, alert: &Alert, now: DateTime<Utc>) -> String {
        format!("{}day={}/{}.json", self.folder, now.format("%Y-%m-%d"), alert.id.digest())
    }
}

/// A set that never outgrows its bound.
#[derive(Debug)]
struct Memory<T>(Mutex<HashSet<T>>);

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Eq + Hash> Memory<T> {
    fn has(&self, value: &T) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(value)
    }

    fn add(&self, value: T) {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if values.len() >= MAX_REMEMBERED {
            values.clear();
        }
        values.insert(value);
    }
}
