//! The bell: people and machines are told of what is in the lake.

mod bell;
mod faults;
mod intruder;
mod page;
mod schema;
mod storm;
mod whole_way;

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tracebit_lake_harness::runtime_api::Function;

use self::bell::{Bell, created};
use crate::support::{ALERTS, BUCKET, NOTIFY, alert, altered_alert, health_check, metrics};

/// An alert with another id of the log and of the alert.
fn alert_of(log: &str, alert_id: &str) -> Value {
    let mut alert = altered_alert("/alert_id", Some(json!(alert_id)));
    alert["id"] = json!(log);
    alert
}

#[tokio::test]
async fn an_alert_rings_by_e_mail_chat_and_event() {
    let bell = Bell::start().await;
    let mut alert = alert();
    alert["tracebit_portal_url"] = json!("https://portal.tracebit.com/alerts/alert-1");
    bell.hear(&[alert]).await;

    let email = bell.email();
    for text in [
        "Canary: backups, s3_bucket",
        "Who: arn:aws:sts::210987654321:assumed-role/Admin/alice[@]example[.]com",
        "From: 192.0.2.1",
        "With: aws-cli/2.0",
        "When: 2026-11-22 09:59:59.123 UTC",
        "Severity: High",
        "https://portal.tracebit.com/alerts/alert-1",
        "https://console.aws.amazon.com/athena/home?region=us-east-1#/query-editor",
        "WHERE day >= '2026-11-22' AND alert_id = 'alert-1'",
    ] {
        assert!(email.contains(text), "{text} in {email}");
    }
    let [message] = bell.emails().try_into().unwrap();
    assert_eq!(message.subject.as_deref(), Some("Tracebit alert, High: backups"));
    assert_eq!(message.text("sms"), "Tracebit alert, High: backups");

    let [chat] = bell.chats().try_into().unwrap();
    assert_eq!(chat["metadata"]["threadId"], "alert-1");
    assert_eq!(chat["content"]["title"], "Tracebit alert, High: backups");

    let record = bell.lake.record(ALERTS);
    assert_eq!(chat["id"], record["p_row_id"]);
    let [event] = bell.events().try_into().unwrap();
    assert_eq!((event.bus.as_str(), event.source.as_str()), ("default", "tracebit-lake"));
    assert_eq!((event.detail_type.as_str(), &event.detail), ("Tracebit.Alert", &record));

    let digest = HEXLOWER.encode(&Sha256::digest("alert-1"));
    let day = chrono::Utc::now().format("%Y-%m-%d");
    assert_eq!(bell.markers(), [format!("notified/day={day}/{}.json", &digest[..32])]);
}

#[tokio::test]
async fn an_encoded_key_and_a_prefix_are_understood() {
    let bell = Bell::with_env(&[("LAKE_PREFIX", "logs"), ("EVENT_BUS_NAME", "security")]).await;
    let key = format!("logs/{}", bell.deliver(&[alert()]).await[0]);
    bell.put(&key, &bell.lake.objects().into_values().next().unwrap());
    let encoded = key.replace('=', "%3D").replace('/', "%2F");
    assert_eq!(bell.left_of(&[created(BUCKET, &encoded)]).await, [""; 0]);
    assert_eq!((bell.emails().len(), bell.events().len()), (1, 1));
    assert_eq!(bell.events()[0].bus, "security");
    assert!(bell.lake.keys().iter().any(|key| key.starts_with("logs/notified/day=")));
}

#[tokio::test]
async fn the_severity_decides_and_an_unknown_one_always_rings() {
    let severities = json!(["Info", "low", "Medium", "HIGH", "Critical", "Urgent", null, 7, false]);
    let rung = async |threshold: &str| {
        let bell = Bell::with_env(&[("NOTIFY_SEVERITY", threshold)]).await;
        let mut logs: Vec<_> = severities
            .as_array()
            .unwrap()
            .iter()
            .map(|severity| {
                let mut log =
                    alert_of(&severity.to_string(), &format!("alert-{}", severity.to_string().replace('"', "")));
                log["severity"] = severity.clone();
                log
            })
            .collect();
        let mut missing = alert_of("missing", "alert-missing");
        missing.as_object_mut().unwrap().remove("severity");
        logs.push(missing);
        bell.hear(&logs).await;
        assert_eq!(bell.events().len(), 10, "every log is an event");
        let threads =
            bell.chats().into_iter().map(|chat| chat["metadata"]["threadId"].as_str().unwrap()[6..].to_owned());
        let mut threads: Vec<_> = threads.collect();
        assert_eq!(bell.emails().len(), threads.len());
        threads.sort_by_key(|thread| thread.to_ascii_lowercase());
        threads
    };
    let unknown = ["7", "false", "missing", "null", "Urgent"];
    let with = |known: &[&'static str]| {
        let mut all = [known, &unknown].concat();
        all.sort_by_key(|thread| thread.to_ascii_lowercase());
        all
    };
    assert_eq!(rung("").await, with(&["Medium", "HIGH", "Critical"]));
    assert_eq!(rung("info").await, with(&["Info", "low", "Medium", "HIGH", "Critical"]));
    assert_eq!(rung("Critical").await, with(&["Critical"]));
}

