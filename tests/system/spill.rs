//! The spill queue: what S3 does not take in time waits there, and the drain files it.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tracebit_lake_harness::{
    Fault,
    runtime_api::{Function, Invocation},
    sqs::{self, Sqs},
};

use crate::{
    lake::{BUCKET, JSON, Lake, SECRET, assert_queued, assert_try_again, counts, env_of, signed_event, spill_env},
    samples::{ALERTS, FAILURES, alert, alert_with},
};

pub(crate) const DRAIN: &str = env!("CARGO_BIN_EXE_tracebit-lake-drain");
const DOWN: Fault = Fault::Status { status: 503, code: "SlowDown" };
const THROTTLED: Fault = Fault::Status { status: 400, code: "ThrottlingException" };
const DENIED: Fault = Fault::Status { status: 403, code: "AccessDenied" };

/// Time enough for S3's share and the queue's.
const DEADLINE: Duration = Duration::from_secs(3);

/// A lake with a spill queue.
async fn lake() -> (Sqs, Lake) {
    let sqs = Sqs::start().await;
    let (url, endpoint) = (sqs.queue_url(), sqs.endpoint());
    let lake = Lake::with(&spill_env(&endpoint, &url)).await;
    (sqs, lake)
}

/// The drain in front of the same bucket, and the ids that it leaves in the queue.
struct Drain(Function);

impl Drain {
    async fn of(lake: &Lake) -> Self {
        let drain = Function::start(DRAIN, &env_of(&lake.s3.endpoint())).await;
        drain.ready().await.unwrap_or_else(|output| panic!("{output}"));
        Self(drain)
    }

