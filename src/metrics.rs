//! The log line of an invocation. It is in CloudWatch's embedded metric format (EMF), so people read the same line from
//! which CloudWatch makes the metrics of namespace `TracebitLake`. A metric with a dimension needs a line of its own, so
//! the log types and the values of metric rules come in short lines before it.
//!
//! The lines are made by hand. The `metrique` crate wants every metric as a struct at build time, but a schema file adds
//! metrics; and it brought 50 packages for three shapes of line.
//!
//! Source of the format: AWS's documentation, "Specification: Embedded metric format".

use std::{
    io::Write as _,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::{
    core::{
        schema::{Counted, Metric, Schemas, Tally},
        signature::SignatureError,
    },
    ingest::outcome::{Ingested, LogTypeReport, Outcome, PayloadReport},
};

/// The namespace of all metrics.
pub(crate) const NAMESPACE: &str = "TracebitLake";

/// What one invocation, or one message of the spill queue, reports.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// Lambda's request id.
    pub(crate) request_id: &'a str,
    /// The message of the spill queue that was processed, if any.
    pub(crate) message_id: Option<&'a str>,
    /// The outcome in a few words.
    pub(crate) outcome: &'static str,
    /// Why a request was refused.
    pub(crate) reason: Option<String>,
    /// The time from the event to the response.
    pub(crate) duration: Duration,
    /// What became of a delivery, if there was one.
    pub(crate) ingested: Option<&'a Ingested<'a>>,
}

/// What the notifier reports of one message.
#[derive(Debug)]
pub(crate) struct NotifyReport<'a> {
    /// Lambda's request id.
    pub(crate) request_id: &'a str,
    /// The SQS message.
    pub(crate) message_id: &'a str,
    /// The outcome in a few words.
    pub(crate) outcome: &'static str,
    /// How long it took.
    pub(crate) duration: Duration,
    /// The key of its object.
    pub(crate) key: Option<&'a str>,
    /// The records that ring and of which people were told.
    pub(crate) alerts: usize,
    /// How many of these messages were the first of their alert and day.
    pub(crate) firsts: usize,
    /// The events that are on the bus.
    pub(crate) events: usize,
    /// Whether the message stays in the queue.
    pub(crate) has_failed: bool,
}

impl Outcome {
    /// The outcome as the log line calls it.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Queued(_) => "queued",
            Self::Unauthorized(_) => "unauthorized",
            Self::Unverified => "unverified",
            Self::SecretUnavailable(_) => "secret unavailable",
            Self::StoreUnavailable(_) | Self::QueueUnavailable(..) => "store unavailable",
        }
    }
}

/// Writes the report to standard output, where CloudWatch picks it up. All lines leave in one write, because Lambda may
/// freeze the process after the response.
pub(crate) fn write(report: &Report<'_>, schemas: &Schemas, stack: Option<&str>) {
    write_lines(&lines(report, schemas, stack, SystemTime::now()));
}

/// Writes the notifier's report in the same way.
pub(crate) fn write_notified(report: &NotifyReport<'_>, stack: Option<&str>) {
    write_lines(&notified_line(report, stack).finish(SystemTime::now()));
}

fn notified_line<'a>(report: &NotifyReport<'_>, stack: Option<&str>) -> Line<'a> {
    Line::of(stack)
        .property("RequestId", report.request_id)
        .property("MessageId", report.message_id)
        .property("Outcome", report.outcome)
        .property("Duration", milliseconds(report.duration))
        .optional("Key", report.key)
        .property("FirstMessages", report.firsts)
        .count("AlertsNotified", report.alerts)
        .count("EventsPublished", report.events)
        .count("NotifyFailures", u64::from(report.has_failed))
}

fn write_lines(lines: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    // If standard output is closed, nobody can read an error either.
    stdout.write_all(lines).and_then(|()| stdout.flush()).ok();
}

fn lines(report: &Report<'_>, schemas: &Schemas, stack: Option<&str>, now: SystemTime) -> Vec<u8> {
    let payload = report.ingested.and_then(|ingested| ingested.payload.as_ref());
    let mut lines = Vec::new();
    for LogTypeReport { schema, logs, tally } in payload.into_iter().flat_map(|payload| payload.log_types.values()) {
        if *logs > 0 {
            lines.extend(Line::of(stack).by("LogType", &schema.log_type).count("LogsStored", *logs).finish(now));
        }
        for (Metric { name, counted }, counts) in tally.by_metric(&schema.metrics) {
            let Counted::By { dimension, values, .. } = counted else { continue };
            for (value, count) in values.iter().zip(counts).filter(|(_, count)| *count > 0) {
                lines.extend(Line::of(stack).by(dimension, value).count(name, count).finish(now));
            }
        }
    }
    lines.extend(invocation_line(report, schemas, Line::of(stack)).finish(now));
    lines
}

