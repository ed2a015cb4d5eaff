use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::Value;

use super::*;
use crate::core::{lake::Source, payload::elements, schema::probe, time};

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| Schemas::embedded().unwrap());
static SOURCE: LazyLock<Source> = LazyLock::new(|| Source { id: None, label: "tracebit".to_owned() });

fn batch(payload: &str) -> Batch<'_, '_> {
    let received = time::parse("2026-11-22T10:20:30Z").unwrap();
    Batch::build(elements(payload.as_bytes(), probe), &SCHEMAS, ReceiveContext { received, source: &SOURCE })
}

fn objects<'b, 's, 't>(batch: &'b Batch<'s, 't>) -> Vec<Object<'b, 's, 't>> {
    static PREFIX: LazyLock<Prefix> = LazyLock::new(Prefix::default);
    batch.objects(&PREFIX).collect()
}

fn keys(payload: &str) -> BTreeSet<String> {
    objects(&batch(payload)).into_iter().map(|object| object.key).collect()
}

fn counts(payload: &str) -> Vec<usize> {
    objects(&batch(payload)).iter().map(|object| object.summary.count).collect()
}

fn health_check(timestamp: &str, subtype: &str) -> String {
    format!(
        r#"{{"discriminator":{{"type":"health_check","subtype":"{subtype}"}},"timestamp":"{timestamp}","is_healthy":false}}"#
    )
}

fn lines(object: &Object<'_, '_, '_>) -> Vec<Value> {
    let body = object.body();
    assert_eq!(body.last(), Some(&b'\n'));
    body.trim_ascii().split(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[test]
fn the_key_of_a_log_has_its_row_id() {
    let payload = health_check("2026-11-22T09:10:11.9Z", "a");
    let batch = batch(&payload);
    let [object] = &objects(&batch)[..] else { panic!("{batch:?}") };
    let id = lines(object)[0]["p_row_id"].as_str().unwrap().to_owned();
    assert_eq!(object.key, format!("tracebit_healthcheck/day=2026-11-22/hour=09/20261122T091011Z-{id}.json"));
    assert_eq!((object.summary.table.name(), object.summary.count), ("tracebit_healthcheck", 1));
}

#[test]
fn a_log_has_the_same_key_in_any_batch_of_up_to_500() {
    let logs: Vec<_> = (0..500)
        .map(|n| health_check(&format!("2026-11-22T09:{:02}:{:02}Z", n / 60, n % 60), &n.to_string()))
        .collect();
    let together = keys(&logs.join("\n"));
    assert_eq!(together.len(), 500);
    let alone: BTreeSet<_> = logs.iter().flat_map(|log| keys(log)).collect();
    assert_eq!(together, alone);
    let reversed: Vec<_> = logs.iter().rev().take(7).map(String::as_str).collect();
    assert!(keys(&format!("[{}]", reversed.join(","))).is_subset(&together));
}

#[test]
fn more_than_500_logs_of_an_hour_share_objects_in_any_order() {
    let mut logs: Vec<_> = (0..1201).map(|n| health_check("2026-11-22T09:00:00Z", &n.to_string())).collect();
    logs.push(health_check("2026-11-22T10:00:00Z", "another hour"));
    assert_eq!(counts(&logs.join("\n")), [500, 500, 201, 1]);
    let there = keys(&logs.join("\n"));
    logs.reverse();
    assert_eq!(keys(&logs.join("\n")), there);
}

#[test]
fn hours_are_kept_apart_in_every_year() {
    for year in ["2024", "2026"] {
        let logs: Vec<_> =
            (0..1200).map(|n| health_check(&format!("{year}-01-01T0{}:00:00Z", n % 2), &n.to_string())).collect();
        assert_eq!(counts(&logs.join("\n")), [500, 100, 500, 100], "{year}");
    }
}

#[test]
fn a_log_that_comes_twice_is_stored_once() {
    let log = health_check("2026-11-22T09:10:11Z", "a");
    let payload = format!("[{log}, {log} ,{}]", log.replace(':', " : ").replace("09 : 10 : 11", "09:10:11"));
    assert_eq!((counts(&payload), batch(&payload).repeats), (vec![1], 2));
}

#[test]
fn a_failure_is_filed_under_the_hour_of_its_receipt() {
    let good = health_check("2025-01-01T00:00:00Z", "a");
    let bad = good.replace("false", "\"no\"");
    let payload = format!("[{good},{bad},7]");
    let batch = batch(&payload);
    let objects = objects(&batch);
    assert_eq!(objects.len(), 3);
    let mut records: Vec<Value> = objects[..2]
        .iter()
        .map(|failure| {
            let key = "classification_failures/day=2026-11-22/hour=10/20261122T100000Z-";
            assert!(failure.key.starts_with(key), "{}", failure.key);
            assert_eq!(failure.summary.count, 1);
            lines(failure).remove(0)
        })
        .collect();
    records.sort_by_key(|record| record["payload"].to_string());
    assert_eq!((records[0]["payload"].as_str(), records[0].get("log_type")), (Some("7"), None));
    assert_eq!(records[1]["error"], "is_healthy: expected boolean, found string");
    assert_eq!(records[1]["log_type"], "Tracebit.HealthCheck");
    assert_eq!(records[1]["payload"], bad);
}

#[test]
fn a_failure_that_comes_twice_is_one_record_and_two_failures() {
    assert_eq!(counts("[7,7]"), [2]);
}

#[test]
fn a_flood_of_failures_is_kept_in_bounded_space() {
    let elements: Vec<_> = (100_000..200_000).map(|n| n.to_string()).collect();
    let payload = format!("[{}]", elements.join(","));
    let batch = batch(&payload);
    let objects = objects(&batch);
    assert_eq!(objects.iter().map(|object| object.summary.count).sum::<usize>(), elements.len());
    let records: Vec<_> = objects.iter().flat_map(lines).collect();
    assert_eq!(records.len(), MAX_FAILURE_RECORDS + 1);
    let rest = elements.len() - MAX_FAILURE_RECORDS;
    assert!(records.iter().any(|record| record["payload"].as_str().unwrap().len() == 7 * rest));
    assert!(objects.len() <= 1 + MAX_FAILURE_RECORDS / RECORDS_PER_OBJECT);
}

#[test]
fn reading_ends_soon_after_it_is_late() {
    let received = time::parse("2026-11-22T10:20:30Z").unwrap();
    let context = ReceiveContext { received, source: &SOURCE };
    let log = health_check("2026-11-22T09:00:00Z", "s");
    let wide = log.replacen('{', &format!("{{\"x\":[{}0],", "0,".repeat(1_000_000)), 1);
    let many = vec![log.as_str(); 10_000].join("\n");
    for payload in [&wide, &many] {
        // How often a clock is looked at that is late from the third look on.
        let looks = std::cell::Cell::new(0);
        let is_late = || looks.replace(looks.get() + 1) >= 2;
        assert!(Batch::build_in_time(elements(payload.as_bytes(), probe), &SCHEMAS, context, &is_late).is_none());
        assert!(looks.get() <= 4, "{} looks", looks.get());
        let batch = Batch::build_in_time(elements(payload.as_bytes(), probe), &SCHEMAS, context, &|| false).unwrap();
        assert_eq!(batch.failures().count(), 0);
    }
}