    async fn left_of(&self, messages: &[String]) -> Vec<String> {
        let sent = Instant::now();
        let invocation = self.0.invoke_within(&sqs::event(messages), DEADLINE).await;
        assert!(sent.elapsed() < DEADLINE, "the answer came after the deadline: {invocation:?}");
        match invocation {
            Invocation::Response(answer) => answer["batchItemFailures"]
                .as_array()
                .unwrap()
                .iter()
                .map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned())
                .collect(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_s3_does_not_take_is_queued_and_the_drain_files_it_once() {
    let outage = async |fault| {
        let (sqs, lake) = lake().await;
        lake.s3.fail_always(fault);
        assert_queued(&lake.deliver_by(DEADLINE, alert().to_string()).await);
        let messages = sqs.messages();
        assert_eq!(messages.len(), 1, "{fault:?}");

        let drain = Drain::of(&lake).await;
        assert_eq!(drain.left_of(&messages).await, ["0"], "S3 is still down: {fault:?}");
        lake.s3.heal();
        for _ in 0..2 {
            assert_eq!(drain.left_of(&messages).await, [""; 0], "{fault:?}");
        }
        assert_eq!(lake.records(ALERTS).len(), 1, "{fault:?}");
        assert_eq!(counts(&lake.deliver(alert().to_string()).await), [0, 1, 0], "{fault:?}");
    };
    join_all(
        [
            DOWN,
            DENIED,
            Fault::ResetInRequest,
            Fault::Reset,
            Fault::Hang,
            Fault::WrongChecksum,
            Fault::Drip(Duration::from_millis(100)),
            Fault::ResetInAnswer,
            Fault::LoseAnswer,
        ]
        .map(outage),
    )
    .await;
}

#[tokio::test]
async fn a_record_out_of_the_queue_has_the_time_at_which_it_was_received() {
    let (sqs, lake) = lake().await;
    lake.s3.fail_always(DENIED);
    assert_queued(&lake.deliver("no log").await);
    lake.s3.heal();
    let mut message: Value = serde_json::from_str(&sqs.messages()[0]).unwrap();
    message["received"] = json!("2026-01-02T03:04:05.678Z");
    assert_eq!(Drain::of(&lake).await.left_of(&[message.to_string()]).await, [""; 0]);
    assert_eq!(lake.record("classification_failures")["p_parse_time"], "2026-01-02 03:04:05.678");
    assert!(lake.key().starts_with("classification_failures/year=2026/month=01/day=02/hour=03/20260102T030405Z-"));
}

#[tokio::test]
async fn a_compressed_delivery_survives_the_queue() {
    let (sqs, lake) = lake().await;
    lake.s3.fail_always(DENIED);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(alert().to_string().as_bytes()).unwrap();
    assert_queued(&lake.deliver_with(&[JSON, ("Content-Encoding", "gzip")], gzip.finish().unwrap()).await);
    lake.s3.heal();
    assert_eq!(Drain::of(&lake).await.left_of(&sqs.messages()).await, [""; 0]);
    assert_eq!(lake.records(ALERTS).len(), 1);
}

#[tokio::test]
async fn the_content_encoding_goes_with_the_delivery() {
    let (sqs, lake) = lake().await;
    lake.s3.fail_always(DENIED);
    assert_queued(&lake.deliver_with(&[JSON, ("Content-Encoding", "br")], alert().to_string()).await);
    lake.s3.heal();
    assert_eq!(Drain::of(&lake).await.left_of(&sqs.messages()).await, [""; 0]);
    let error = lake.record(FAILURES)["error"].as_str().unwrap().to_owned();
    assert!(error.contains("encoding"), "as it would have been at once: {error}");
}

#[tokio::test]
async fn the_drain_checks_each_message_and_one_bad_one_costs_its_neighbours_nothing() {
    let (sqs, lake) = lake().await;
    lake.s3.fail_always(DENIED);
    for id in ["a", "b"] {
        assert_queued(&lake.deliver(alert_with(id).to_string()).await);
    }
    lake.s3.heal();
    let [good, other] = sqs.messages().try_into().unwrap();
    let mut forged: Value = serde_json::from_str(&good).unwrap();
    forged["body"] = serde_json::from_str::<Value>(&other).unwrap()["body"].clone();
    let messages = [good, forged.to_string(), "no delivery".to_owned(), "{}".to_owned(), other];
    assert_eq!(Drain::of(&lake).await.left_of(&messages).await, ["1", "2", "3"]);
    assert_eq!(lake.records(ALERTS).len(), 2);
}

#[tokio::test]
async fn where_both_fail_the_sender_is_asked_to_come_back_in_time() {
    let outage = async |(s3, queue)| {
        let (sqs, lake) = lake().await;
        lake.s3.fail_always(s3);
        sqs.fail(Some(queue));
        assert_try_again(&lake.deliver_by(DEADLINE, alert().to_string()).await);
        assert!(sqs.messages().is_empty() && lake.records(ALERTS).is_empty(), "{s3:?} {queue:?}");
    };
    join_all(
        [
            (DENIED, DENIED),
            (DENIED, Fault::WrongChecksum),
            (DENIED, Fault::ResetInRequest),
            (DOWN, Fault::Reset),
            (Fault::Hang, Fault::Hang),
            (Fault::Hang, DOWN),
        ]
        .map(outage),
    )
    .await;
}

#[tokio::test]
async fn what_sqs_asks_to_try_again_is_tried_again() {
    for fault in [DOWN, THROTTLED, Fault::ResetInRequest, Fault::Reset, Fault::ResetInAnswer, Fault::LoseAnswer] {
        let (sqs, lake) = lake().await;
        lake.s3.fail_always(DENIED);
        sqs.fail_next(2, fault);
        assert_queued(&lake.deliver(alert().to_string()).await);
        assert_eq!(sqs.faults(), 2, "{fault:?}");
        let was_taken = matches!(fault, Fault::ResetInAnswer | Fault::LoseAnswer);
        assert_eq!(sqs.messages().len(), if was_taken { 3 } else { 1 }, "{fault:?}");
    }
}

#[tokio::test]
async fn an_outage_of_sqs_costs_the_deliveries_after_it_no_attempt() {
    let (sqs, lake) = lake().await;
    lake.s3.fail_always(DENIED);
    sqs.fail(Some(DOWN));
    // The SDK's own quota is 50, and first attempts do not count.
    let (event, little) = (signed_event(&[JSON], alert().to_string().as_bytes()), Duration::from_millis(700));
    while sqs.faults() < 100 {
        assert_try_again(&lake.function.invoke_within(&event, little).await.response());
    }
    sqs.fail(None);
    sqs.fail_next(2, DOWN);
    assert_queued(&lake.deliver(alert().to_string()).await);
}

#[tokio::test]
async fn what_is_too_large_for_a_message_is_not_queued() {
    let (sqs, lake) = lake().await;
    lake.s3.fail_always(DENIED);
    // A fault that nothing meets.
    sqs.fail(Some(DENIED));
    assert_try_again(&lake.deliver("x".repeat(1024 * 1024)).await);
    assert_eq!(sqs.faults(), 0, "S3 has all the time where the queue is no way out");
    sqs.fail(None);
    assert_queued(&lake.deliver("x".repeat(700 * 1024)).await);
    assert_eq!(sqs.messages().len(), 1);
}

#[tokio::test]
async fn nothing_is_queued_that_s3_takes_or_that_is_not_signed() {
    let (sqs, lake) = lake().await;
    lake.deliver(alert().to_string()).await;
    lake.s3.fail_always(DENIED);
    assert_eq!(lake.post(&[JSON], alert().to_string()).await.status, 401);
    assert!(sqs.messages().is_empty());
}

#[tokio::test]
async fn the_output_tells_of_the_queue_and_holds_nothing_secret() {
    let (sqs, lake) = lake().await;
    lake.s3.fail_always(DENIED);
    assert_queued(&lake.deliver(alert().to_string()).await);
    let output = lake.function.output_with("\"Spilled\":1").await;
    let message: Value = serde_json::from_str(&sqs.messages()[0]).unwrap();
    assert!(!sqs.messages()[0].contains(SECRET));
    for private in [SECRET, message["signature"].as_str().unwrap(), message["body"].as_str().unwrap(), "alert-1"] {
        assert!(!output.contains(private), "{private} in {output}");
    }
    let drain = Drain::of(&lake).await;
    drain.left_of(&["{\"private\":1}".to_owned()]).await;
    assert!(!drain.0.output_with("message refused").await.contains("private"));
    assert!(lake.s3.objects(BUCKET).is_empty());
}
