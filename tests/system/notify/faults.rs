//! Faults of S3, SNS and EventBridge: at least one message for each alert, whatever fails.

use std::time::Duration;

use futures_util::future::join_all;
use tracebit_lake_harness::{Fault, sqs};

use super::{
    alert_of,
    setup::{DEADLINE, Setup, created},
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
        let setup = Setup::start().await;
        setup.sns.fail_next(2, fault);
        setup.publish(&[alert()]).await;
        let was_taken = matches!(fault, Fault::LoseAnswer | Fault::ResetInAnswer);
        assert_eq!(setup.emails().len(), if was_taken { 3 } else { 1 }, "{fault:?}");
        assert_eq!((setup.sns.faults(), setup.markers().len()), (2, 1), "{fault:?}");
    }))
    .await;
}

#[tokio::test]
async fn transient_faults_of_eventbridge_are_retried() {
    let throttled = Fault::Status { status: 400, code: "ThrottlingException" };
    let faults = [DOWN, throttled, Fault::ResetInRequest, Fault::Reset, Fault::LoseAnswer];
    join_all(faults.map(async |fault| {
        let setup = Setup::start().await;
        setup.bus.fail_next(2, fault);
        setup.publish(&[alert()]).await;
        assert_eq!(setup.bus.faults(), 2, "{fault:?}");
        assert!(!setup.events().is_empty() && setup.emails().len() == 1, "{fault:?}");
    }))
    .await;
}

#[tokio::test]
async fn transient_faults_of_reads_are_retried() {
    let faults = [DOWN, Fault::ResetInRequest, Fault::Reset, Fault::LoseAnswer, Fault::ResetInAnswer];
    join_all(faults.map(async |fault| {
        let setup = Setup::start().await;
        let key = setup.deliver(&[alert()]).await.remove(0);
        setup.lake.s3.fail_reads(2, fault);
        assert_eq!(setup.left_of(&[created(BUCKET, &key)]).await, [""; 0], "{fault:?} {}", setup.notifier.output());
        assert_eq!((setup.emails().len(), setup.events().len()), (1, 1), "{fault:?}");
    }))
    .await;
}

#[tokio::test]
async fn during_an_outage_the_message_stays_and_later_it_is_published() {
    let outage = async |(service, fault): (&str, Fault)| {
        let setup = Setup::start().await;
        let key = setup.deliver(&[alert()]).await.remove(0);
        let body = created(BUCKET, &key);
        match service {
            "sns" => setup.sns.fail_always(fault),
            "bus" => setup.bus.fail_always(fault),
            _ => setup.lake.s3.fail_all_reads(fault),
        }
        assert_eq!(setup.left_within(LITTLE, std::slice::from_ref(&body)).await, ["0"], "{service} {fault:?}");
        // The one is notified, even if the other cannot be.
        match service {
            "sns" => assert_eq!((setup.emails().len(), setup.events().len()), (0, 1), "{fault:?}"),
            "bus" => assert_eq!((setup.emails().len(), setup.events().len()), (1, 0), "{fault:?}"),
            _ => assert!(setup.sns.published().is_empty() && setup.events().is_empty(), "{fault:?}"),
        }
        let output = setup.notifier.settled_output().await;
        assert!(output.contains("notify queue message 0, object") && output.contains(&key), "{output}");
        setup.sns.heal();
        setup.bus.heal();
        setup.lake.s3.heal_reads();
        assert_eq!(setup.left_of(&[body]).await, [""; 0], "{service} {fault:?}");
        assert_eq!(setup.emails().len(), 1, "{service} {fault:?}");
        assert_eq!(setup.chats().len(), 1, "the same instance does not repeat itself: {service} {fault:?}");
        assert!(!setup.events().is_empty(), "{service} {fault:?}");
    };
    let services = ["sns", "bus", "s3"];
    let faults = [DOWN, DENIED, Fault::Reset, Fault::Hang];
    join_all(services.iter().flat_map(|service| faults.map(|fault| outage((*service, fault))))).await;
}

#[tokio::test]
async fn entries_that_fail_alone_are_put_again_alone() {
    let setup = Setup::start().await;
    setup.bus.refuse_entries(3, "ThrottlingException");
    // More than 500 logs of an hour share objects.
    let mut logs: Vec<_> = (0..501).map(|log| alert_of(&format!("log-{log}"), "alert-1")).collect();
    for log in &mut logs {
        log["severity"] = "Info".into();
    }
    setup.publish(&logs).await;
    assert_eq!(setup.events().len(), 501);
    assert_eq!(setup.bus.calls(), 52, "those of 501 entries, and one or two more");

    setup.bus.refuse_entries(1, "NotAuthorizedForSourceException");
    let key = setup.deliver(&[alert_of("log-x", "alert-1")]).await.remove(0);
    assert_eq!(setup.left_of(&[created(BUCKET, &key)]).await, ["0"]);
    assert!(setup.notifier.output_with("NotAuthorizedForSourceException").await.contains(&key));
}

