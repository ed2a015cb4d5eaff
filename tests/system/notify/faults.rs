//! Faults of S3, SNS and EventBridge: at least one message for each alert, whatever fails.

use std::time::Duration;

use futures_util::future::join_all;
use tracebit_lake_harness::{Fault, sqs};

use super::{
    alert_of,
    bell::{Bell, DEADLINE, created},
};
use crate::support::{BUCKET, alert};

const DOWN: Fault = Fault::Status { status: 503, code: "ServiceUnavailable" };
const DENIED: Fault = Fault::Status { status: 403, code: "AccessDenied" };

/// Long enough for several attempts.
const LITTLE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn transient_faults_of_sns_are_retried() {
    let throttled = Fault::Status { status: 429, code: "Throttled" };
    let faults = [DOWN, throttled, Fault::ResetInRequest, Fault::Reset, Fault::LoseAnswer, Fault::ResetInAnswer];
    join_all(faults.map(async |fault| {
        let bell = Bell::start().await;
        bell.sns.fail_next(2, fault);
        bell.hear(&[alert()]).await;
        let was_taken = matches!(fault, Fault::LoseAnswer | Fault::ResetInAnswer);
        assert_eq!(bell.emails().len(), if was_taken { 3 } else { 1 }, "{fault:?}");
        assert_eq!((bell.sns.faults(), bell.markers().len()), (2, 1), "{fault:?}");
    }))
    .await;
}

#[tokio::test]
async fn transient_faults_of_eventbridge_are_retried() {
    let throttled = Fault::Status { status: 400, code: "ThrottlingException" };
    let faults = [DOWN, throttled, Fault::ResetInRequest, Fault::Reset, Fault::LoseAnswer];
    join_all(faults.map(async |fault| {
        let bell = Bell::start().await;
        bell.bus.fail_next(2, fault);
        bell.hear(&[alert()]).await;
        assert_eq!(bell.bus.faults(), 2, "{fault:?}");
        assert!(!bell.events().is_empty() && bell.emails().len() == 1, "{fault:?}");
    }))
    .await;
}

#[tokio::test]
async fn transient_faults_of_reads_are_retried() {
    let faults = [DOWN, Fault::ResetInRequest, Fault::Reset, Fault::LoseAnswer, Fault::ResetInAnswer];
    join_all(faults.map(async |fault| {
        let bell = Bell::start().await;
        let key = bell.deliver(&[alert()]).await.remove(0);
        bell.lake.s3.fail_reads(2, fault);
        assert_eq!(bell.left_of(&[created(BUCKET, &key)]).await, [""; 0], "{fault:?} {}", bell.notifier.output());
        assert_eq!((bell.emails().len(), bell.events().len()), (1, 1), "{fault:?}");
    }))
    .await;
}

#[tokio::test]
async fn during_an_outage_the_message_stays_and_later_it_rings() {
    let outage = async |(service, fault): (&str, Fault)| {
        let bell = Bell::start().await;
        let key = bell.deliver(&[alert()]).await.remove(0);
        let body = created(BUCKET, &key);
        match service {
            "sns" => bell.sns.fail_always(fault),
            "bus" => bell.bus.fail_always(fault),
            _ => bell.lake.s3.fail_all_reads(fault),
        }
        assert_eq!(bell.left_within(LITTLE, std::slice::from_ref(&body)).await, ["0"], "{service} {fault:?}");
        // The one is told, even if the other cannot be.
        match service {
            "sns" => assert_eq!((bell.emails().len(), bell.events().len()), (0, 1), "{fault:?}"),
            "bus" => assert_eq!((bell.emails().len(), bell.events().len()), (1, 0), "{fault:?}"),
            _ => assert!(bell.sns.published().is_empty() && bell.events().is_empty(), "{fault:?}"),
        }
        let output = bell.notifier.settled_output().await;
        assert!(output.contains("notify queue message 0, object") && output.contains(&key), "{output}");
        bell.sns.heal();
        bell.bus.heal();
        bell.lake.s3.heal_reads();
        assert_eq!(bell.left_of(&[body]).await, [""; 0], "{service} {fault:?}");
        assert_eq!(bell.emails().len(), 1, "{service} {fault:?}");
        assert_eq!(bell.chats().len(), 1, "the same instance does not repeat itself: {service} {fault:?}");
        assert!(!bell.events().is_empty(), "{service} {fault:?}");
    };
    let services = ["sns", "bus", "s3"];
    let faults = [DOWN, DENIED, Fault::Reset, Fault::Hang];
    join_all(services.iter().flat_map(|service| faults.map(|fault| outage((*service, fault))))).await;
}

#[tokio::test]
async fn entries_that_fail_alone_are_put_again_alone() {
    let bell = Bell::start().await;
    bell.bus.refuse_entries(3, "ThrottlingException");
    // More than 500 logs of an hour share objects.
    let mut logs: Vec<_> = (0..501).map(|log| alert_of(&format!("log-{log}"), "alert-1")).collect();
    for log in &mut logs {
        log["severity"] = "Info".into();
    }
    bell.hear(&logs).await;
    assert_eq!(bell.events().len(), 501);
    assert_eq!(bell.bus.calls(), 52, "those of 501 entries, and one or two more");

    bell.bus.refuse_entries(1, "NotAuthorizedForSourceException");
    let key = bell.deliver(&[alert_of("log-x", "alert-1")]).await.remove(0);
    assert_eq!(bell.left_of(&[created(BUCKET, &key)]).await, ["0"]);
    assert!(bell.notifier.output_with("NotAuthorizedForSourceException").await.contains(&key));
}

