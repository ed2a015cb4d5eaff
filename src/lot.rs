//! The records of one payload, gathered into objects: logs of one table and hour share one.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};

use crate::{
    key::Prefix,
    metrics::Tally,
    payload::Elements,
    record::{self, FAILURES_TABLE, Failure, Origin, RowId},
    schema::{Log, Schemas},
};

/// How many classification failures of one payload get a record each. Those beyond share one more record, so that a
/// payload of a million tiny elements cannot become a hundred times as large.
const MAX_FAILURE_RECORDS: usize = 10_000;

/// One object, ready to be stored.
#[derive(Debug)]
pub struct Object {
    /// Where it lies in the bucket.
    pub key: String,
    /// A line of JSON for each record.
    pub body: Vec<u8>,
    /// How many logs are in it; failures are not counted.
    pub logs: usize,
    /// What the metrics count if this object is new.
    pub tally: Tally,
}

/// Everything that one payload becomes.
#[derive(Debug, Default)]
pub struct Lot {
    /// The objects, by table and hour.
    pub objects: Vec<Object>,
    /// How many logs came more than once within the payload; they are stored once.
    pub repeats: usize,
    /// How many elements are classification failures.
    pub failures: usize,
}

/// Classifies every element and gathers the records.
#[must_use]
pub fn gather(elements: Elements<'_>, schemas: &Schemas, prefix: &Prefix, origin: Origin<'_>) -> Lot {
    let mut gathering =
        Gathering { origin, groups: BTreeMap::new(), seen: HashSet::new(), failures: Failures::default() };
    let mut repeats = 0;
    for element in elements {
        match schemas.classify(element) {
            Ok(log) => repeats += usize::from(!gathering.log(&log)),
            Err(unclassified) => gathering.failure(&Failure {
                error: unclassified.to_string(),
                payload: element,
                log_type: unclassified.schema.map(|schema| schema.log_type.as_str()),
            }),
        }
    }
    gathering.finish(prefix, repeats)
}

/// The lot of a payload that could not be decoded: one classification failure.
#[must_use]
pub fn of_failure(failure: &Failure<'_>, prefix: &Prefix, origin: Origin<'_>) -> Lot {
    let mut gathering =
        Gathering { origin, groups: BTreeMap::new(), seen: HashSet::new(), failures: Failures::default() };
    gathering.failure(failure);
    gathering.finish(prefix, 0)
}

struct Gathering<'a> {
    origin: Origin<'a>,
    groups: BTreeMap<(String, i64), Group>,
    seen: HashSet<RowId>,
    failures: Failures,
}

/// The records that become one object.
#[derive(Default)]
struct Group {
    lines: Vec<u8>,
    ids: Vec<RowId>,
    earliest: Option<DateTime<Utc>>,
    logs: usize,
    tally: Tally,
}

#[derive(Default)]
struct Failures {
    count: usize,
    first_beyond: Option<String>,
    beyond: Vec<u8>,
}

