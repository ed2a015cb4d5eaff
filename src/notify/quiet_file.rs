//! The operator's file of rules, as it is now.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use super::quiet::Rules;
use crate::{
    aws::{
        Deadline,
        s3::{Bucket, Read},
    },
    core::lake::Prefix,
};

/// The file, in the folder of the operator's own, beside the tables.
const FOLDER: &str = "config";
const FILE: &str = "quiet.json";

/// The largest file that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// How long rules are used before the file is read again, and how long that may take.
const FRESH: TimeDelta = TimeDelta::minutes(1);
const READ_TIME: Duration = Duration::from_secs(2);

/// Rules, and whether they are those of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Current {
    pub(super) rules: Arc<Rules>,
    /// Whether the file could not be used, so that no rule counts.
    pub(super) is_void: bool,
}

/// Reads the file when it is needed.
#[derive(Debug)]
pub(super) struct QuietFile {
    bucket: Bucket,
    key: String,
    current: Mutex<Option<(DateTime<Utc>, Current)>>,
}

impl QuietFile {
    pub(super) fn new(bucket: Bucket, prefix: &Prefix) -> Self {
        Self { bucket, key: format!("{}{FILE}", prefix.folder(FOLDER)), current: Mutex::default() }
    }

    /// The rules that count now. If the file cannot be used, none does, and the log says why.
    pub(super) async fn current(&self, now: DateTime<Utc>, deadline: Deadline) -> Current {
        let mut current = self.current.lock().await;
        if let Some((read, known)) = &*current
            && (TimeDelta::zero()..FRESH).contains(&(now - *read))
        {
            return known.clone();
        }
        let share = Deadline::after(deadline.share_of(4).left().min(READ_TIME));
        let read = match self.bucket.read(&self.key, MAX_BYTES, share).await {
            Ok(Read::Whole { bytes, .. }) => Rules::read(&bytes, now.date_naive()).map_err(|error| error.to_string()),
            Ok(Read::TooLarge) => Err(format!("it is larger than {MAX_BYTES} bytes")),
            Err(error) => Err(error.to_string()),
        };
        let known = match read {
            Ok(rules) => Current { rules: rules.into(), is_void: false },
            Err(problem) => {
                tracing::error!("the quiet rules cannot be used, so every alert notifies: {}: {problem}", self.key);
                Current { rules: Arc::default(), is_void: true }
            }
        };
        *current = Some((now, known.clone()));
        known
    }
}
