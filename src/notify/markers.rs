//! Which alerts have rung today.
//!
//! A small object for each alert and day says so, created after the message was published: a crash between the two rings
//! twice rather than never. The notifier also remembers what it did itself, so that a message that comes back does not
//! repeat it, and so that a bucket that takes no object does not make every log ring.

use std::{
    collections::HashSet,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use aws_sdk_s3::{Client, config::Builder, primitives::ByteStream};
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::json;

use super::facts::{Alert, AlertId};
use crate::{
    aws::{
        self, Attempts,
        deadline::{CallPolicy, Deadline},
    },
    core::{lake::Prefix, time},
};

/// The folder of the markers, beside the tables.
const FOLDER: &str = "notified";

/// How many things are remembered. When there are more, memory starts again, and the markers still know.
const MAX_REMEMBERED: usize = 100_000;

/// The alerts that have rung.
#[derive(Debug)]
pub(super) struct Markers {
    client: Client,
    bucket: String,
    folder: String,
    alerts: Memory<(NaiveDate, AlertId)>,
    records: Memory<String>,
}

impl Markers {
    pub(super) fn new(client: Client, bucket: String, prefix: &Prefix) -> Self {
        let folder = prefix.folder(FOLDER);
        Self { client, bucket, folder, alerts: Memory::default(), records: Memory::default() }
    }

    /// Whether this instance has published a message of this very record.
    pub(super) fn has_said(&self, alert: &Alert) -> bool {
        !alert.row_id.is_empty() && self.records.has(&alert.row_id)
    }

    /// Remembers that a message of this record was published.
    pub(super) fn say(&self, alert: &Alert) {
        self.records.add(alert.row_id.clone());
    }

    /// Whether the alert has rung on the day of `now`. If nobody knows, it has not.
    pub(super) async fn has_rung(&self, alert: &Alert, now: DateTime<Utc>, deadline: Deadline) -> bool {
        let remembered = (now.date_naive(), alert.id.clone());
        if self.alerts.has(&remembered) {
            return true;
        }
        match self.find(&self.key(alert, now), deadline).await {
            Ok(found) => {
                if found {
                    self.alerts.add(remembered);
                }
                found
            }
            Err(problem) => {
                tracing::warn!("cannot read a marker of rung alerts, so an alert may ring twice: HeadObject {problem}");
                false
            }
        }
    }

    /// Remembers that the alert rang on the day of `now`. A failure is logged and ignored, because the alert has rung.
    pub(super) async fn ring(&self, alert: &Alert, now: DateTime<Utc>, deadline: Deadline) {
        self.alerts.add((now.date_naive(), alert.id.clone()));
        let body = json!({"alert_id": alert.id, "p_row_id": alert.row_id, "notified": time::sql(now)}).to_string();
        if let Err(problem) = self.create(&self.key(alert, now), body, deadline).await {
            tracing::warn!("cannot create a marker of rung alerts, so an alert may ring twice: PutObject {problem}");
        }
    }

    fn key(&self, alert: &Alert, now: DateTime<Utc>) -> String {
        format!("{}day={}/{}.json", self.folder, now.format("%Y-%m-%d"), alert.id.digest())
    }

    async fn find(&self, key: &str, deadline: Deadline) -> Result<bool, String> {
        let attempts = Attempts::default();
        let CallPolicy { timeouts, retries } = deadline.call(0).ok_or_else(|| attempts.timed_out())?;
        let head = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .customize()
            .config_override(Builder::new().timeout_config(timeouts).retry_config(retries))
            .interceptor(attempts.clone());
        match deadline.bound(head.send()).await.ok_or_else(|| attempts.timed_out())? {
            Ok(_) => Ok(true),
            Err(error) => match error.raw_response().map(|response| response.status().as_u16()) {
                Some(404) => Ok(false),
                Some(403) => {
                    Err("failed: 403; grant s3:GetObject, and s3:ListBucket so that a missing one is a 404".to_owned())
                }
                _ => Err(format!("failed: {}", aws::service_error(&error))),
            },
        }
    }

    async fn create(&self, key: &str, body: String, deadline: Deadline) -> Result<(), String> {
        let attempts = Attempts::default();
        let CallPolicy { timeouts, retries } = deadline.call(body.len()).ok_or_else(|| attempts.timed_out())?;
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type("application/json")
            .if_none_match("*")
            .body(ByteStream::from(body.into_bytes()))
            .customize()
            .config_override(Builder::new().timeout_config(timeouts).retry_config(retries))
            .interceptor(attempts.clone());
        match deadline.bound(put.send()).await.ok_or_else(|| attempts.timed_out())? {
            Ok(_) => Ok(()),
            // Another instance was faster, or an answer was lost. After a 409 somebody else is creating it.
            Err(error) => match error.raw_response().map(|response| response.status().as_u16()) {
                Some(409 | 412) => Ok(()),
                _ => Err(format!("failed: {}", aws::service_error(&error))),
            },
        }
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
