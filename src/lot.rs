//! The records of one payload, gathered into objects: logs of one table and hour share one.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};

use crate::{
    key::Prefix,
    metrics::Tally,
    payload::Elements,
    record::{self, FAILURES_TABLE, Failure, Origin, RowId},
    schema::{Log, Schema, Schemas},
};

/// How many classification failures of one payload get a record each. Those beyond share one more record, so that a
/// payload of a million tiny elements cannot become a hundred times as large.
const MAX_FAILURE_RECORDS: usize = 10_000;

/// One object, ready to be stored.
#[derive(Debug)]
pub struct Object<'s> {
    /// Where it lies in the bucket.
    pub key: String,
    /// A line of JSON for each record.
    pub body: Vec<u8>,
    /// The log type of its records; none for classification failures.
    pub log_type: Option<&'s str>,
    /// How many logs are in it, or elements that are classification failures.
    pub count: usize,
    /// What the metrics count of its logs beside their number.
    pub tally: Tally,
}

/// Everything that one payload becomes.
#[derive(Debug)]
pub struct Lot<'s> {
    /// The objects, by table and hour.
    pub objects: Vec<Object<'s>>,
    /// How many logs came more than once within the payload; they are stored once.
    pub repeats: usize,
}

/// Classifies every element and gathers the records.
#[must_use]
pub fn gather<'s>(elements: Elements<'_>, schemas: &'s Schemas, prefix: &Prefix, origin: Origin<'_>) -> Lot<'s> {
    let mut gathering = Gathering::new(origin);
    for element in elements {
        match schemas.classify(element) {
            Ok(log) => gathering.log(&log),
            Err(unclassified) => gathering.failure(&Failure {
                error: unclassified.to_string(),
                payload: element,
                log_type: unclassified.schema.map(|schema| schema.log_type.as_str()),
            }),
        }
    }
    gathering.finish(prefix)
}

/// The lot of a payload that could not be decoded: one classification failure.
#[must_use]
pub fn of_failure<'s>(failure: &Failure<'_>, prefix: &Prefix, origin: Origin<'_>) -> Lot<'s> {
    let mut gathering = Gathering::new(origin);
    gathering.failure(failure);
    gathering.finish(prefix)
}

struct Gathering<'s, 'o> {
    origin: Origin<'o>,
    /// By log type, none for failures, and hour since 1970.
    groups: BTreeMap<(Option<&'s str>, i64), Group>,
    seen: HashSet<RowId>,
    repeats: usize,
    failures: usize,
    beyond: Beyond,
}

/// The records that become one object.
#[derive(Default)]
struct Group {
    table: String,
    lines: Vec<u8>,
    ids: Vec<RowId>,
    earliest: Option<DateTime<Utc>>,
    count: usize,
    tally: Tally,
}

/// The failures that get no record of their own.
#[derive(Default)]
struct Beyond {
    count: usize,
    first_error: String,
    payloads: Vec<u8>,
}

impl<'s, 'o> Gathering<'s, 'o> {
    fn new(origin: Origin<'o>) -> Self {
        Self {
            origin,
            groups: BTreeMap::new(),
            seen: HashSet::new(),
            repeats: 0,
            failures: 0,
            beyond: Beyond::default(),
        }
    }

    fn log(&mut self, log: &Log<'s, '_>) {
        if !self.seen.insert(log.row_id) {
            self.repeats += 1;
            return;
        }
        let origin = self.origin;
        let group = self.group(Some(log.schema), log.event_time);
        record::push_log(&mut group.lines, log, origin);
        group.ids.push(log.row_id);
        group.count += 1;
        group.tally.add(log);
    }

    fn failure(&mut self, failure: &Failure<'_>) {
        self.failures += 1;
        if self.failures <= MAX_FAILURE_RECORDS {
            self.failure_record(failure, 1);
            return;
        }
        if self.beyond.count == 0 {
            self.beyond.first_error.clone_from(&failure.error);
        }
        self.beyond.count += 1;
        self.beyond.payloads.extend_from_slice(failure.payload);
        self.beyond.payloads.push(b'\n');
    }

    /// A record that stands for `count` elements.
    fn failure_record(&mut self, failure: &Failure<'_>, count: usize) {
        let origin = self.origin;
        let id = failure.row_id();
        let group = self.group(None, origin.received);
        record::push_failure(&mut group.lines, failure, id, origin);
        group.ids.push(id);
        group.count += count;
    }

