//! The spill queue: deliveries that S3 does not take in time, and the drain that stores them later.

use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tracebit_lake_harness::Fault;

use crate::support::{
    ALERTS, BUCKET, DRAIN_DEADLINE as DEADLINE, Drain, FAILURES, GZIP, JSON, SECRET, TestLake, alert, alert_at,
    alert_with_id, assert_queued, assert_unavailable, counts, gzip, lake_with_queue as lake, signed_event,
};

const DOWN: Fault = Fault::Status { status: 503, code: "SlowDown" };
const THROTTLED: Fault = Fault::Status { status: 400, code: "ThrottlingException" };
const DENIED: Fault = Fault::Status { status: 403, code: "AccessDenied" };

#[tokio::test]
async fn the_drain_stores_a_queued_delivery_exactly_once() {
    let outage = async |fault| {
        let (sqs, lake) = lake().await;
        lake.s3.fail_always(fault);
        assert_queued(&lake.deliver_within(DEADLINE, alert().to_string()).await);
        let messages = sqs.messages();
        assert_eq!(messages.len(), 1, "{fault:?}");

        let drain = Drain::of(&lake).await;
        assert_eq!(drain.left_of(&messages).await, ["0"], "during the outage: {fault:?}");
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
async fn a_queued_record_keeps_its_time_of_receipt() {
    let (sqs, lake) = lake().await;
    lake.s3.fail_always(DENIED);
    assert_queued(&lake.deliver("not a log").await);
    lake.s3.heal();
    let mut message: Value = serde_json::from_str(&sqs.messages()[0]).unwrap();
    let received = Utc::now() - TimeDelta::days(20);
    message["received"] = json!(received.to_rfc3339_opts(SecondsFormat::Millis, true));
    assert_eq!(Drain::of(&lake).await.left_of(&[message.to_string()]).await, [""; 0]);
    let record = lake.record("classification_failures");
    assert_eq!(record["p_parse_time"], received.format("%Y-%m-%d %H:%M:%S%.3f").to_string());
    let hour = received.format("classification_failures/day=%Y-%m-%d/hour=%H/%Y%m%dT%H0000Z-").to_string();
    assert!(lake.key().starts_with(&hour), "{}", lake.key());

    // The time is not signed. Whoever may send to the queue cannot store the failure under any hour they like.
    message["received"] = json!("2026-01-02T03:04:05.678Z");
    assert_eq!(Drain::of(&lake).await.left_of(&[message.to_string()]).await.len(), 1);
    assert_eq!(lake.keys().len(), 1);
}

#[tokio::test]
async fn a_compressed_delivery_survives_the_queue() {
    let (sqs, lake) = lake().await;
    lake.s3.fail_always(DENIED);
    assert_queued(&lake.deliver_with(&[JSON, GZIP], gzip(alert().to_string())).await);
    lake.s3.heal();
    assert_eq!(Drain::of(&lake).await.left_of(&sqs.messages()).await, [""; 0]);
    assert_eq!(lake.records(ALERTS).len(), 1);
}

#[tokio::test]
async fn the_queue_keeps_the_body_whatever_the_header_says() {
    let log = alert().to_string();
    let huge = "x".repeat(2 * 1024 * 1024);
    for (name, body) in [
        ("br", log.clone().into_bytes()),
        ("gzip", log.clone().into_bytes()),
        ("gzip, gzip", gzip(&log)),
        ("gzip,zstd", gzip(&log)),
        ("\u{fc}", log.clone().into_bytes()),
        (" X-GZIP ", gzip(&log)),
        ("identity", gzip(&log)),
        (&*huge, log.clone().into_bytes()),
    ] {
        let headers = [JSON, ("Content-Encoding", name)];
        let direct = TestLake::start().await;
        counts(&direct.deliver_with(&headers, &body).await);
        let (sqs, lake) = lake().await;
        lake.s3.fail_always(DENIED);
        assert_queued(&lake.deliver_with(&headers, &body).await);
        lake.s3.heal();
        assert!(sqs.messages()[0].len() < body.len() * 2 + 1024, "{} bytes", sqs.messages()[0].len());
        assert_eq!(Drain::of(&lake).await.left_of(&sqs.messages()).await, [""; 0]);
        // A failure's key has the hour of its receipt.
        let ids = |lake: &TestLake| lake.keys().into_iter().map(|key| key.rsplit('-').next().map(str::to_owned));
        assert!(ids(&direct).eq(ids(&lake)), "{:?} and {:?}", direct.keys(), lake.keys());
        let errors = [&direct, &lake].map(|lake| {
            lake.records(FAILURES).into_iter().map(|record| [record["error"].clone(), record["payload"].clone()])
        });
        let [direct, queued] = errors.map(Iterator::collect::<Vec<_>>);
        assert_eq!(direct, queued);
    }
}

/// An alert of this hour, as text.
fn alert_of_hour(hour: usize) -> String {
    alert_at(&format!("2026-11-22T{hour:02}:59:59Z"))
}

#[tokio::test]
async fn messages_that_hang_do_not_starve_the_others() {
    let (sqs, lake) = lake().await;
    lake.s3.fail_always(DENIED);
    // Those that hang come first.
    for hour in [3, 3, 4, 5, 6] {
        assert_queued(&lake.deliver(alert_of_hour(hour)).await);
    }
    lake.s3.heal();
    lake.s3.withhold("/hour=03/");
    let drain = Drain::of(&lake).await;
    assert_eq!(drain.left_of(&sqs.messages()).await, ["0", "1"]);
    assert_eq!(lake.records(ALERTS).len(), 3);

    // Each message has its line, and each failed one says why.
    let output = drain.0.settled_output().await;
    let lines: Vec<Value> = output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let reports = lines.iter().filter(|line| line.get("RequestId").is_some());
    let reports: Vec<_> = reports.map(|line| [&line["MessageId"], &line["Outcome"]]).collect();
    let (failed, stored) = (json!("store unavailable"), json!("stored"));
    let ids = ["0", "1", "2", "3", "4"].map(|id| json!(id));
    let outcomes = [&failed, &failed, &stored, &stored, &stored];
    assert_eq!(reports, ids.iter().zip(outcomes).map(|(id, outcome)| [id, outcome]).collect::<Vec<_>>());
    for id in ["0", "1"] {
        let expected = format!("spill queue message {id}: cannot store the delivery: PutObject timed out");
        let is_named =
            |line: &Value| line["fields"]["message"].as_str().is_some_and(|text| text.starts_with(&expected));
        assert!(lines.iter().any(is_named), "{expected}: {output}");
    }
}

#[tokio::test]
async fn a_rejected_message_is_named_with_its_reason() {
    let (sqs, lake) = lake().await;
    lake.s3.fail_always(DENIED);
    assert_queued(&lake.deliver(alert().to_string()).await);
    lake.s3.heal();
    let good = sqs.messages().remove(0);
    let mut forged: Value = serde_json::from_str(&good).unwrap();
    forged["body"] = json!("e30=");
    let drain = Drain::of(&lake).await;
    assert_eq!(drain.left_of(&[good, forged.to_string(), "{}".to_owned()]).await, ["1", "2"]);
    let output = drain.0.settled_output().await;
    for line in [
        "spill queue message 1 rejected: the signature does not verify",
        "spill queue message 2 rejected: it is not a delivery of this function",
    ] {
        assert!(output.contains(line), "{line}: {output}");
    }
    assert_eq!(output.matches("\"Outcome\":\"message rejected\"").count(), 2, "{output}");
}

#[tokio::test]
async fn the_drain_rejects_bad_messages_and_stores_the_others() {
    let (sqs, lake) = lake().await;
    lake.s3.fail_always(DENIED);
    for id in ["a", "b"] {
        assert_queued(&lake.deliver(alert_with_id(id).to_string()).await);
    }
    lake.s3.heal();
    let [good, other] = sqs.messages().try_into().unwrap();
    let mut forged: Value = serde_json::from_str(&good).unwrap();
    forged["body"] = serde_json::from_str::<Value>(&other).unwrap()["body"].clone();
    let messages = [good, forged.to_string(), "not a delivery".to_owned(), "{}".to_owned(), other];
    assert_eq!(Drain::of(&lake).await.left_of(&messages).await, ["1", "2", "3"]);
    assert_eq!(lake.records(ALERTS).len(), 2);
}

#[tokio::test]
async fn when_s3_and_sqs_fail_the_sender_gets_503_in_time() {
    let outage = async |(s3, queue)| {
        let (sqs, lake) = lake().await;
        lake.s3.fail_always(s3);
        sqs.fail_always(queue);
        assert_unavailable(&lake.deliver_within(DEADLINE, alert().to_string()).await);
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
async fn a_transient_sqs_error_is_retried() {
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
async fn an_outage_leaves_later_deliveries_all_their_attempts() {
    let (sqs, lake) = lake().await;
    lake.s3.fail_always(DENIED);
    sqs.fail_always(DOWN);
    // The SDK's own retry quota is 50, and first attempts do not use it.
    let (event, little) = (signed_event(&[JSON], alert().to_string().as_bytes()), Duration::from_millis(700));
    while sqs.faults() < 100 {
        assert_unavailable(&lake.function.invoke_within(&event, little).await.response());
    }
    sqs.heal();
    sqs.fail_next(2, DOWN);
    assert_queued(&lake.deliver(alert().to_string()).await);
}

#[tokio::test]
async fn a_delivery_too_large_for_a_message_is_not_queued() {
    let (sqs, lake) = lake().await;
    lake.s3.fail_always(DENIED);
    // No request may meet this fault.
    sqs.fail_always(DENIED);
    assert_unavailable(&lake.deliver("x".repeat(1024 * 1024)).await);
    assert_eq!(sqs.faults(), 0, "the function must not call SQS");
    sqs.heal();
    assert_queued(&lake.deliver("x".repeat(700 * 1024)).await);
    assert_eq!(sqs.messages().len(), 1);
}

#[tokio::test]
async fn stored_and_unsigned_deliveries_are_not_queued() {
    let (sqs, lake) = lake().await;
    lake.deliver(alert().to_string()).await;
    lake.s3.fail_always(DENIED);
    assert_eq!(lake.post(&[JSON], alert().to_string()).await.status, 401);
    assert!(sqs.messages().is_empty());
}

#[tokio::test]
async fn the_output_counts_queued_deliveries_and_no_secret() {
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
    assert!(!drain.0.output_with("message rejected").await.contains("private"));
    assert!(lake.s3.objects(BUCKET).is_empty());
}
