//! The log line of an invocation. It is in CloudWatch's embedded metric format (EMF), so people read the same line from
//! which CloudWatch makes the metrics of namespace `TracebitLake`. A metric with a dimension needs a line of its own,
//! so the log types and the values of metric rules come in short lines before it.
//!
//! The lines are made by hand. The `metrique` crate wants every metric as a struct at build time, but a schema file
//! adds metrics; and it brought 50 packages for three shapes of line.
//!
//! Source of the format: AWS's documentation, "Specification: Embedded metric format".

use std::{
    io::Write as _,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::core::schema;

/// The namespace of all metrics.
const NAMESPACE: &str = "TracebitLake";

/// A metric that the functions write themselves. The rules in the schema files add others.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// The name in CloudWatch.
    pub name: &'static str,
    /// The dimension that it has beside the stack, if any.
    pub dimension: Option<&'static str>,
    /// What it counts or measures.
    pub counts: &'static str,
}

/// Every metric that is not of a schema. This list is the only one: the docs and the tests are made of it, and a line
/// that writes another name fails its test.
pub const METRICS: [Metric; 24] = [
    metric("LogsStored", "logs in new objects").by("LogType"),
    metric("AlertsToNotify", "logs in the lake of which people must be notified, and classification failures"),
    metric("Duplicates", "logs that were already in the lake"),
    metric("ClassificationFailures", "records in `classification_failures`"),
    metric("UnknownFields", "logs with a field that the schema does not know"),
    metric("Unauthorized", "requests without a good signature"),
    metric(
        "SignatureMismatches",
        "those of them whose signature is well-formed and made with a different secret or body",
    ),
    metric("StaleSecrets", "deliveries verified with a secret that could not be read again"),
    metric("StoreErrors", "deliveries that were not stored at once: queued, or answered 503"),
    metric("Spilled", "those of them that were queued"),
    metric("StoreLatency", "milliseconds to store a payload"),
    metric("PayloadBytes", "bytes of verified bodies, as sent"),
    metric("AlertsNotified", "records of which people were notified, by e-mail or in chat"),
    metric("AlertsQuieted", "records that a rule in `config/quiet.json` kept quiet"),
    metric("VoidQuietRules", "messages of the notifier's queue that came while these rules could not be used"),
    metric("EventsPublished", "events for machines"),
    metric("NotifyFailures", "messages of the notifier's queue that stay there"),
    metric("AlertsListed", "alerts of the last days that Tracebit's API lists"),
    metric("AlertsMissing", "those of them that should be in the lake and are not"),
    metric("LogsRecovered", "logs of missing alerts that the watcher put into the lake"),
    metric("AlertsUnpublished", "records in the lake of which people must be notified and were not"),
    metric("AlertSubscribers", "confirmed subscriptions of the topic for alerts"),
    metric("AlarmSubscribers", "confirmed subscriptions of the topic for alarms"),
    metric("WatchProblems", "things that the watcher could not look at"),
];

const fn metric(name: &'static str, counts: &'static str) -> Metric {
    Metric { name, dimension: None, counts }
}

impl Metric {
    const fn by(self, dimension: &'static str) -> Self {
        Self { dimension: Some(dimension), ..self }
    }
}

/// Writes lines to standard output, where CloudWatch picks them up. They leave in one write, because Lambda may freeze
/// the process after the response.
pub(crate) fn write(lines: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    // If standard output is closed, nobody can read an error either.
    stdout.write_all(lines).and_then(|()| stdout.flush()).ok();
}

/// A duration in milliseconds, to the microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an invocation has fewer microseconds than 2 to the power of 52")]
    let microseconds = duration.as_micros() as f64;
    microseconds / 1000.0
}

/// One EMF line.
#[derive(Default)]
pub(crate) struct Line<'a> {
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
    pub(crate) fn of(stack: Option<&str>) -> Self {
        let line = Self::default();
        stack.map_or_else(Self::default, |stack| line.by("Stack", stack))
    }

    /// A line whose metrics have this dimension, too.
    pub(crate) fn by(mut self, dimension: &'a str, value: &str) -> Self {
        self.dimensions.push(dimension);
        self.property(dimension, value)
    }

    /// A member that people read and CloudWatch does not count.
    pub(crate) fn property(mut self, name: &str, value: impl Serialize) -> Self {
        self.members.push(b',');
        push_json(&mut self.members, name);
        self.members.push(b':');
        push_json(&mut self.members, value);
        self
    }

    /// The same, but left out if there is no value.
    pub(crate) fn optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.property(name, value),
            None => self,
        }
    }

    /// A member that CloudWatch counts, in this unit. The name is one of [`METRICS`].
    pub(crate) fn metric(self, name: &'a str, unit: Option<&'a str>, value: impl Serialize) -> Self {
        debug_assert!(METRICS.iter().any(|metric| metric.name == name), "{name} is not in METRICS");
        self.counted(name, unit, value)
    }

    /// The same without a unit.
    pub(crate) fn count(self, name: &'a str, value: impl Serialize) -> Self {
        self.metric(name, None, value)
    }

    /// What a metric rule of a schema counts.
    pub(crate) fn count_by_rule(self, rule: &'a schema::Metric, value: u64) -> Self {
        self.counted(&rule.name, None, value)
    }

    fn counted(mut self, name: &'a str, unit: Option<&'a str>, value: impl Serialize) -> Self {
        self.metrics.push(Definition { name, unit });
        self.property(name, value)
    }

    /// The line's text.
    pub(crate) fn finish(self, now: SystemTime) -> Vec<u8> {
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