    fn group(&mut self, schema: Option<&'s Schema>, time: DateTime<Utc>) -> &mut Group {
        let log_type = schema.map(|schema| schema.log_type.as_str());
        let hour = time.timestamp().div_euclid(3600);
        let group = self.groups.entry((log_type, hour)).or_insert_with(|| Group {
            table: schema.map_or_else(|| FAILURES_TABLE.to_owned(), Schema::table),
            ..Group::default()
        });
        group.earliest = Some(group.earliest.map_or(time, |earliest| earliest.min(time)));
        group
    }

    fn finish(mut self, prefix: &Prefix) -> Lot<'s> {
        let Beyond { count, first_error, payloads } = std::mem::take(&mut self.beyond);
        if count > 0 {
            let error =
                format!("{count} more elements of this payload fit no schema, a line each; the first: {first_error}");
            self.failure_record(&Failure { error, payload: &payloads, log_type: None }, count);
        }
        let received = self.origin.received;
        let objects = self
            .groups
            .into_iter()
            .map(|((log_type, _), group)| {
                let id = match group.ids.as_slice() {
                    [only] => *only,
                    several => RowId::of_all(several),
                };
                Object {
                    key: prefix.key(&group.table, group.earliest.unwrap_or(received), id),
                    body: group.lines,
                    log_type,
                    count: group.count,
                    tally: group.tally,
                }
            })
            .collect();
        Lot { objects, repeats: self.repeats }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use serde_json::Value;

    use super::*;
    use crate::{config::Source, payload::elements, time};

    static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| Schemas::embedded().unwrap());

    fn gathered(payload: &str) -> Lot<'static> {
        let source = Source { id: None, label: "tracebit".to_owned() };
        let received = time::parse("2026-11-22T10:20:30Z").unwrap();
        let origin = Origin { received, source: &source };
        gather(elements(payload.as_bytes()), &SCHEMAS, &Prefix::default(), origin)
    }

    fn health_check(timestamp: &str, subtype: &str) -> String {
        format!(
            r#"{{"discriminator":{{"type":"health_check","subtype":"{subtype}"}},"timestamp":"{timestamp}","is_healthy":false}}"#
        )
    }

    fn lines(object: &Object<'_>) -> Vec<Value> {
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
        assert_eq!((object.log_type, object.count, object.tally.unhealthy), (Some("Tracebit.HealthCheck"), 1, 1));
    }

    #[test]
    fn logs_of_one_hour_share_an_object_whose_key_ignores_their_order() {
        let logs = [("09:30:00", "a"), ("09:00:00", "b"), ("10:00:00", "c"), ("09:59:59.999", "d")]
            .map(|(time, subtype)| health_check(&format!("2026-11-22T{time}Z"), subtype));
        let lot = gathered(&logs.join("\n"));
        let keys = |lot: &Lot<'_>| lot.objects.iter().map(|object| object.key.clone()).collect::<Vec<_>>();
        assert_eq!(lot.objects.iter().map(|object| object.count).collect::<Vec<_>>(), [3, 1]);
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
        assert_eq!((lot.objects.len(), lot.objects[0].count, lot.repeats), (1, 1, 2));
    }

    #[test]
    fn failures_lie_under_the_hour_they_were_received() {
        let good = health_check("2025-01-01T00:00:00Z", "a");
        let bad = good.replace("false", "\"no\"");
        let lot = gathered(&format!("[{good},{bad},7]"));
        assert_eq!(lot.objects.len(), 2);
        let failures = &lot.objects[0];
        assert!(
            failures.key.starts_with("classification_failures/year=2026/month=11/day=22/hour=10/20261122T102030Z-")
        );
        assert_eq!((failures.log_type, failures.count), (None, 2));
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
        assert_eq!((lot.objects.len(), lot.objects[0].count), (1, 1_000_000));
        let records = lines(&lot.objects[0]);
        assert_eq!(records.len(), MAX_FAILURE_RECORDS + 1);
        assert_eq!(
            records[MAX_FAILURE_RECORDS]["payload"].as_str().unwrap().len(),
            2 * (1_000_000 - MAX_FAILURE_RECORDS)
        );
        assert!(lot.objects[0].body.len() < 4 * payload.len());
    }
}