#[tokio::test]
async fn an_alert_that_fits_no_schema_rings_and_other_failures_do_not() {
    let bell = Bell::start().await;
    bell.hear(&[json!({"private": 1}), altered_alert("/canary/name", Some(json!(["backups"])))]).await;
    let email = bell.email();
    for text in [
        "fits no schema",
        "Does not fit: canary[.]name: expected string, found array",
        "Severity: unknown",
        "From: 192.0.2.1",
        "FROM classification_failures WHERE day = ",
    ] {
        assert!(email.contains(text), "{text} in {email}");
    }
    assert_eq!(bell.chats()[0]["metadata"]["threadId"], "alert-1");
    let events = bell.events();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.detail_type == "ClassificationFailure"), "{events:?}");
}

#[tokio::test]
async fn a_health_check_is_an_event_alone() {
    let bell = Bell::start().await;
    bell.hear(&[health_check("2026-11-22T09:00:00Z")]).await;
    assert_eq!(bell.events()[0].detail_type, "Tracebit.HealthCheck");
    assert!(bell.sns.published().is_empty() && bell.markers().is_empty());
}

#[tokio::test]
async fn an_alert_e_mails_once_a_day_and_all_its_logs_share_a_thread() {
    let mut bell = Bell::start().await;
    bell.hear(&[alert_of("log-1", "alert-1")]).await;
    bell.hear(&[alert_of("log-2", "alert-1"), alert_of("log-3", "alert-2")]).await;
    bell.restart().await;
    bell.hear(&[alert_of("log-4", "alert-1")]).await;
    assert_eq!(bell.emails().len(), 2, "one for each alert");
    let threads: Vec<_> = bell.chats().iter().map(|chat| chat["metadata"]["threadId"].clone()).collect();
    assert_eq!(threads.iter().filter(|thread| **thread == "alert-1").count(), 3, "{threads:?}");
    assert_eq!((threads.len(), bell.events().len(), bell.markers().len()), (4, 4, 2));

    // S3's events come at least once.
    let again: Vec<_> = bell.keys().iter().map(|key| created(BUCKET, key)).collect();
    assert_eq!(bell.left_of(&again).await, [""; 0]);
    assert_eq!(bell.emails().len(), 2);
}

/// docs/performance.md prices these calls.
#[tokio::test]
async fn an_alert_makes_five_calls_and_its_later_logs_three() {
    let bell = Bell::start().await;
    let calls = async |log: &str| {
        let key = bell.deliver(&[alert_of(log, "alert-1")]).await.remove(0);
        let so_far = || {
            let s3 = ["GET", "HEAD", "PUT"].map(|method| bell.lake.s3.requests_of(method));
            [s3[0], s3[1], s3[2], bell.sns.published().len(), bell.bus.calls()]
        };
        let before = so_far();
        assert_eq!(bell.left_of(&[created(BUCKET, &key)]).await, [""; 0]);
        let after = so_far();
        std::array::from_fn::<_, 5, _>(|call| after[call] - before[call])
    };
    assert_eq!(calls("log-1").await, [1, 1, 1, 1, 1]);
    assert_eq!(calls("log-2").await, [1, 0, 0, 1, 1], "the instance remembers that the alert has rung");
}

