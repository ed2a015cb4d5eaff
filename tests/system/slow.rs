//! Payloads that take longer to read than an invocation lasts: a holder of the key made them, or the function has too
//! little memory for its `MAX_PAYLOAD_BYTES`. Each must be in the lake in the end, or a record that says what it was.
//!
//! The invocations here are short, and the code is not optimised, so that 16 MB are enough.

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use tracebit_lake_harness::{runtime_api::InvocationResult, sqs};

use crate::support::{
    ALERTS, Drain, FAILURES, TestLake, ZSTD, alert, assert_queued, counts, lake_with_queue, signed_event, zstd,
};

/// Too short to read the payload, and long enough to keep it.
const SHORT: Duration = Duration::from_secs(8);
const LONG: Duration = Duration::from_mins(15);

/// Many members, each with a name that has to be put in lower case and compared with the schema's names.
fn members() -> String {
    (0..480_000).map(|n| format!("\"{}{n}\":0", "\u{c4}".repeat(10))).collect::<Vec<_>>().join(",")
}

/// An alert that has them.
fn slow_payload(members: &str) -> Vec<u8> {
    zstd(alert().to_string().replacen('{', &format!("{{{members},"), 1))
}

/// The ids of the messages that the drain leaves in the queue.
async fn left_of(drain: &Drain, messages: &[String], deadline: Duration) -> usize {
    let sent = Instant::now();
    let answer = match drain.0.invoke_within(&sqs::event(messages), deadline).await {
        InvocationResult::Response(answer) => answer,
        other => panic!("{other:?}"),
    };
    assert!(sent.elapsed() < deadline, "the answer came after the deadline: {answer}");
    answer["batchItemFailures"].as_array().unwrap().len()
}

/// Checks that `body` is the only record, as it was sent.
fn assert_kept_as_sent(lake: &TestLake, body: &[u8]) {
    let record = lake.record(FAILURES);
    assert!(record["error"].as_str().unwrap().starts_with("payload: takes longer to read"), "{}", record["error"]);
    assert_eq!(record["payload_encoding"], "base64");
    assert!(record["payload"] == BASE64.encode(body), "not the bytes as sent");
    assert!(lake.lines(ALERTS).is_empty());
}

#[tokio::test]
async fn a_payload_that_takes_too_long_to_read_is_stored_by_the_drain() {
    let members = members();
    let body = slow_payload(&members);
    let (sqs, lake) = lake_with_queue().await;
    assert_queued(&lake.invoke_within(SHORT, &signed_event(&[ZSTD], &body)).await);
    assert!(lake.keys().is_empty(), "{:?}", lake.keys());
    let output = lake.function.settled_output().await;
    assert!(output.contains("waits in the spill queue: the payload could not be read in time"), "{output}");

    assert_eq!(left_of(&Drain::of(&lake).await, &sqs.messages(), LONG).await, 0);
    assert_eq!(lake.keys().len(), 1);
    assert!(lake.lines(ALERTS)[0].contains(&members));
}

#[tokio::test]
async fn what_the_drain_cannot_read_in_time_is_kept_as_it_was_sent() {
    let body = slow_payload(&members());
    let (sqs, lake) = lake_with_queue().await;
    assert_queued(&lake.invoke_within(SHORT, &signed_event(&[ZSTD], &body)).await);
    let drain = Drain::of(&lake).await;
    assert_eq!(left_of(&drain, &sqs.messages(), SHORT).await, 0);
    assert_kept_as_sent(&lake, &body);
}

#[tokio::test]
async fn without_a_queue_a_payload_that_takes_too_long_is_kept_as_it_was_sent() {
    let body = slow_payload(&members());
    let lake = TestLake::start().await;
    assert_eq!(counts(&lake.invoke_within(SHORT, &signed_event(&[ZSTD], &body)).await), [0, 0, 1]);
    assert_kept_as_sent(&lake, &body);
}
