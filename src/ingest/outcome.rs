//! What became of a delivery.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    aws::{CallError, s3::PutOutcome, secrets::Refused},
    core::{
        lake::{Summary, Table},
        schema::{ALERT, Counted, Schema, Tally},
        severity::Severity,
    },
};

/// How many keys the log line of an invocation names.
const MAX_KEYS: usize = 20;

/// The result of one delivery, whether it was stored or not.
#[derive(Debug)]
pub struct Ingested<'s> {
    /// How it ended.
    pub outcome: Outcome,
    /// What was done with a payload whose signature verified.
    pub payload: Option<PayloadReport<'s>>,
}

/// How a delivery ended.
#[derive(Debug)]
pub enum Outcome {
    /// Everything is in the lake.
    Stored,
    /// Not everything was stored in time, and the delivery waits in the spill queue.
    Queued(NotStored),
    /// The signature does not verify, or nobody knows whether it does.
    Refused(Refused),
    /// Not everything was stored, and no queue can take the delivery.
    StoreUnavailable(NotStored),
    /// Not everything was stored, and the spill queue did not take the delivery either.
    QueueUnavailable(NotStored, CallError),
}

/// Why a verified delivery is not in the lake.
#[derive(Debug, thiserror::Error)]
pub enum NotStored {
    /// S3 did not store everything in time.
    #[error(transparent)]
    S3(CallError),
    /// Its payload takes too long to read.
    #[error("the payload could not be read in time")]
    Unread,
}

impl NotStored {
    /// What failed.
    fn what(&self) -> &'static str {
        match self {
            Self::S3(_) => "S3",
            Self::Unread => "reading",
        }
    }
}

impl Outcome {
    /// The outcome as the log line calls it.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Queued(_) => "queued",
            Self::Refused(Refused::Unauthorized(_)) => "unauthorized",
            Self::Refused(Refused::TooSoon) => "unverified",
            Self::Refused(Refused::SecretUnavailable(_)) => "secret unavailable",
            Self::StoreUnavailable(_) | Self::QueueUnavailable(..) => "store unavailable",
        }
    }

    /// The text of the log line that tells an operator what failed. `None` if nothing did.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Stored | Self::Refused(Refused::Unauthorized(_) | Refused::TooSoon) => None,
            Self::Queued(cause) => {
                Some(format!("{} failed, so the delivery waits in the spill queue: {cause}", cause.what()))
            }
            Self::Refused(Refused::SecretUnavailable(secret)) => {
                Some(format!("cannot fetch the shared secret: {secret}"))
            }
            Self::StoreUnavailable(cause) => Some(format!("cannot store the delivery: {cause}")),
            Self::QueueUnavailable(cause, queue) => {
                let what = cause.what();
                Some(format!("{what} and the spill queue failed, so the delivery is not stored: {cause}; {queue}"))
            }
        }
    }
}

/// What was done with a payload whose signature verified. An object that was not stored does not count.
#[derive(Debug, Default)]
pub struct PayloadReport<'s> {
    /// The size of the body as it was sent.
    pub body_bytes: usize,
    /// Whether the shared secret should have been read again and could not be.
    pub has_stale_secret: bool,
    /// Whether the body was signed with an earlier secret than the current one.
    pub has_earlier_secret: bool,
    /// Logs in new objects.
    pub stored: usize,
    /// Logs that were in the lake already, or came twice.
    pub duplicates: usize,
    /// Classification failures.
    pub failures: usize,
    /// The logs in the lake, by log type.
    pub log_types: BTreeMap<&'s str, LogTypeReport<'s>>,
    /// The keys of the first objects that are in the lake.
    pub keys: Vec<String>,
    /// How many more objects are in the lake.
    pub more_keys: usize,
    /// How long S3 took.
    pub store_latency: Duration,
}

/// What metrics say about the logs of one log type.
#[derive(Debug)]
pub struct LogTypeReport<'s> {
    /// The log type's schema.
    pub schema: &'s Schema,
    /// How many logs are in new objects.
    pub logs: usize,
    /// What the schema's metric rules count of all logs that are in the lake now, new or not.
    pub tally: Tally,
}

impl<'s> PayloadReport<'s> {
    /// The report of a body of this size, of which nothing is stored yet.
    #[must_use]
    pub fn new(body_bytes: usize, has_stale_secret: bool) -> Self {
        Self { body_bytes, has_stale_secret, ..Self::default() }
    }

    /// Records an object that is in the lake.
    pub fn record(&mut self, key: String, Summary { table, count, tally }: Summary<'s>, outcome: PutOutcome) {
        if self.keys.len() < MAX_KEYS {
            self.keys.push(key);
        } else {
            self.more_keys += 1;
        }
        match (table, outcome) {
            (Table::Failures, _) => self.failures += count,
            (Table::LogType(schema), outcome) => {
                let report = self.log_types.entry(&schema.log_type);
                let report = report.or_insert_with(|| LogTypeReport { schema, logs: 0, tally: Tally::default() });
                if outcome == PutOutcome::Created {
                    self.stored += count;
                    report.logs += count;
                } else {
                    self.duplicates += count;
                }
                // Duplicates too: the invocation that created the object may have ended before it could count.
                report.tally.merge(&tally);
            }
        }
    }

    /// How many of the alerts and classification failures in the lake notify people, if alerts do from this severity
    /// on. An alert whose severity nobody knows does. The rule of their schema counts alerts by severity; a rule of
    /// another log type says nothing of people.
    #[must_use]
    pub fn alerts_to_notify(&self, threshold: Severity) -> u64 {
        let is_below = |value: &str| value.parse().is_ok_and(|known: Severity| known < threshold);
        let mut alerts = 0;
        if let Some(LogTypeReport { schema, tally, .. }) = self.log_types.get(ALERT) {
            for (metric, counts) in tally.by_metric(&schema.metrics) {
                let Counted::By { dimension, values, .. } = &metric.counted else { continue };
                if dimension == "Severity" {
                    let notifying = values.iter().zip(counts).filter(|(value, _)| !is_below(value));
                    alerts += notifying.map(|(_, count)| count).sum::<u64>();
                }
            }
        }
        self.failures as u64 + alerts
    }
}
