//! S3 under faults: retries, outages, and no acknowledgement before a log is stored.

use std::time::Duration;

use futures_util::future::join_all;
use tracebit_lake_harness::Fault;

use crate::support::{
    ALERTS, FAILURES, HEALTH_CHECKS, JSON, TestLake, alert, alert_with_id, altered_alert, assert_unavailable, counts,
    health_check, signed_event,
};

/// Long enough for one or two retries, and for the answer on a busy machine.
const DEADLINE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_transient_s3_error_is_retried() {
    for fault in [
        Fault::Status { status: 409, code: "ConditionalRequestConflict" },
        Fault::Status { status: 500, code: "InternalError" },
        Fault::Status { status: 503, code: "SlowDown" },
        // The SDK retries by the clock of S3, which the reply carries.
        Fault::Status { status: 403, code: "RequestTimeTooSkewed" },
        Fault::ResetInRequest,
        Fault::Reset,
        // The first attempt stored the object, so the retry gets a 412, and yet the log is new.
        Fault::ResetInAnswer,
        Fault::LoseAnswer,
    ] {
        let lake = TestLake::start().await;
        lake.s3.fail_next(2, fault);
        assert_eq!(counts(&lake.deliver(alert().to_string()).await), [1, 0, 0], "{fault:?}");
        assert_eq!((lake.s3.puts().len(), lake.records(ALERTS).len()), (3, 1), "{fault:?}");
        assert_eq!(counts(&lake.deliver(alert().to_string()).await), [0, 1, 0], "{fault:?}");
    }
}