#[tokio::test]
async fn while_sns_refuses_each_event_is_put_once() {
    let bell = Bell::start().await;
    bell.sns.fail_always(DENIED);
    let bodies: Vec<_> = bell.deliver(&[alert_of("log-1", "alert-1"), alert_of("log-2", "alert-2")]).await;
    let bodies: Vec<_> = bodies.iter().map(|key| created(BUCKET, key)).collect();
    for _ in 0..3 {
        assert_eq!(bell.left_of(&bodies).await, ["0", "1"]);
    }
    bell.sns.heal();
    assert_eq!(bell.left_of(&bodies).await, [""; 0]);
    assert_eq!((bell.emails().len(), bell.events().len()), (2, 2));
}

#[tokio::test]
async fn a_kill_between_message_and_marker_rings_twice() {
    let mut bell = Bell::start().await;
    let key = bell.deliver(&[alert()]).await.remove(0);
    let body = created(BUCKET, &key);
    bell.lake.s3.fail_always(Fault::Hang);
    let event = sqs::event(std::slice::from_ref(&body));
    let published = async {
        while bell.sns.published().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        answer = bell.notifier.invoke_within(&event, DEADLINE) => panic!("{answer:?}"),
        () = published => {}
    }
    bell.notifier.kill().await;
    bell.lake.s3.heal();
    assert!(bell.markers().is_empty());
    bell.restart().await;
    assert_eq!(bell.left_of(std::slice::from_ref(&body)).await, [""; 0]);
    assert_eq!((bell.emails().len(), bell.markers().len()), (2, 1));
    bell.restart().await;
    assert_eq!(bell.left_of(&[body]).await, [""; 0]);
    assert_eq!(bell.emails().len(), 2, "the marker is there now");
}

#[tokio::test]
async fn a_kill_before_the_message_loses_nothing() {
    let mut bell = Bell::start().await;
    let key = bell.deliver(&[alert()]).await.remove(0);
    let body = created(BUCKET, &key);
    bell.sns.fail_always(Fault::Hang);
    let event = sqs::event(std::slice::from_ref(&body));
    let met = async {
        while bell.sns.faults() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        answer = bell.notifier.invoke_within(&event, DEADLINE) => panic!("{answer:?}"),
        () = met => {}
    }
    bell.notifier.kill().await;
    bell.sns.heal();
    assert!(bell.sns.published().is_empty() && bell.markers().is_empty());
    bell.restart().await;
    assert_eq!(bell.left_of(&[body]).await, [""; 0]);
    assert_eq!(bell.emails().len(), 1);
}

#[tokio::test]
async fn a_marker_that_cannot_be_read_or_created_rings_rather_than_not() {
    let bell = Bell::start().await;
    bell.lake.deliver(alert().to_string()).await;
    let body = created(BUCKET, &bell.keys()[0]);
    bell.lake.s3.fail_always(DENIED);
    assert_eq!(bell.left_of(&[body]).await, [""; 0]);
    assert_eq!((bell.emails().len(), bell.markers().len()), (1, 0));
    assert!(bell.notifier.output_with("cannot record that this alert was notified").await.contains("AccessDenied"));
    // The instance remembers, so that a broken bucket does not make every log an e-mail.
    bell.lake.s3.heal();
    bell.hear(&[alert_of("log-2", "alert-1")]).await;
    assert_eq!((bell.emails().len(), bell.chats().len()), (1, 2));
}

#[tokio::test]
async fn a_message_that_hangs_does_not_starve_the_others() {
    let bell = Bell::start().await;
    let keys =
        [bell.deliver(&[alert_of("log-1", "alert-1")]).await, bell.deliver(&[alert_of("log-2", "alert-2")]).await];
    let bodies: Vec<_> = keys.concat().iter().map(|key| created(BUCKET, key)).collect();
    bell.lake.s3.withhold(&keys[0][0]);
    assert_eq!(bell.left_within(LITTLE, &bodies).await, ["0"]);
    assert_eq!(bell.chats()[0]["metadata"]["threadId"], "alert-2");
}

#[tokio::test]
async fn the_first_message_needs_no_new_connection() {
    let bell = Bell::start().await;
    let keys = bell.deliver(&[alert()]).await;
    let connections = || [bell.sns.connections(), bell.bus.connections()];
    assert_eq!((connections(), bell.sns.published().len(), bell.bus.calls()), ([1, 1], 0, 0));
    assert_eq!(bell.left_of(&[created(BUCKET, &keys[0])]).await, [""; 0]);
    assert_eq!((connections(), bell.emails().len(), bell.events().len()), ([1, 1], 1, 1));
}

#[tokio::test]
async fn a_service_that_is_away_at_the_start_keeps_no_notifier_from_starting() {
    let mut bell = Bell::start().await;
    let keys = bell.deliver(&[alert()]).await;
    bell.sns.stop().await;
    bell.bus.stop().await;
    bell.restart().await;
    let output = bell.notifier.output();
    for service in ["SNS", "EventBridge"] {
        assert!(output.contains(&format!("cannot reach {service} at start-up")), "{output}");
    }
    bell.sns.resume();
    bell.bus.resume();
    assert_eq!(bell.left_of(&[created(BUCKET, &keys[0])]).await, [""; 0]);
    assert_eq!(bell.emails().len(), 1);
}
