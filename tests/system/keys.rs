//! Keys: where an object is stored, and how a key makes a repeated delivery a duplicate.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{
    ALERTS, BUCKET, FAILURES, GZIP, HEALTH_CHECKS, JSON, TestLake, ZSTD, alert, alert_with_id, altered_alert, counts,
    health_check, signed_event,
};

/// An alert with this id and timestamp, as text.
fn log_at(id: &str, timestamp: &str) -> String {
    let mut log = altered_alert("/timestamp", Some(json!(timestamp)));
    log["id"] = id.into();
    log.to_string()
}

/// Waits for the next hour if the current one is almost over.
async fn within_one_hour() {
    const MARGIN: u64 = 10;
    let left = 3600 - SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() % 3600;
    if left <= MARGIN {
        sleep(Duration::from_secs(left)).await;
    }
}

#[tokio::test]
async fn a_log_is_stored_under_its_table_and_event_hour() {
    let lake = TestLake::start().await;
    lake.deliver(alert().to_string()).await;
    let id = lake.record(ALERTS)["p_row_id"].as_str().unwrap().to_owned();
    assert_eq!(lake.key(), format!("tracebit_alert/day=2026-11-22/hour=09/20261122T095959Z-{id}.json"));

    let lake = TestLake::start().await;
    lake.deliver(health_check("2026-03-01T01:30:00.5+02:00").to_string()).await;
    let id = lake.record(HEALTH_CHECKS)["p_row_id"].as_str().unwrap().to_owned();
    assert_eq!(lake.key(), format!("tracebit_healthcheck/day=2026-02-28/hour=23/20260228T233000Z-{id}.json"));
}

#[tokio::test]
async fn a_prefix_means_the_same_with_and_without_a_slash() {
    let body = alert().to_string();
    let mut keys = Vec::new();
    for prefix in ["", "logs", "logs/", "security/tracebit"] {
        let lake = TestLake::with_env(&[("LAKE_PREFIX", prefix)]).await;
        assert_eq!(counts(&lake.deliver(&body).await), [1, 0, 0]);
        keys.push(lake.key());
    }
    assert_eq!(keys[1], format!("logs/{}", keys[0]));
    assert_eq!(keys[2], keys[1]);
    assert_eq!(keys[3], format!("security/tracebit/{}", keys[0]));
}

#[tokio::test]
async fn every_log_is_an_object_of_its_hour() {
    let logs = [
        log_at("a", "2026-11-22T09:30:00Z"),
        log_at("b", "2026-11-22T09:59:59.999Z"),
        log_at("c", "2026-11-22T10:00:00Z"),
        // In UTC, the hour of the first log.
        log_at("d", "2026-11-22T23:29:00+14:00"),
        health_check("2026-11-22T09:30:00Z").to_string(),
    ];
    let lake = TestLake::start().await;
    assert_eq!(counts(&lake.deliver(logs.join("\n")).await), [5, 0, 0]);
    let objects = lake.objects();
    let names = objects.iter().map(|(key, body)| {
        let record: Value = serde_json::from_slice(body).unwrap();
        let id = record["p_row_id"].as_str().unwrap();
        key.strip_suffix(&format!("-{id}.json")).unwrap_or_else(|| panic!("{key} is not named after {id}"))
    });
    assert_eq!(
        names.collect::<Vec<_>>(),
        [
            "tracebit_alert/day=2026-11-22/hour=09/20261122T092900Z",
            "tracebit_alert/day=2026-11-22/hour=09/20261122T093000Z",
            "tracebit_alert/day=2026-11-22/hour=09/20261122T095959Z",
            "tracebit_alert/day=2026-11-22/hour=10/20261122T100000Z",
            "tracebit_healthcheck/day=2026-11-22/hour=09/20261122T093000Z",
        ]
    );
}

#[tokio::test]
async fn every_hour_of_a_payload_is_an_object() {
    let logs: Vec<_> = (0..400)
        .map(|n| health_check(&format!("2026-01-{:02}T{:02}:00:00Z", n / 24 + 1, n % 24)).to_string())
        .collect();
    let lake = TestLake::start().await;
    assert_eq!(counts(&lake.deliver(logs.join("\n")).await), [400, 0, 0]);
    assert_eq!(lake.keys().len(), 400);
}

#[tokio::test]
async fn a_failure_is_stored_under_the_hour_of_its_receipt() {
    let lake = TestLake::start().await;
    within_one_hour().await;
    let hour = chrono::Utc::now();
    let mut bad = alert();
    bad["id"] = json!(null);
    assert_eq!(counts(&lake.deliver(bad.to_string()).await), [0, 0, 1]);
    let id = lake.record(FAILURES)["p_row_id"].as_str().unwrap().to_owned();
    let expected = hour.format("classification_failures/day=%Y-%m-%d/hour=%H/%Y%m%dT%H0000Z-");
    assert_eq!(lake.key(), format!("{expected}{id}.json"));
}