#[tokio::test]
async fn a_permanent_s3_error_is_not_retried() {
    for fault in [
        Fault::Status { status: 307, code: "TemporaryRedirect" },
        Fault::Status { status: 403, code: "AccessDenied" },
        Fault::Status { status: 404, code: "NoSuchBucket" },
        Fault::WrongChecksum,
    ] {
        let lake = TestLake::start().await;
        lake.s3.fail_next(1, fault);
        assert_unavailable(&lake.deliver(alert().to_string()).await);
        assert_eq!(lake.s3.puts().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn deliveries_share_one_connection_whatever_their_deadline() {
    let lake = TestLake::start().await;
    for deadline in [30, 5, 3, 9].into_iter().cycle().take(20).map(Duration::from_secs) {
        assert_eq!(lake.deliver_within(deadline, alert().to_string()).await.status, 200);
    }
    assert_eq!(lake.s3.connections(), 1, "INIT opened the only connection");
}

/// Delivers during a lasting fault, heals S3 and delivers again.
async fn outage(fault: Fault) {
    let lake = TestLake::start().await;
    let body = format!("{}\n{}\n", alert_with_id("log-1"), health_check("2026-11-22T09:00:00Z"));
    lake.s3.fail_always(fault);
    assert_unavailable(&lake.deliver_within(DEADLINE, &body).await);
    lake.s3.heal();
    let [stored, duplicates, failures] = counts(&lake.deliver(&body).await);
    assert_eq!((stored + duplicates, failures), (2, 0), "{fault:?}");
    let was_performed =
        matches!(fault, Fault::SlowAnswer(_) | Fault::Drip(_) | Fault::ResetInAnswer | Fault::LoseAnswer);
    assert_eq!(stored, if was_performed { 0 } else { 2 }, "{fault:?}");
    assert_eq!((lake.records(ALERTS).len(), lake.records(HEALTH_CHECKS).len()), (1, 1), "{fault:?}");
    assert_eq!(counts(&lake.deliver(&body).await), [0, 2, 0], "{fault:?}");
}

#[tokio::test]
async fn after_an_outage_every_log_is_stored_exactly_once() {
    let status = |status, code| Fault::Status { status, code };
    join_all(
        [
            status(500, "InternalError"),
            status(503, "SlowDown"),
            status(409, "ConditionalRequestConflict"),
            status(403, "AccessDenied"),
            status(404, "NoSuchBucket"),
            status(307, "TemporaryRedirect"),
            status(403, "RequestTimeTooSkewed"),
            Fault::ResetInRequest,
            Fault::Reset,
            Fault::Hang,
            Fault::WrongChecksum,
            Fault::SlowAnswer(Duration::from_mins(1)),
            Fault::Drip(Duration::from_millis(100)),
            Fault::ResetInAnswer,
            Fault::LoseAnswer,
        ]
        .map(outage),
    )
    .await;
}

#[tokio::test]
async fn an_outage_leaves_later_deliveries_all_their_attempts() {
    let down = Fault::Status { status: 500, code: "InternalError" };
    let lake = TestLake::start().await;
    let hours = (0..100).map(|n| health_check(&format!("2026-01-{:02}T{:02}:00:00Z", n / 24 + 1, n % 24)).to_string());
    lake.s3.fail_always(down);
    assert_unavailable(&lake.deliver_within(DEADLINE, hours.collect::<Vec<_>>().join("\n")).await);
    // The SDK's own retry quota is 50.
    assert!(lake.s3.puts().len() > 150, "retries of 100 objects: {}", lake.s3.puts().len() - 100);
    lake.s3.heal();
    lake.s3.fail_next(2, down);
    assert_eq!(counts(&lake.deliver(alert().to_string()).await), [1, 0, 0]);
}

#[tokio::test]
async fn while_s3_refuses_connections_nothing_is_acknowledged() {
    let lake = TestLake::start().await;
    let body = alert().to_string();
    lake.s3.stop().await;
    assert_unavailable(&lake.deliver_within(DEADLINE, &body).await);
    assert!(lake.objects().is_empty());
    lake.s3.resume();
    assert_eq!(counts(&lake.deliver(&body).await), [1, 0, 0]);
    assert_eq!(lake.records(ALERTS).len(), 1);
}

#[tokio::test]
async fn an_instance_started_in_an_outage_serves_after_it() {
    let lake = TestLake::start().await;
    let body = alert().to_string();
    lake.s3.stop().await;
    let instance = lake.another_instance().await;
    let event = signed_event(&[JSON], body.as_bytes());
    assert_unavailable(&instance.invoke_within(&event, DEADLINE).await.response());
    lake.s3.resume();
    assert_eq!(counts(&instance.invoke(&event).await.response()), [1, 0, 0]);
}

#[tokio::test]
async fn a_large_upload_that_breaks_is_sent_again_whole() {
    let lake = TestLake::start().await;
    let log = altered_alert("/message", Some("x".repeat(4_000_000).into())).to_string();
    lake.s3.fail_next(2, Fault::ResetInRequest);
    assert_eq!(counts(&lake.deliver(&log).await), [1, 0, 0]);
    assert_eq!((lake.s3.puts().len(), lake.lines(ALERTS).len()), (3, 1));
    assert!(lake.lines(ALERTS)[0].starts_with(&log[..log.len() - 1]));
}

#[tokio::test]
async fn a_partly_stored_batch_is_complete_after_a_redelivery() {
    let lake = TestLake::start().await;
    let hours: Vec<_> = (0..24).map(|hour| health_check(&format!("2026-11-22T{hour:02}:00:00Z")).to_string()).collect();
    let body = hours.join("\n");
    lake.s3.fail_next(1, Fault::Status { status: 403, code: "AccessDenied" });
    assert_unavailable(&lake.deliver(&body).await);
    let [stored, duplicates, failures] = counts(&lake.deliver(&body).await);
    assert_eq!((stored + duplicates, failures), (24, 0));
    assert!(stored >= 1, "the rejected log is stored now");
    assert_eq!((lake.keys().len(), lake.records(HEALTH_CHECKS).len()), (24, 24));
}

#[tokio::test]
async fn a_failure_is_not_acknowledged_before_it_is_stored() {
    let lake = TestLake::start().await;
    lake.s3.fail_next(1, Fault::Status { status: 403, code: "AccessDenied" });
    assert_unavailable(&lake.deliver("hello").await);
    assert_eq!(counts(&lake.deliver("hello").await), [0, 0, 1]);
    assert_eq!(lake.records(FAILURES).len(), 1);
}

#[tokio::test]
async fn a_crash_after_the_upload_loses_and_doubles_nothing() {
    let mut lake = TestLake::start().await;
    let event = signed_event(&[JSON], alert().to_string().as_bytes());
    lake.s3.fail_always(Fault::SlowAnswer(Duration::from_mins(1)));
    {
        let delivery = lake.function.invoke(&event);
        let taken = async {
            while lake.objects().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = taken => {}
            outcome = delivery => panic!("{outcome:?}"),
        }
    }
    lake.function.kill().await;
    lake.s3.heal();
    let instance = lake.another_instance().await;
    assert_eq!(counts(&instance.invoke(&event).await.response()), [0, 1, 0]);
    assert_eq!(lake.records(ALERTS).len(), 1);
}