#[tokio::test]
async fn ten_thousand_logs_of_a_hundred_alerts_are_a_hundred_e_mails() {
    let bell = Bell::start().await;
    let logs: Vec<_> =
        (0..10_000).map(|log| alert_of(&format!("log-{log}"), &format!("alert-{}", log % 100))).collect();
    for logs in logs.chunks(1_000) {
        bell.hear(logs).await;
    }
    assert_eq!(bell.emails().len(), 100);
    let mut threads: BTreeMap<String, usize> = BTreeMap::new();
    for chat in bell.chats() {
        *threads.entry(chat["metadata"]["threadId"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(threads.len(), 100);
    assert!(threads.values().all(|logs| *logs == 100), "{threads:?}");
    assert_eq!((bell.events().len(), bell.markers().len()), (10_000, 100));
}

#[tokio::test]
async fn a_record_too_large_for_an_event_is_named_by_its_digest() {
    let bell = Bell::start().await;
    bell.hear(&[altered_alert("/message", Some(json!("x".repeat(300_000)))), alert_of("log-2", "alert-2")]).await;
    let events = bell.events();
    let large = events.iter().find(|event| event.detail.get("sha256").is_some()).unwrap();
    let lines = bell.lake.lines(ALERTS);
    let line = lines.iter().find(|line| line.len() > 300_000).unwrap();
    let record: Value = serde_json::from_str(line).unwrap();
    let key = bell.keys().into_iter().find(|key| key.contains(record["p_row_id"].as_str().unwrap())).unwrap();
    assert_eq!(
        large.detail,
        json!({
            "key": key,
            "sha256": HEXLOWER.encode(&Sha256::digest(line)),
            "p_row_id": record["p_row_id"],
            "log_type": "Tracebit.Alert",
            "size": line.len(),
        })
    );
    assert_eq!((events.len(), bell.emails().len()), (2, 2));
    assert!(bell.sns.published().iter().all(|message| message.message.len() < 16_000));
}

#[tokio::test]
async fn messages_that_are_not_about_the_lake_stay_and_are_named() {
    let bell = Bell::start().await;
    let key = bell.deliver(&[alert()]).await.remove(0);
    let good = created(BUCKET, &key);
    let deleted = key.replace("/day=2026-11-22", "/day=2026-11-21");
    let bodies = [
        "private".to_owned(),
        good.replace("Object Created", "Object Deleted"),
        created("private-bucket", &key),
        created(BUCKET, "notified/day=2026-11-22/0.json"),
        created(BUCKET, &deleted),
        good,
    ];
    assert_eq!(bell.left_of(&bodies).await, ["0", "1", "2", "3", "4"]);
    assert_eq!((bell.emails().len(), bell.events().len()), (1, 1), "the good message of the batch");
    let output = bell.notifier.settled_output().await;
    for text in [
        "notify queue message 0 rejected: its body is not an Object Created event of S3",
        "notify queue message 1 rejected: its body is not",
        "notify queue message 2 rejected, object",
        "its object is in another bucket than LAKE_BUCKET",
        "notify queue message 3 rejected, object",
        "its object is not under LAKE_PREFIX in a table of this lake",
        "notify queue message 4, object",
        "404 NoSuchKey",
        &deleted,
    ] {
        assert!(output.contains(text), "{text} in {output}");
    }
    assert!(!output.contains("private"), "{output}");
}

#[tokio::test]
async fn a_bad_line_is_named_and_does_not_silence_its_neighbours() {
    let bell = Bell::start().await;
    let key = bell.deliver(&[alert()]).await.remove(0);
    let good = bell.lake.lines(ALERTS).remove(0);
    for (name, bad) in [("a", &b"private"[..]), ("b", b"[\"private\"]"), ("c", b"\xffprivate"), ("d", b"")] {
        let key = key.replace(".json", &format!("{name}.json"));
        bell.put(&key, &[bad, b"\n", good.as_bytes(), b"\n"].concat());
        assert_eq!(bell.left_of(&[created(BUCKET, &key)]).await, ["0"], "{name}");
        let output = bell.notifier.output_with(&key).await;
        assert!(output.contains("line 1 of the object is not a JSON object"), "{output}");
        assert!(!output.contains("private"), "{output}");
    }
    assert_eq!((bell.emails().len(), bell.events().len()), (1, 4));
}

#[tokio::test]
async fn the_output_counts_and_shows_no_content() {
    let bell = Bell::start().await;
    bell.hear(&[alert()]).await;
    let output = bell.notifier.output_with("AlertsNotified").await;
    let found = metrics(&output);
    for (name, value) in [("AlertsNotified", 1), ("EventsPublished", 1), ("NotifyFailures", 0)] {
        assert_eq!(found[name].0, value, "{output}");
    }
    for text in ["alert-1", "alice", "192.0.2.1", "backups"] {
        assert!(!output.contains(text), "{text} in {output}");
    }
    assert_eq!(bell.left_of(&["{}".to_owned()]).await, ["0"]);
    assert!(bell.notifier.output_with("\"NotifyFailures\":1").await.contains("\"Outcome\":\"message rejected\""));
}

#[tokio::test]
async fn one_message_names_every_mistake_of_the_configuration() {
    let function = Function::start(
        NOTIFY,
        &[("ALERT_TOPIC_ARN", "private"), ("EVENT_BUS_NAME", "pri vate"), ("NOTIFY_SEVERITY", "private")],
    )
    .await;
    let output = function.ready().await.unwrap_err();
    let names = ["LAKE_BUCKET", "ALERT_TOPIC_ARN", "EVENT_BUS_NAME", "NOTIFY_SEVERITY"];
    assert!(output.lines().any(|line| names.iter().all(|name| line.contains(name))), "{output}");
    assert!(!output.contains("vate"), "{output}");
}