/// The line of the invocation itself, with the metrics that have no dimension.
fn invocation_line<'s>(report: &Report<'_>, schemas: &'s Schemas, line: Line<'s>) -> Line<'s> {
    let mut line = line
        .property("RequestId", report.request_id)
        .optional("MessageId", report.message_id)
        .property("Outcome", report.outcome)
        .optional("Reason", report.reason.as_deref())
        .property("Duration", milliseconds(report.duration));
    let Some(Ingested { outcome, payload }) = report.ingested else { return line };
    match outcome {
        Outcome::Stored => {}
        Outcome::Unauthorized(SignatureError::Mismatch) | Outcome::Unverified => {
            line = line.count("Unauthorized", 1_u64).count("SignatureMismatches", 1_u64);
        }
        Outcome::Unauthorized(_) => line = line.count("Unauthorized", 1_u64),
        Outcome::Queued(_) => line = line.count("Spilled", 1_u64).count("StoreErrors", 1_u64),
        Outcome::SecretUnavailable(_) | Outcome::StoreUnavailable(_) | Outcome::QueueUnavailable(..) => {
            line = line.count("StoreErrors", 1_u64);
        }
    }
    match payload {
        Some(payload) => payload_metrics(line, payload, schemas),
        None => line,
    }
}

fn payload_metrics<'s>(line: Line<'s>, payload: &PayloadReport<'_>, schemas: &'s Schemas) -> Line<'s> {
    let mut line = line
        .metric("PayloadBytes", Some("Bytes"), payload.body_bytes)
        .property("Stored", payload.stored)
        .count("Duplicates", payload.duplicates)
        .count("ClassificationFailures", payload.failures)
        .count("UnknownFields", payload.log_types.values().map(|report| report.tally.unknown_fields).sum::<u64>())
        .count("StaleSecrets", u64::from(payload.has_stale_secret))
        // The notifier counts events. The zero gives the metric data if the notifier never ran, so that the alarm which
        // compares it with the alerts in the lake can see that.
        .count("EventsPublished", 0_u64);
    for schema in schemas.iter() {
        let empty = Tally::default();
        let tally = payload.log_types.get(schema.log_type.as_str()).map_or(&empty, |report| &report.tally);
        for (Metric { name, counted }, counts) in tally.by_metric(&schema.metrics) {
            if !matches!(counted, Counted::By { .. }) {
                line = line.count(name, counts.iter().sum::<u64>());
            }
        }
    }
    line = line
        .metric("StoreLatency", Some("Milliseconds"), milliseconds(payload.store_latency))
        .property("Keys", &payload.keys);
    if payload.more_keys > 0 { line.property("MoreKeys", payload.more_keys) } else { line }
}

/// A duration in milliseconds, to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an invocation has fewer microseconds than 2 to the power of 52")]
    let microseconds = duration.as_micros() as f64;
    microseconds / 1000.0
}

/// One EMF line.
#[derive(Default)]
struct Line<'a> {
    dimensions: Vec<&'a str>,
    metrics: Vec<Definition<'a>>,
    /// The members as JSON, each with a comma before it.
    members: Vec<u8>,
}

/// What tells CloudWatch that a member is a metric.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    timestamp: u128,
    cloud_watch_metrics: [Directive<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'a str,
    dimensions: [Vec<&'a str>; 1],
    metrics: Vec<Definition<'a>>,
}

impl<'a> Line<'a> {
    /// A line of this stack.
    fn of(stack: Option<&str>) -> Self {
        let line = Self::default();
        stack.map_or_else(Self::default, |stack| line.by("Stack", stack))
    }

    /// A line whose metrics have this dimension, too.
    fn by(mut self, dimension: &'a str, value: &str) -> Self {
        self.dimensions.push(dimension);
        self.property(dimension, value)
    }

    /// A member that people read and CloudWatch does not count.
    fn property(mut self, name: &str, value: impl Serialize) -> Self {
        self.members.push(b',');
        push_json(&mut self.members, name);
        self.members.push(b':');
        push_json(&mut self.members, value);
        self
    }

    /// The same, but left out if there is no value.
    fn optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.property(name, value),
            None => self,
        }
    }

    fn metric(mut self, name: &'a str, unit: Option<&'a str>, value: impl Serialize) -> Self {
        self.metrics.push(Definition { name, unit });
        self.property(name, value)
    }

    fn count(self, name: &'a str, value: impl Serialize) -> Self {
        self.metric(name, None, value)
    }

    /// The line's text.
    fn finish(self, now: SystemTime) -> Vec<u8> {
        let timestamp = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let Self { dimensions, metrics, members } = self;
        let directive = Directive { namespace: NAMESPACE, dimensions: [dimensions], metrics };
        let mut line = br#"{"_aws":"#.to_vec();
        push_json(&mut line, Metadata { timestamp, cloud_watch_metrics: [directive] });
        line.extend(members);
        line.extend(b"}\n");
        line
    }
}

/// Appends a value as JSON. That cannot fail, because no value here has a map, and memory takes every byte.
fn push_json(json: &mut Vec<u8>, value: impl Serialize) {
    serde_json::to_writer(json, &value).ok();
}