#[tokio::test]
async fn while_sns_refuses_each_event_is_put_once() {
    let setup = Setup::start().await;
    setup.sns.fail_always(DENIED);
    let bodies: Vec<_> = setup.deliver(&[alert_of("log-1", "alert-1"), alert_of("log-2", "alert-2")]).await;
    let bodies: Vec<_> = bodies.iter().map(|key| created(BUCKET, key)).collect();
    for _ in 0..3 {
        assert_eq!(setup.left_of(&bodies).await, ["0", "1"]);
    }
    setup.sns.heal();
    assert_eq!(setup.left_of(&bodies).await, [""; 0]);
    assert_eq!((setup.emails().len(), setup.events().len()), (2, 2));
}

#[tokio::test]
async fn a_kill_between_message_and_marker_notifies_twice() {
    let mut setup = Setup::start().await;
    let key = setup.deliver(&[alert()]).await.remove(0);
    let body = created(BUCKET, &key);
    setup.lake.s3.fail_always(Fault::Hang);
    let event = sqs::event(std::slice::from_ref(&body));
    let published = async {
        while setup.sns.published().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        answer = setup.notifier.invoke_within(&event, DEADLINE) => panic!("{answer:?}"),
        () = published => {}
    }
    setup.notifier.kill().await;
    setup.lake.s3.heal();
    assert!(setup.markers().is_empty());
    setup.restart().await;
    assert_eq!(setup.left_of(std::slice::from_ref(&body)).await, [""; 0]);
    assert_eq!((setup.emails().len(), setup.markers().len()), (2, 1));
    setup.restart().await;
    assert_eq!(setup.left_of(&[body]).await, [""; 0]);
    assert_eq!(setup.emails().len(), 2, "the marker is there now");
}

#[tokio::test]
async fn a_kill_before_the_message_loses_nothing() {
    let mut setup = Setup::start().await;
    let key = setup.deliver(&[alert()]).await.remove(0);
    let body = created(BUCKET, &key);
    setup.sns.fail_always(Fault::Hang);
    let event = sqs::event(std::slice::from_ref(&body));
    let met = async {
        while setup.sns.faults() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        answer = setup.notifier.invoke_within(&event, DEADLINE) => panic!("{answer:?}"),
        () = met => {}
    }
    setup.notifier.kill().await;
    setup.sns.heal();
    assert!(setup.sns.published().is_empty() && setup.markers().is_empty());
    setup.restart().await;
    assert_eq!(setup.left_of(&[body]).await, [""; 0]);
    assert_eq!(setup.emails().len(), 1);
}

#[tokio::test]
async fn a_marker_that_cannot_be_read_or_created_notifies_rather_than_not() {
    let setup = Setup::start().await;
    setup.lake.deliver(alert().to_string()).await;
    let body = created(BUCKET, &setup.keys()[0]);
    setup.lake.s3.fail_always(DENIED);
    assert_eq!(setup.left_of(&[body]).await, [""; 0]);
    assert_eq!((setup.emails().len(), setup.markers().len()), (1, 0));
    assert!(setup.notifier.output_with("cannot record that this alert was notified").await.contains("AccessDenied"));
    // The instance remembers, so that a broken bucket does not make every log an e-mail.
    setup.lake.s3.heal();
    setup.publish(&[alert_of("log-2", "alert-1")]).await;
    assert_eq!((setup.emails().len(), setup.chats().len()), (1, 2));
}

#[tokio::test]
async fn a_message_that_hangs_does_not_starve_the_others() {
    let setup = Setup::start().await;
    let keys =
        [setup.deliver(&[alert_of("log-1", "alert-1")]).await, setup.deliver(&[alert_of("log-2", "alert-2")]).await];
    let bodies: Vec<_> = keys.concat().iter().map(|key| created(BUCKET, key)).collect();
    setup.lake.s3.withhold(&keys[0][0]);
    assert_eq!(setup.left_within(LITTLE, &bodies).await, ["0"]);
    assert_eq!(setup.chats()[0]["metadata"]["threadId"], "alert-2");
}

#[tokio::test]
async fn the_first_message_needs_no_new_connection() {
    let setup = Setup::start().await;
    let keys = setup.deliver(&[alert()]).await;
    let connections = || [setup.sns.connections(), setup.bus.connections()];
    assert_eq!((connections(), setup.sns.published().len(), setup.bus.calls()), ([1, 1], 0, 0));
    assert_eq!(setup.left_of(&[created(BUCKET, &keys[0])]).await, [""; 0]);
    assert_eq!((connections(), setup.emails().len(), setup.events().len()), ([1, 1], 1, 1));
}

#[tokio::test]
async fn a_service_that_is_away_at_the_start_keeps_no_notifier_from_starting() {
    let mut setup = Setup::start().await;
    let keys = setup.deliver(&[alert()]).await;
    setup.sns.stop().await;
    setup.bus.stop().await;
    setup.restart().await;
    let output = setup.notifier.output();
    for service in ["SNS", "EventBridge"] {
        assert!(output.contains(&format!("cannot reach {service} at start-up")), "{output}");
    }
    setup.sns.resume();
    setup.bus.resume();
    assert_eq!(setup.left_of(&[created(BUCKET, &keys[0])]).await, [""; 0]);
    assert_eq!(setup.emails().len(), 1);
}
