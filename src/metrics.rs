//! The log line of an invocation. It is in CloudWatch's embedded metric format, so that the same line is what a person
//! reads and what the metrics of namespace `TracebitLake` are made from. What has a dimension cannot stand in it: each
//! log type and each severity that was stored gets a short line of its own, before it.
//!
//! `StoreErrors` counts the deliveries that were not stored at once, be it for S3 or for the secret; `Spilled` those of
//! them that wait in the spill queue.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use metrique::{
    CloseValue as _, RootEntry,
    emf::{Emf, flags::NoMetric},
    unit::{Byte, Millisecond},
    unit_of_work::metrics,
    writer::{AnyEntrySink as _, FormatExt as _, sink::AnyFlushImmediately},
};

use crate::{lot::Object, schema::Log, store::Put};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "TracebitLake";

/// The log types that have metrics of their own.
const ALERT: &str = "Tracebit.Alert";
const HEALTH_CHECK: &str = "Tracebit.HealthCheck";

/// The values of dimension `Severity`: Tracebit's Info, Medium and High, two that it may come to use, and one for all
/// else, for a dimension must not grow with what is sent.
const SEVERITIES: [&str; 6] = ["Info", "Low", "Medium", "High", "Critical", OTHER_SEVERITY];
const OTHER_SEVERITY: &str = "Other";

/// A line holds this many keys at most.
const MAX_KEYS: usize = 20;

/// What the metrics count of logs, beside their number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Alerts by severity, in the order of [`SEVERITIES`].
    alerts: [u64; SEVERITIES.len()],
    /// Health checks.
    pub health_checks: u64,
    /// Health checks that say `is_healthy: false`.
    pub unhealthy: u64,
}

impl Tally {
    /// Counts one log.
    pub fn add(&mut self, log: &Log<'_, '_>) {
        match log.schema.log_type.as_str() {
            ALERT => {
                let severity = severity(log.severity);
                for (known, count) in SEVERITIES.iter().zip(&mut self.alerts) {
                    *count += u64::from(*known == severity);
                }
            }
            HEALTH_CHECK => {
                self.health_checks += 1;
                self.unhealthy += u64::from(log.is_healthy == Some(b"false"));
            }
            _ => {}
        }
    }

    fn merge(&mut self, other: &Self) {
        for (count, more) in self.alerts.iter_mut().zip(other.alerts) {
            *count += more;
        }
        self.health_checks += other.health_checks;
        self.unhealthy += other.unhealthy;
    }
}

fn severity(raw: Option<&[u8]>) -> &'static str {
    let text: Option<String> = raw.and_then(|raw| serde_json::from_slice(raw).ok());
    let is_it = |known: &&str| text.as_deref().is_some_and(|text| text.eq_ignore_ascii_case(known));
    SEVERITIES.into_iter().find(is_it).unwrap_or(OTHER_SEVERITY)
}

/// How an invocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is in the lake.
    Stored,
    /// S3 did not take everything in time, and the delivery waits in the spill queue.
    Queued,
    /// Not a `POST`.
    MethodNotAllowed,
    /// The signature is missing, malformed or wrong.
    Unauthorized,
    /// The secret could not be had.
    SecretUnavailable,
    /// S3 did not take an object, nor did the spill queue, where there is one, take the delivery.
    StoreUnavailable,
    /// A message of the spill queue is no delivery with a good signature.
    MessageRefused,
}

/// What one invocation reports.
#[derive(Debug)]
pub struct Report {
    /// Lambda's request id.
    pub request_id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// From the event to the answer.
    pub duration: Duration,
    /// What was done with a payload whose signature held.
    pub delivery: Option<Delivery>,
}

/// What was done with a payload whose signature held. An object that was not stored is not counted.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// The body as it was sent, in bytes.
    payload_bytes: usize,
    /// The keys of the objects that are in the lake.
    keys: Vec<String>,
    /// Logs in new objects, by log type.
    logs: BTreeMap<String, usize>,
    /// What else is in the new objects.
    tally: Tally,
    /// Logs in new objects.
    pub stored: usize,
    /// Logs that were there already, or came twice.
    pub duplicates: usize,
    /// Classification failures.
    pub failures: usize,
    /// How long S3 took.
    pub store_latency: Duration,
}

impl Delivery {
    /// A delivery of a body of so many bytes, of which nothing is stored yet.
    #[must_use]
    pub fn of(payload_bytes: usize) -> Self {
        Self { payload_bytes, ..Self::default() }
    }

    /// Counts an object that is in the lake.
    pub fn count(&mut self, object: Object<'_>, put: Put) {
        self.keys.push(object.key);
        match (object.log_type, put) {
            (None, _) => self.failures += object.count,
            (Some(_), Put::Existed) => self.duplicates += object.count,
            (Some(log_type), Put::Created) => {
                self.stored += object.count;
                *self.logs.entry(log_type.to_owned()).or_default() += object.count;
                self.tally.merge(&object.tally);
            }
        }
    }
}

