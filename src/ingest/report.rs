//! The log line of an invocation of the webhook or the drain, with its metrics.

use std::time::{Duration, SystemTime};

use super::{
    app::App,
    outcome::{Ingested, LogTypeReport, Outcome, PayloadReport},
};
use crate::{
    aws::secrets::Refused,
    core::{
        schema::{Counted, Tally},
        signature::SignatureError,
    },
    metrics::{self, Line, milliseconds},
};

/// What one invocation, or one message of the spill queue, reports.
#[derive(Debug)]
pub(super) struct Report<'a> {
    /// Lambda's request id.
    pub(super) request_id: &'a str,
    /// The message of the spill queue that was processed, if any.
    pub(super) message_id: Option<&'a str>,
    /// The outcome in a few words.
    pub(super) outcome: &'static str,
    /// Why a request was refused.
    pub(super) reason: Option<String>,
    /// The time from the event to the response.
    pub(super) duration: Duration,
    /// What became of a delivery, if there was one.
    pub(super) ingested: Option<&'a Ingested<'a>>,
}

/// Writes the report. A metric with a dimension has a line of its own, before that of the invocation.
pub(super) fn write(report: &Report<'_>, app: &App) {
    metrics::write(&lines(report, app, SystemTime::now()));
}

fn lines(report: &Report<'_>, app: &App, now: SystemTime) -> Vec<u8> {
    let stack = app.stack();
    let payload = report.ingested.and_then(|ingested| ingested.payload.as_ref());
    let mut lines = Vec::new();
    for LogTypeReport { schema, logs, tally } in payload.into_iter().flat_map(|payload| payload.log_types.values()) {
        if *logs > 0 {
            lines.extend(Line::of(stack).by("LogType", &schema.log_type).count("LogsStored", *logs).finish(now));
        }
        for (metric, counts) in tally.by_metric(&schema.metrics) {
            let Counted::By { dimension, values, .. } = &metric.counted else { continue };
            for (value, count) in values.iter().zip(counts).filter(|(_, count)| **count > 0) {
                lines.extend(Line::of(stack).by(dimension, value).count_by_rule(metric, *count).finish(now));
            }
        }
    }
    lines.extend(invocation_line(report, app, Line::of(stack)).finish(now));
    lines
}

/// The line of the invocation itself, with the metrics that have no dimension.
fn invocation_line<'s>(report: &Report<'_>, app: &'s App, line: Line<'s>) -> Line<'s> {
    let mut line = line
        .property("RequestId", report.request_id)
        .optional("MessageId", report.message_id)
        .property("Outcome", report.outcome)
        .optional("Reason", report.reason.as_deref())
        .property("Duration", milliseconds(report.duration));
    let Some(Ingested { outcome, payload }) = report.ingested else { return line };
    match outcome {
        Outcome::Stored => {}
        Outcome::Refused(Refused::Unauthorized(SignatureError::Mismatch) | Refused::TooSoon) => {
            line = line.count("Unauthorized", 1_u64).count("SignatureMismatches", 1_u64);
        }
        Outcome::Refused(Refused::Unauthorized(_)) => line = line.count("Unauthorized", 1_u64),
        Outcome::Queued(_) => line = line.count("Spilled", 1_u64).count("StoreErrors", 1_u64),
        Outcome::Refused(Refused::SecretUnavailable(_))
        | Outcome::StoreUnavailable(_)
        | Outcome::QueueUnavailable(..) => {
            line = line.count("StoreErrors", 1_u64);
        }
    }
    match payload {
        Some(payload) => payload_metrics(line, payload, app),
        None => line,
    }
}

fn payload_metrics<'s>(line: Line<'s>, payload: &PayloadReport<'_>, app: &'s App) -> Line<'s> {
    let mut line = line
        .metric("PayloadBytes", Some("Bytes"), payload.body_bytes)
        .property("Stored", payload.stored)
        .optional("Secret", payload.has_earlier_secret.then_some("previous"))
        .count("Duplicates", payload.duplicates)
        .count("ClassificationFailures", payload.failures)
        // Zero too, so that the alarm's metric always has data.
        .count("AlertsToNotify", payload.alerts_to_notify(app.threshold()))
        .count("UnknownFields", payload.log_types.values().map(|report| report.tally.unknown_fields).sum::<u64>())
        .count("StaleSecrets", u64::from(payload.has_stale_secret))
        // The notifier counts events. The zero gives the metric data if the notifier never ran, so that the alarm which
        // compares it with the alerts in the lake can see that.
        .count("EventsPublished", 0_u64);
    for schema in app.schemas().iter() {
        let empty = Tally::default();
        let tally = payload.log_types.get(schema.log_type.as_str()).map_or(&empty, |report| &report.tally);
        for (metric, counts) in tally.by_metric(&schema.metrics) {
            if !matches!(metric.counted, Counted::By { .. }) {
                line = line.count_by_rule(metric, counts.iter().sum());
            }
        }
    }
    line = line
        .metric("StoreLatency", Some("Milliseconds"), milliseconds(payload.store_latency))
        .property("Keys", &payload.keys);
    if payload.more_keys > 0 { line.property("MoreKeys", payload.more_keys) } else { line }
}
