//! One log, one row: a log that is signed becomes one object, however it is delivered.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use fastrand::Rng;
use serde_json::Value;
use tracebit_lake_harness::Fault;

use crate::support::{
    ALERTS, Drain, GZIP, JSON, TestLake, alert_with_id, assert_queued, assert_unavailable, counts, gzip,
    lake_with_queue, signed_event, zstd,
};

/// Most logs of one table and hour that get an object each in one payload.
const RECORDS_PER_OBJECT: usize = 500;

/// Different logs of one hour.
fn logs(count: usize) -> Vec<String> {
    (0..count).map(|n| alert_with_id(&format!("log-{n}")).to_string()).collect()
}

/// The row ids in the lake, after a check that each is in one object of its own, named after it.
fn rows(lake: &TestLake) -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for (key, body) in lake.objects() {
        let record: Value = serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{key} is not one record"));
        let id = record["p_row_id"].as_str().unwrap().to_owned();
        assert!(key.ends_with(&format!("-{id}.json")), "{key} is not named after {id}");
        assert!(rows.insert(id), "{key} is a second row");
    }
    rows
}

#[tokio::test]
async fn a_log_is_one_row_in_any_batch_and_order() {
    let lake = TestLake::start().await;
    let logs = logs(RECORDS_PER_OBJECT);
    let mut rng = Rng::with_seed(20_261_124);
    let mut sent = BTreeSet::new();
    // Alone, in small batches, and all together, three times over; in every stream type and encoding.
    for size in [1, 1, 2, 7, 40, 1, 133, RECORDS_PER_OBJECT, 1, 30, RECORDS_PER_OBJECT] {
        let mut indexes: Vec<_> = (0..logs.len()).collect();
        rng.shuffle(&mut indexes);
        indexes.truncate(size);
        let batch: Vec<_> = indexes.iter().map(|index| logs[*index].as_str()).collect();
        let body = match rng.usize(0..4) {
            0 => batch.join("\n").into_bytes(),
            1 => gzip(format!("[{}]", batch.join(","))),
            2 => zstd(batch.join("\r\n\r\n")),
            _ => {
                let values: Vec<Value> = batch.iter().map(|log| serde_json::from_str(log).unwrap()).collect();
                serde_json::to_vec_pretty(&values).unwrap()
            }
        };
        let known = indexes.iter().filter(|index| sent.contains(*index)).count();
        let expected = [size - known, known, 0].map(|count| u64::try_from(count).unwrap());
        assert_eq!(counts(&lake.deliver_with(&[], &body).await), expected, "{size} logs");
        sent.extend(indexes);
        assert_eq!(rows(&lake).len(), sent.len());
    }
    assert_eq!(rows(&lake).len(), logs.len());
}

#[tokio::test]
async fn a_log_that_waited_in_the_queue_is_the_same_row() {
    let (sqs, lake) = lake_with_queue().await;
    let logs = logs(6);
    assert_eq!(counts(&lake.deliver(logs[..2].join("\n")).await), [2, 0, 0]);
    lake.s3.fail_always(Fault::Status { status: 403, code: "AccessDenied" });
    assert_queued(&lake.deliver(format!("[{},{},{}]", logs[4], logs[1], logs[2])).await);
    assert_queued(&lake.deliver_with(&[GZIP], gzip(logs.join("\n"))).await);
    lake.s3.heal();
    // What is in the queue is delivered once more before it is drained.
    assert_eq!(counts(&lake.deliver(&logs[4]).await), [1, 0, 0]);
    let drain = Drain::of(&lake).await;
    for _ in 0..2 {
        assert_eq!(drain.left_of(&sqs.messages()).await, [""; 0]);
        assert_eq!(rows(&lake).len(), logs.len());
    }
    assert_eq!(counts(&lake.deliver(logs.join("\n")).await), [0, 6, 0]);
    assert_eq!(lake.records(ALERTS).len(), logs.len());
}

#[tokio::test]
async fn a_log_with_a_lost_answer_is_the_same_row() {
    let lake = TestLake::start().await;
    let logs = logs(20);
    // The function is gone before it can answer, so the sender sends again, in another batch.
    let slow = Fault::SlowAnswer(Duration::from_mins(1));
    lake.s3.fail_always(slow);
    assert_unavailable(&lake.deliver_within(Duration::from_secs(3), logs[..10].join("\n")).await);
    lake.s3.heal();
    assert!(!lake.keys().is_empty());
    let instance = lake.another_instance().await;
    let event = signed_event(&[JSON], logs[5..].join("\n").as_bytes());
    assert_eq!(instance.invoke(&event).await.response().status, 200);
    assert_eq!(counts(&lake.deliver(logs.join("\n")).await).iter().sum::<u64>(), 20);
    assert_eq!(rows(&lake).len(), logs.len());
}

#[tokio::test]
async fn five_hundred_logs_in_one_payload_fit_in_memory() {
    let body = logs(RECORDS_PER_OBJECT).join("\n");
    let lake = TestLake::start().await;
    let started = Instant::now();
    assert_eq!(counts(&lake.deliver(&body).await), [500, 0, 0]);
    // A figure and no limit, because this code is not optimised and other tests run beside it.
    println!("500 logs: answered after {:.1?}, peak memory {} MB", started.elapsed(), lake.peak_memory() >> 20);
    assert!(lake.peak_memory() < 1 << 27, "{}", lake.peak_memory());
    assert_eq!(rows(&lake).len(), RECORDS_PER_OBJECT);
}

#[tokio::test]
async fn more_logs_of_one_hour_share_objects_in_any_order() {
    let lake = TestLake::start().await;
    let mut logs = logs(2 * RECORDS_PER_OBJECT + 1);
    assert_eq!(counts(&lake.deliver(logs.join("\n")).await), [1001, 0, 0]);
    let lines = |lake: &TestLake| {
        lake.objects().values().map(|body| body.split_inclusive(|byte| *byte == b'\n').count()).collect::<Vec<_>>()
    };
    let mut shared = lines(&lake);
    shared.sort_unstable();
    assert_eq!(shared, [1, 500, 500]);
    logs.reverse();
    assert_eq!(counts(&lake.deliver(format!("[{}]", logs.join(","))).await), [0, 1001, 0]);
    assert_eq!(lines(&lake).len(), 3);
}
