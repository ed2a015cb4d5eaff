//! Payloads that take longer to read than an invocation lasts: a holder of the key made them, or the function has too
//! little memory for its `MAX_PAYLOAD_BYTES`. Each must be in the lake in the end, or a record that says what it was.
//!
//! The functions here find every payload too slow, because no payload is slow on every machine. `tracebit-lake-worst`
//! in `benches/counts` looks for the slowest one.

use std::time::Duration;

use lambda_runtime::{Error, tracing};
use tracebit_lake::ingest::App;
use tracebit_lake_harness::{
    runtime_api::{Function, InvocationResult},
    s3::S3,
    sqs::{self, Sqs},
};

use crate::support::{
    ALERTS, Drain, FAILURES, JSON, TestLake, alert, assert_queued, assert_unavailable, counts, lake_env, serve_drain,
    serve_webhook, signed_event, spill_env, start_own_function, start_s3,
};

/// Time enough to know that a payload is too slow.
const FAIR: Duration = Duration::from_secs(10);
/// Not enough for that.
const SHORT: Duration = Duration::from_secs(3);

#[tokio::test]
#[ignore = "it is a function that other tests start"]
async fn webhook_that_reads_slowly() -> Result<(), Error> {
    tracing::init_default_subscriber();
    serve_webhook(App::from_env().await?.with_slow_reading()).await
}

#[tokio::test]
#[ignore = "it is a function that other tests start"]
async fn drain_that_reads_slowly() -> Result<(), Error> {
    tracing::init_default_subscriber();
    serve_drain(App::from_env().await?.with_slow_reading()).await
}

async fn slow_webhook(queue: Option<&Sqs>) -> TestLake {
    let s3 = start_s3().await;
    let s3_endpoint = s3.endpoint();
    let mut env = lake_env(&s3_endpoint).to_vec();
    let (endpoint, url) = queue.map(|sqs| (sqs.endpoint(), sqs.queue_url())).unwrap_or_default();
    if queue.is_some() {
        env.extend(spill_env(&endpoint, &url));
    }
    let function = start_own_function("slow::webhook_that_reads_slowly", &env).await;
    TestLake { s3, function }
}

async fn slow_drain(s3: &S3) -> Function {
    start_own_function("slow::drain_that_reads_slowly", &lake_env(&s3.endpoint())).await
}

/// How many messages the drain leaves in the queue.
async fn left_of(drain: &Function, messages: &[String], deadline: Duration) -> usize {
    match drain.invoke_within(&sqs::event(messages), deadline).await {
        InvocationResult::Response(answer) => answer["batchItemFailures"].as_array().unwrap().len(),
        other => panic!("{other:?}"),
    }
}

/// Checks that `body` is the only record, as it was sent.
fn assert_kept_as_sent(lake: &TestLake, body: &str) {
    let record = lake.record(FAILURES);
    assert!(record["error"].as_str().unwrap().starts_with("payload: takes longer to read"), "{}", record["error"]);
    assert_eq!(record["payload"], body);
    assert!(lake.lines(ALERTS).is_empty());
}

#[tokio::test]
async fn a_payload_that_takes_too_long_to_read_is_stored_by_the_drain() {
    let sqs = Sqs::start().await;
    let lake = slow_webhook(Some(&sqs)).await;
    assert_queued(&lake.invoke_within(FAIR, &signed_event(&[JSON], alert().to_string().as_bytes())).await);
    assert!(lake.keys().is_empty(), "{:?}", lake.keys());
    let output = lake.function.settled_output().await;
    assert!(output.contains("waits in the spill queue: the payload could not be read in time"), "{output}");

    assert_eq!(left_of(&Drain::of(&lake).await.0, &sqs.messages(), FAIR).await, 0);
    assert_eq!((lake.keys().len(), lake.lines(ALERTS).len()), (1, 1));
}

#[tokio::test]
async fn what_the_drain_cannot_read_in_time_is_kept_as_it_was_sent() {
    let (sqs, body) = (Sqs::start().await, alert().to_string());
    let lake = slow_webhook(Some(&sqs)).await;
    assert_queued(&lake.invoke_within(FAIR, &signed_event(&[JSON], body.as_bytes())).await);
    let drain = slow_drain(&lake.s3).await;
    assert_eq!(left_of(&drain, &sqs.messages(), SHORT).await, 1, "with so little time it is tried again");
    assert!(lake.keys().is_empty());
    assert_eq!(left_of(&drain, &sqs.messages(), FAIR).await, 0);
    assert_kept_as_sent(&lake, &body);
}

#[tokio::test]
async fn without_a_queue_a_payload_that_takes_too_long_is_kept_as_it_was_sent() {
    let (lake, body) = (slow_webhook(None).await, alert().to_string());
    let event = signed_event(&[JSON], body.as_bytes());
    assert_unavailable(&lake.invoke_within(SHORT, &event).await);
    assert_eq!(counts(&lake.invoke_within(FAIR, &event).await), [0, 0, 1]);
    assert_kept_as_sent(&lake, &body);
}