impl Gathering<'_> {
    /// Adds a log; false when the payload had it before.
    fn log(&mut self, log: &Log<'_>) -> bool {
        if !self.seen.insert(log.row_id) {
            return false;
        }
        let origin = self.origin;
        let group = self.group(log.schema.table(), log.event_time);
        record::push_log(&mut group.lines, log, origin);
        group.ids.push(log.row_id);
        group.logs += 1;
        group.tally.add(log);
        true
    }

    fn failure(&mut self, failure: &Failure<'_>) {
        self.failures.count += 1;
        if self.failures.count > MAX_FAILURE_RECORDS {
            self.failures.first_beyond.get_or_insert_with(|| failure.error.clone());
            self.failures.beyond.extend_from_slice(failure.payload);
            self.failures.beyond.push(b'\n');
        } else {
            self.failure_record(failure);
        }
    }

    fn failure_record(&mut self, failure: &Failure<'_>) {
        let origin = self.origin;
        let group = self.group(FAILURES_TABLE.to_owned(), origin.received);
        let id = failure.row_id();
        record::push_failure(&mut group.lines, failure, id, origin);
        group.ids.push(id);
    }

    fn group(&mut self, table: String, time: DateTime<Utc>) -> &mut Group {
        let hour = time.timestamp().div_euclid(3600);
        let group = self.groups.entry((table, hour)).or_default();
        group.earliest = Some(group.earliest.map_or(time, |earliest| earliest.min(time)));
        group
    }

    fn finish(mut self, prefix: &Prefix, repeats: usize) -> Lot {
        let beyond = std::mem::take(&mut self.failures.beyond);
        if let Some(first) = self.failures.first_beyond.take() {
            let more = self.failures.count - MAX_FAILURE_RECORDS;
            let error =
                format!("{more} more elements of this payload fit no schema, here a line each; the first: {first}");
            self.failure_record(&Failure { error, payload: &beyond, log_type: None });
        }
        let received = self.origin.received;
        let objects = self
            .groups
            .into_iter()
            .map(|((table, _), group)| {
                let id = match group.ids.as_slice() {
                    [only] => *only,
                    several => RowId::of_all(several),
                };
                Object {
                    key: prefix.key(&table, group.earliest.unwrap_or(received), id),
                    body: group.lines,
                    logs: group.logs,
                    tally: group.tally,
                }
            })
            .collect();
        Lot { objects, repeats, failures: self.failures.count }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{config::Source, payload::elements, time};

    fn gathered(payload: &str) -> Lot {
        let source = Source { id: None, label: "tracebit".to_owned() };
        let received = time::parse("2026-11-22T10:20:30Z").unwrap();
        let origin = Origin { received, source: &source };
        gather(elements(payload.as_bytes()), &Schemas::embedded().unwrap(), &Prefix::default(), origin)
    }

    fn health_check(timestamp: &str, subtype: &str) -> String {
        format!(
            r#"{{"discriminator":{{"type":"health_check","subtype":"{subtype}"}},"timestamp":"{timestamp}","is_healthy":false}}"#
        )
    }

    fn lines(object: &Object) -> Vec<Value> {
        object
            .body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    #[test]
    fn a_single_log_lends_its_row_id_to_the_key() {
        let lot = gathered(&health_check("2026-11-22T09:10:11.9Z", "a"));
        let [object] = lot.objects.as_slice() else { panic!("{lot:?}") };
        let id = lines(object)[0]["p_row_id"].as_str().unwrap().to_owned();
        assert_eq!(
            object.key,
            format!("tracebit_healthcheck/year=2026/month=11/day=22/hour=09/20261122T091011Z-{id}.json")
        );
        assert_eq!((object.logs, object.tally.health_checks, object.tally.unhealthy), (1, 1, 1));
    }

    #[test]
    fn logs_of_one_hour_share_an_object_whose_key_ignores_their_order() {
        let logs = [("09:30:00", "a"), ("09:00:00", "b"), ("10:00:00", "c"), ("09:59:59.999", "d")]
            .map(|(time, subtype)| health_check(&format!("2026-11-22T{time}Z"), subtype));
        let lot = gathered(&logs.join("\n"));
        let keys = |lot: &Lot| lot.objects.iter().map(|object| object.key.clone()).collect::<Vec<_>>();
        assert_eq!(lot.objects.iter().map(|object| object.logs).collect::<Vec<_>>(), [3, 1]);
        assert!(keys(&lot)[0].contains("hour=09/20261122T090000Z-"), "{:?}", keys(&lot));
        let mut reversed = logs.to_vec();
        reversed.reverse();
        assert_eq!(keys(&gathered(&reversed.join("\n"))), keys(&lot));
    }

    #[test]
    fn hours_are_told_apart_in_every_year() {
        for year in ["0000", "1969", "2026", "9999"] {
            let logs =
                ["00:00:00", "00:59:59", "01:00:00"].map(|time| health_check(&format!("{year}-01-01T{time}Z"), time));
            assert_eq!(gathered(&logs.join("\n")).objects.len(), 2, "{year}");
        }
    }

    #[test]
    fn a_log_that_comes_twice_is_stored_once() {
        let log = health_check("2026-11-22T09:10:11Z", "a");
        let lot = gathered(&format!("[{log}, {log} ,{}]", log.replace(':', " : ").replace("09 : 10 : 11", "09:10:11")));
        assert_eq!((lot.objects.len(), lot.objects[0].logs, lot.repeats), (1, 1, 2));
    }

    #[test]
    fn failures_lie_under_the_hour_they_were_received() {
        let good = health_check("2025-01-01T00:00:00Z", "a");
        let bad = good.replace("false", "\"no\"");
        let lot = gathered(&format!("[{good},{bad},7]"));
        assert_eq!((lot.failures, lot.objects.len()), (2, 2));
        let failures = &lot.objects[0];
        assert!(
            failures.key.starts_with("classification_failures/year=2026/month=11/day=22/hour=10/20261122T102030Z-")
        );
        assert_eq!(failures.logs, 0);
        let records = lines(failures);
        assert_eq!(records[0]["error"], "is_healthy: expected boolean, found string");
        assert_eq!(records[0]["log_type"], "Tracebit.HealthCheck");
        assert_eq!(records[0]["payload"], bad);
        assert_eq!((records[1]["payload"].as_str(), records[1].get("log_type")), (Some("7"), None));
    }

    #[test]
    fn a_flood_of_failures_is_kept_in_bounded_space() {
        let payload = format!("[{}]", vec!["1"; 1_000_000].join(","));
        let lot = gathered(&payload);
        assert_eq!((lot.failures, lot.objects.len()), (1_000_000, 1));
        let records = lines(&lot.objects[0]);
        assert_eq!(records.len(), MAX_FAILURE_RECORDS + 1);
        assert_eq!(
            records[MAX_FAILURE_RECORDS]["payload"].as_str().unwrap().len(),
            2 * (1_000_000 - MAX_FAILURE_RECORDS)
        );
        assert!(lot.objects[0].body.len() < 4 * payload.len());
    }
}