#[metrics(rename_all = "PascalCase")]
struct Line {
    #[metrics(timestamp)]
    timestamp: SystemTime,
    request_id: String,
    outcome: &'static str,
    #[metrics(unit = Millisecond, flags(NoMetric))]
    duration: Duration,
    unauthorized: Option<u64>,
    spilled: Option<u64>,
    store_errors: Option<u64>,
    #[metrics(flatten)]
    delivery: Option<DeliveryLine>,
}

#[metrics(subfield_owned, rename_all = "PascalCase")]
struct DeliveryLine {
    #[metrics(unit = Byte)]
    payload_bytes: u64,
    #[metrics(flags(NoMetric))]
    stored: u64,
    duplicates: u64,
    classification_failures: u64,
    health_checks: u64,
    unhealthy_health_checks: u64,
    #[metrics(unit = Millisecond)]
    store_latency: Duration,
    keys: Vec<String>,
    #[metrics(flags(NoMetric))]
    more_keys: Option<u64>,
}

#[metrics(rename_all = "PascalCase", emf::dimension_sets = [["LogType"]])]
struct ByLogType {
    #[metrics(timestamp)]
    timestamp: SystemTime,
    log_type: String,
    logs_stored: u64,
}

#[metrics(rename_all = "PascalCase", emf::dimension_sets = [["Severity"]])]
struct BySeverity {
    #[metrics(timestamp)]
    timestamp: SystemTime,
    severity: &'static str,
    alerts_stored: u64,
}

/// Writes reports to standard output, where Lambda and CloudWatch pick them up.
pub struct Metrics(Box<dyn Fn(Report) + Send + Sync>);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Lines to standard output, each flushed at once: Lambda may freeze the process after the answer.
    #[must_use]
    pub fn to_stdout() -> Self {
        Self::to_writer(io::stdout)
    }

    /// No lines at all: for the local mode, whose output is made for a person.
    #[must_use]
    pub fn none() -> Self {
        Self(Box::new(drop))
    }

    fn to_writer<W: io::Write + 'static>(writer: impl Fn() -> W + Send + Sync + 'static) -> Self {
        let format = Emf::builder(NAMESPACE.to_owned(), vec![vec![]]).build();
        let lines = Lines::default();
        let made = lines.clone();
        let sink = AnyFlushImmediately::new(format.output_to_makewriter(move || made.clone()));
        Self(Box::new(move |report| {
            let timestamp = SystemTime::now();
            if let Some(delivery) = &report.delivery {
                for (log_type, logs) in &delivery.logs {
                    let line = ByLogType { timestamp, log_type: log_type.clone(), logs_stored: count(*logs) };
                    sink.append_any(RootEntry::new(line.close()));
                }
                for (severity, alerts_stored) in SEVERITIES.into_iter().zip(delivery.tally.alerts) {
                    if alerts_stored > 0 {
                        let line = BySeverity { timestamp, severity, alerts_stored };
                        sink.append_any(RootEntry::new(line.close()));
                    }
                }
            }
            sink.append_any(RootEntry::new(Line::new(report, timestamp).close()));
            // Nobody is left to be told that standard output is closed.
            lines.write_to(writer()).ok();
        }))
    }

    /// Writes the report of one invocation.
    pub fn write(&self, report: Report) {
        (self.0)(report);
    }
}

/// The lines of one report, which leave in one piece: each write wakes whoever reads.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write_to(&self, mut writer: impl io::Write) -> io::Result<()> {
        writer.write_all(&self.take())?;
        writer.flush()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Line {
    fn new(report: Report, timestamp: SystemTime) -> Self {
        let one_if = |condition: bool| condition.then_some(1);
        let is_failed =
            matches!(report.outcome, Outcome::Queued | Outcome::SecretUnavailable | Outcome::StoreUnavailable);
        Self {
            timestamp,
            request_id: report.request_id,
            outcome: match report.outcome {
                Outcome::Stored => "stored",
                Outcome::Queued => "queued",
                Outcome::MessageRefused => "message refused",
                Outcome::MethodNotAllowed => "method not allowed",
                Outcome::Unauthorized => "unauthorized",
                Outcome::SecretUnavailable => "secret unavailable",
                Outcome::StoreUnavailable => "store unavailable",
            },
            duration: report.duration,
            unauthorized: one_if(report.outcome == Outcome::Unauthorized),
            spilled: one_if(report.outcome == Outcome::Queued),
            store_errors: one_if(is_failed),
            delivery: report.delivery.map(DeliveryLine::new),
        }
    }
}

impl DeliveryLine {
    fn new(mut delivery: Delivery) -> Self {
        let more_keys = delivery.keys.len().saturating_sub(MAX_KEYS);
        delivery.keys.truncate(MAX_KEYS);
        Self {
            payload_bytes: count(delivery.payload_bytes),
            stored: count(delivery.stored),
            duplicates: count(delivery.duplicates),
            classification_failures: count(delivery.failures),
            health_checks: delivery.tally.health_checks,
            unhealthy_health_checks: delivery.tally.unhealthy,
            store_latency: delivery.store_latency,
            keys: delivery.keys,
            more_keys: (more_keys > 0).then(|| count(more_keys)),
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
