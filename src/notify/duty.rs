//! What people must have been notified of, and what markers say that they were: for whoever watches the notifier.

use std::collections::{HashMap, HashSet};

use chrono::NaiveDate;

use super::{
    event::CreatedObject,
    facts::Alert,
    markers::{self, Rank},
    record::{Record, Records},
};
use crate::core::{lake::Prefix, schema::Schemas, severity::Severity};

/// Something in the lake of which people must be notified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Duty {
    subject: String,
    severity: Rank,
    /// What stands for the record itself in a marker that says that it is quiet.
    quiet: String,
}

/// What a watcher must know of an object.
#[derive(Debug, Default)]
pub(crate) struct Inspected {
    /// The `alert_id` of each record that has one, with the record's `p_source_label`.
    pub(crate) alerts: Vec<(String, Option<String>)>,
    /// Of what people must be notified.
    pub(crate) duties: Vec<Duty>,
}

/// What is in an object of the lake. `bytes` is `None` if it is too large to be read. An object that is not the lake's
/// holds nothing.
pub(crate) fn inspect(
    (key, size, bytes): (&str, usize, Option<&[u8]>),
    prefix: &Prefix,
    schemas: &Schemas,
    threshold: Severity,
) -> Inspected {
    const ANY: &str = "lake";
    let object = CreatedObject::listed(ANY, key, size);
    let Ok(place) = object.place(ANY, prefix, schemas) else { return Inspected::default() };
    let Some(bytes) = bytes else {
        return Inspected {
            duties: Alert::of_large(place, size).iter().map(Duty::of).collect(),
            ..Inspected::default()
        };
    };
    let records = Records::of(bytes, place).records;
    let named = |record: &Record<'_>| Some((record.alert_id()?, record.source_label()));
    Inspected {
        alerts: records.iter().filter_map(named).collect(),
        duties: records.iter().filter_map(|record| record.alert(threshold)).map(|alert| Duty::of(&alert)).collect(),
    }
}

/// The message that makes the notifier publish an object of the bucket.
pub(crate) fn message(bucket: &str, key: &str, size: usize) -> String {
    CreatedObject::listed(bucket, key, size).message()
}

impl Duty {
    fn of(alert: &Alert) -> Self {
        let quiet = markers::quiet_name(&alert.row_id);
        Self { subject: alert.subject.digest().to_owned(), severity: alert.severity, quiet }
    }
}

/// The days on which people were notified of each subject, and of which severity; and the records that a rule kept
/// quiet.
#[derive(Debug, Default)]
pub(crate) struct Notified {
    subjects: HashMap<String, Vec<(NaiveDate, Rank)>>,
    quiet: HashSet<String>,
}

impl Notified {
    /// The folder of the markers of the topic with this ARN.
    pub(crate) fn folder(prefix: &Prefix, topic_arn: &str) -> String {
        markers::folder(prefix, topic_arn)
    }

    /// The start of the markers' keys of this day.
    pub(crate) fn start_of(folder: &str, day: NaiveDate) -> String {
        format!("{folder}day={}/", day.format("%Y-%m-%d"))
    }

    /// What the markers with these keys say.
    pub(crate) fn of<'k>(folder: &str, keys: impl Iterator<Item = &'k str>) -> Self {
        let mut notified = Self::default();
        for key in keys {
            let rest = key.strip_prefix(folder).and_then(|rest| rest.strip_prefix("day="));
            let Some((day, name)) = rest.and_then(|rest| rest.split_once('/')) else { continue };
            let (Ok(day), Some((subject, kind))) = (day.parse(), name.split_once('-')) else { continue };
            if kind.strip_suffix(".json") == Some(markers::QUIET) {
                notified.quiet.insert(subject.to_owned());
            } else {
                notified.subjects.entry(subject.to_owned()).or_default().push((day, markers::rank(key)));
            }
        }
        notified
    }

    /// Whether people were notified of this, or of worse, on `day` or later. A notification on the day before is that
    /// of another object.
    pub(crate) fn fulfil(&self, duty: &Duty, day: NaiveDate) -> bool {
        let known = self.subjects.get(&duty.subject).map(Vec::as_slice).unwrap_or_default();
        self.quiet.contains(&duty.quiet)
            || known.iter().any(|(marked, severity)| *marked >= day && *severity >= duty.severity)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn duty(severity: Rank) -> Duty {
        Duty { subject: "00ff".to_owned(), severity, quiet: "77aa".to_owned() }
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_marker_of_the_day_or_a_later_one_and_of_as_high_a_severity_fulfils_a_duty() {
        let keys = ["f/day=2026-11-24/00ff-medium.json", "f/day=2026-11-24/11ee-critical.json", "f/odd", "g/day=x/y"];
        let notified = Notified::of("f/", keys.into_iter());
        let (medium, high) = (Some(Severity::Medium), Some(Severity::High));
        for (severity, of_day, is_fulfilled) in [
            (medium, "2026-11-24", true),
            (None, "2026-11-23", true),
            (high, "2026-11-24", false),
            (medium, "2026-11-25", false),
        ] {
            assert_eq!(notified.fulfil(&duty(severity), day(of_day)), is_fulfilled, "{severity:?} {of_day}");
        }
    }

    #[test]
    fn a_quiet_record_fulfils_its_own_duty_alone() {
        let notified = Notified::of("f/", ["f/day=2026-11-24/77aa-quiet.json"].into_iter());
        let today = day("2026-11-24");
        assert!(notified.fulfil(&duty(Some(Severity::High)), today));
        let other = Duty { quiet: "88bb".to_owned(), ..duty(None) };
        assert!(!notified.fulfil(&other, today), "another record of the same alert");
        assert!(!Notified::of("f/", ["f/day=2026-11-24/00ff-quiet.json"].into_iter()).fulfil(&duty(None), today));
    }

    #[test]
    fn an_object_names_its_alerts_and_duties() {
        let schemas = Schemas::embedded().unwrap();
        let inspect = |table: &str, bytes: Option<&str>| {
            let key = format!("{table}/day=2026-11-24/hour=10/20261124T100000Z-0f.json");
            inspect((&key, 9, bytes.map(str::as_bytes)), &Prefix::default(), &schemas, Severity::Medium)
        };
        let alert = json!({"alert_id": "a-1", "severity": "High", "p_row_id": "0f", "p_source_label": "tracebit-api"});
        let harmless = json!({"alert_id": "a-2", "severity": "Low", "p_row_id": "1f"});
        let found = inspect("tracebit_alert", Some(&format!("{alert}\n{harmless}\n")));
        let label = Some("tracebit-api".to_owned());
        assert_eq!(found.alerts, [("a-1".to_owned(), label), ("a-2".to_owned(), None)]);
        assert_eq!(found.duties.len(), 1);

        let failure = json!({"error": "e", "payload": json!({"alert_id": "a-3"}).to_string(), "p_row_id": "2f"});
        let found = inspect("classification_failures", Some(&failure.to_string()));
        assert_eq!((found.alerts, found.duties.len()), (vec![("a-3".to_owned(), None)], 1));

        assert_eq!(inspect("tracebit_alert", None).duties.len(), 1, "too large to be read");
        let other = inspect("tracebit_healthcheck", Some(&alert.to_string()));
        assert!(other.duties.is_empty());
        assert!(inspect("elsewhere", Some(&alert.to_string())).alerts.is_empty());
    }
}