#[tokio::test]
async fn objects_are_ndjson_and_never_overwritten() {
    let lake = TestLake::start().await;
    lake.deliver(format!("{}\n{}\nbad", alert(), health_check("2026-11-22T09:00:00Z"))).await;
    let puts = lake.s3.puts();
    assert_eq!(puts.len(), 3);
    for put in puts {
        assert_eq!((put.bucket.as_str(), put.status), (BUCKET, 200));
        assert_eq!(put.headers["if-none-match"], "*", "{}", put.key);
        assert_eq!(lake.s3.content_type(BUCKET, &put.key).as_deref(), Some("application/x-ndjson"), "{}", put.key);
    }
    // The function's role allows only `s3:PutObject`; a preflight needs no permission.
    let (all, puts, preflights) = (lake.s3.requests(), lake.s3.requests_of("PUT"), lake.s3.requests_of("OPTIONS"));
    assert_eq!((all, puts), (puts + preflights, 3));
}

#[tokio::test]
async fn a_redelivery_is_a_duplicate_and_changes_nothing() {
    let lake = TestLake::start().await;
    let body = alert().to_string();
    assert_eq!(counts(&lake.deliver(&body).await), [1, 0, 0]);
    let first = lake.objects();
    for _ in 0..3 {
        assert_eq!(counts(&lake.deliver(&body).await), [0, 1, 0]);
    }
    assert_eq!(lake.s3.puts().iter().map(|put| put.status).collect::<Vec<_>>(), [200, 412, 412, 412]);

    // The same log in another layout, through another instance.
    let other = serde_json::to_string_pretty(&alert()).unwrap();
    let instance = lake.another_instance().await;
    let response = instance.invoke(&signed_event(&[JSON], other.as_bytes())).await.response();
    assert_eq!(counts(&response), [0, 1, 0]);
    assert_eq!(lake.objects(), first, "the first delivery must stay");
}

#[tokio::test]
async fn a_delivery_replayed_under_other_encodings_adds_nothing() {
    let lake = TestLake::start().await;
    let body = alert().to_string();
    assert_eq!(counts(&lake.deliver(&body).await), [1, 0, 0]);
    let first = lake.objects();
    // The signature does not cover the headers, so what they say of the body decides nothing.
    for encoding in [GZIP, ZSTD, ("Content-Encoding", "br"), ("Content-Encoding", "aws-chunked")] {
        assert_eq!(counts(&lake.deliver_with(&[encoding], &body).await), [0, 1, 0], "{encoding:?}");
    }
    assert_eq!(lake.objects(), first);
}

#[tokio::test]
async fn a_failure_that_comes_again_within_its_hour_is_one_record() {
    let lake = TestLake::start().await;
    within_one_hour().await;
    for body in ["hello", "[\"hello\",hello,hello]", "hello"] {
        let answer = counts(&lake.deliver(body).await);
        assert_eq!(answer, [0, 0, if body == "hello" { 1 } else { 3 }]);
        sleep(Duration::from_millis(600)).await;
    }
    let mut payloads: Vec<_> = lake.records(FAILURES).into_iter().map(|record| record["payload"].clone()).collect();
    payloads.sort_by_key(Value::to_string);
    assert_eq!(payloads, ["\"hello\"", "hello"]);
}

#[tokio::test]
async fn one_of_three_simultaneous_deliveries_is_stored() {
    let lake = TestLake::start().await;
    let others = [lake.another_instance().await, lake.another_instance().await];
    let event = signed_event(&[JSON], alert().to_string().as_bytes());
    let instances = [&lake.function, &others[0], &others[1]];
    let responses = join_all(instances.map(async |instance| instance.invoke(&event).await.response())).await;
    let mut answers: Vec<_> = responses.iter().map(counts).collect();
    answers.sort_unstable();
    assert_eq!(answers, [[0, 1, 0], [0, 1, 0], [1, 0, 0]]);
    assert_eq!(lake.records(ALERTS).len(), 1);
}

#[tokio::test]
async fn a_log_repeated_in_one_payload_is_stored_once() {
    let [one, two] = ["log-1", "log-2"].map(alert_with_id);
    let pretty = serde_json::to_string_pretty(&one).unwrap();
    let payload = format!("[{one},{two},{pretty},{one}]");
    let lake = TestLake::start().await;
    assert_eq!(counts(&lake.deliver(&payload).await), [2, 2, 0]);
    assert_eq!(lake.records(ALERTS).len(), 2);
    assert_eq!(counts(&lake.deliver(&payload).await), [0, 4, 0]);
    assert_eq!(lake.records(ALERTS).len(), 2);
}
