//! People and machines are notified of what is in the lake.

mod faults;
mod intruder;
mod page;
mod poison;
mod quiet;
mod schema;
pub(crate) mod setup;
pub(crate) mod storm;
mod whole_way;
mod words;

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tracebit_lake_harness::{
    runtime_api::Function,
    sns::{OTHER_TOPIC_ARN, TOPIC_ARN},
    sqs,
};

use self::setup::{DEADLINE, Setup, created, notifier};
use crate::support::{ALERTS, BUCKET, NOTIFY, alert, altered_alert, health_check, metrics};

/// An alert with another id of the log and of the alert.
fn alert_of(log: &str, alert_id: &str) -> Value {
    let mut alert = altered_alert("/alert_id", Some(json!(alert_id)));
    alert["id"] = json!(log);
    alert
}

#[tokio::test]
async fn a_message_names_neither_athena_nor_sql_if_the_lake_has_no_database() {
    // A stack with Catalog None sets both variables to nothing.
    let setup = Setup::with_env(&[("ATHENA_DATABASE", ""), ("ATHENA_WORKGROUP", "")]).await;
    setup.publish(&[alert()]).await;

    let email = setup.email();
    assert!(email.contains("More\n") && email.contains("Client: aws-cli/2.0"), "{email}");
    for text in ["Athena", "athena", "SELECT", "workgroup"] {
        assert!(!email.contains(text), "{text} in {email}");
    }
}

#[tokio::test]
async fn an_alert_notifies_by_e_mail_chat_and_event() {
    let setup = Setup::start().await;
    let mut alert = alert();
    alert["tracebit_portal_url"] = json!("https://portal.tracebit.com/alerts/alert-1");
    setup.publish(&[alert]).await;

    let email = setup.email();
    for text in [
        "What: GetObject on backups (s3_bucket)",
        "Who: role session Admin/alice[@]example[.]com",
        "From: 192.0.2.1",
        "When: 2026-11-22 09:59:59 UTC, received 20",
        "2. If no: IAM > Roles > Admin > Revoke sessions.",
        "Client: aws-cli/2.0",
        "https://portal.tracebit.com/alerts/alert-1",
        "https://console.aws.amazon.com/athena/home?region=us-east-1#/query-editor",
        "SELECT * FROM \"lake\".\"tracebit_alert\" WHERE day >= '2026-11-22' AND alert_id = 'alert-1'",
    ] {
        assert!(email.contains(text), "{text} in {email}");
    }
    let [message] = setup.emails().try_into().unwrap();
    let subject = "Tracebit HIGH: GetObject on backups by alice[@]example[.]com from 192.0.2.1";
    assert_eq!(message.subject.as_deref(), Some(subject));
    assert_eq!(message.text("sms"), subject);

    let [chat] = setup.chats().try_into().unwrap();
    assert_eq!(chat["metadata"]["threadId"], "alert-1");
    assert_eq!(chat["content"]["title"], subject);

    let record = setup.lake.record(ALERTS);
    assert_eq!(chat["id"], record["p_row_id"]);
    let [event] = setup.events().try_into().unwrap();
    assert_eq!((event.bus.as_str(), event.source.as_str()), ("default", "tracebit-lake"));
    assert_eq!((event.detail_type.as_str(), &event.detail), ("Tracebit.Alert", &record));

    let topic = HEXLOWER.encode(&Sha256::digest(TOPIC_ARN));
    let day = chrono::Utc::now().format("%Y-%m-%d");
    let [marker] = setup.markers().try_into().unwrap();
    let name = marker.strip_prefix(&format!("notified/{}/day={day}/", &topic[..16])).unwrap();
    assert_eq!(
        (&name[32..], name[..32].bytes().all(|byte| byte.is_ascii_hexdigit())),
        ("-high.json", true),
        "{marker}"
    );
}

#[tokio::test]
async fn an_encoded_key_and_a_prefix_are_understood() {
    let setup = Setup::with_env(&[("LAKE_PREFIX", "logs"), ("EVENT_BUS_NAME", "security")]).await;
    let key = format!("logs/{}", setup.deliver(&[alert()]).await[0]);
    setup.put(&key, &setup.lake.objects().into_values().next().unwrap());
    let encoded = key.replace('=', "%3D").replace('/', "%2F");
    assert_eq!(setup.left_of(&[created(BUCKET, &encoded)]).await, [""; 0]);
    assert_eq!((setup.emails().len(), setup.events().len()), (1, 1));
    assert_eq!(setup.events()[0].bus, "security");
    assert!(setup.lake.keys().iter().any(|key| key.starts_with("logs/notified/")));
}

#[tokio::test]
async fn the_severity_decides_and_an_unknown_one_always_notifies() {
    let severities = json!(["Info", "low", "Medium", "HIGH", "Critical", "Urgent", null, 7, false]);
    let notified = async |threshold: &str| {
        let setup = Setup::with_env(&[("NOTIFY_SEVERITY", threshold)]).await;
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
        setup.publish(&logs).await;
        assert_eq!(setup.events().len(), 10, "every log is an event");
        let threads =
            setup.chats().into_iter().map(|chat| chat["metadata"]["threadId"].as_str().unwrap()[6..].to_owned());
        let mut threads: Vec<_> = threads.collect();
        assert_eq!(setup.emails().len(), threads.len());
        threads.sort_by_key(|thread| thread.to_ascii_lowercase());
        threads
    };
    let unknown = ["7", "false", "missing", "null", "Urgent"];
    let with = |known: &[&'static str]| {
        let mut all = [known, &unknown].concat();
        all.sort_by_key(|thread| thread.to_ascii_lowercase());
        all
    };
    assert_eq!(notified("").await, with(&["Medium", "HIGH", "Critical"]));
    assert_eq!(notified("info").await, with(&["Info", "low", "Medium", "HIGH", "Critical"]));
    assert_eq!(notified("Critical").await, with(&["Critical"]));
}

#[tokio::test]
async fn an_alert_that_fits_no_schema_notifies_as_an_alert() {
    let setup = Setup::start().await;
    setup.publish(&[altered_alert("/canary/name", Some(json!(["backups"])))]).await;
    let email = setup.email();
    for text in [
        "Problem: canary[.]name: expected string, found array",
        "Severity as sent: High",
        "From: 192.0.2.1",
        "FROM \"lake\".\"classification_failures\" WHERE day = ",
    ] {
        assert!(email.contains(text), "{text} in {email}");
    }
    assert_eq!(setup.chats()[0]["metadata"]["threadId"], "alert-1");
    assert_eq!(setup.events()[0].detail_type, "ClassificationFailure");

    // The same alert in a format that the lake knows has a marker of its own.
    setup.publish(&[alert()]).await;
    assert_eq!((setup.emails().len(), setup.markers().len()), (2, 2));
}

#[tokio::test]
async fn what_nobody_can_read_notifies_once_a_day_for_each_log_type() {
    let mut setup = Setup::start().await;
    let health_check = |n: usize| json!({"discriminator": {"type": "health_check"}, "n": n});
    setup.publish(&[json!({"private": 1}), json!({"new": "log type"}), health_check(1)]).await;
    setup.restart().await;
    setup.publish(&[json!({"private": 2}), health_check(2)]).await;
    let subjects: Vec<_> = setup.emails().into_iter().map(|email| email.subject.unwrap()).collect();
    assert_eq!(subjects, ["Tracebit sent something that this lake cannot read"; 2]);
    assert_eq!(
        (setup.sns.published().len(), setup.events().len()),
        (2, 5),
        "nothing more for people, all for machines"
    );
    for published in setup.sns.published() {
        assert!(
            published.text("email").contains("FROM \"lake\".\"classification_failures\" WHERE day = "),
            "{published:?}"
        );
        assert_eq!(published.text("sms"), subjects[0]);
    }
}

#[tokio::test]
async fn an_alert_that_gets_worse_notifies_again() {
    let mut setup = Setup::start().await;
    let with_severity = |log: &str, severity: Value| {
        let mut log = alert_of(log, "alert-1");
        log["severity"] = severity;
        log
    };
    setup.publish(&[with_severity("log-1", json!(null))]).await;
    setup.publish(&[with_severity("log-2", json!("Medium"))]).await;
    setup.restart().await;
    setup.publish(&[with_severity("log-3", json!("Medium")), with_severity("log-4", json!("high"))]).await;
    setup.publish(&[with_severity("log-5", json!("Medium")), with_severity("log-6", json!("High"))]).await;
    let subjects: Vec<_> = setup.emails().into_iter().map(|email| email.subject.unwrap()).collect();
    let expected = ["Tracebit alert, severity unknown: ", "Tracebit now MEDIUM: ", "Tracebit now HIGH: "];
    assert!(subjects.iter().zip(expected).all(|(subject, start)| subject.starts_with(start)), "{subjects:?}");
    assert_eq!(subjects.len(), expected.len(), "{subjects:?}");
    assert_eq!(setup.chats().len(), 6);
}

#[tokio::test]
async fn of_many_logs_at_once_the_most_severe_comes_first() {
    let setup = Setup::start().await;
    let mut logs: Vec<_> = (0..600).map(|log| alert_of(&format!("log-{log}"), "alert-1")).collect();
    for (n, log) in logs.iter_mut().enumerate() {
        log["severity"] = json!(if n == 300 { "Critical" } else { "Medium" });
    }
    setup.publish(&logs).await;
    let [email] = setup.emails().try_into().unwrap();
    assert!(email.subject.as_deref().unwrap().starts_with("Tracebit CRITICAL: "), "{email:?}");
}

#[tokio::test]
async fn two_stacks_on_one_bucket_both_notify() {
    let first = Setup::start().await;
    let key = first.deliver(&[alert()]).await.remove(0);
    let body = created(BUCKET, &key);
    assert_eq!(first.left_of(std::slice::from_ref(&body)).await, [""; 0]);
    let env = [("ALERT_TOPIC_ARN", OTHER_TOPIC_ARN)];
    let second = notifier(&first.lake.s3, &first.sns, &first.bus, &env).await;
    second.invoke_within(&sqs::event(&[body]), DEADLINE).await;
    assert_eq!(first.emails().len(), 2, "one for each topic");
}

#[tokio::test]
async fn only_new_objects_notify() {
    let setup = Setup::start().await;
    let key = setup.deliver(&[alert()]).await.remove(0);
    let put = created(BUCKET, &key);
    for reason in ["CopyObject", "RestoreObject"] {
        assert_eq!(setup.left_of(&[put.replace("PutObject", reason)]).await, [""; 0]);
    }
    assert!(setup.sns.published().is_empty() && setup.events().is_empty() && setup.markers().is_empty());
    assert_eq!(setup.left_of(&[put.replace("PutObject", "CompleteMultipartUpload")]).await, [""; 0]);
    assert_eq!((setup.emails().len(), setup.events().len()), (1, 1));
}

#[tokio::test]
async fn imported_history_notifies_nobody() {
    let setup = Setup::start().await;
    let key = setup.deliver(&[alert()]).await.remove(0);
    let record = setup.lake.objects().remove(&key).unwrap();
    let imported = key.replace(".json", "-imported.json");
    setup.put_quiet(&imported, record).await;
    assert_eq!(setup.left_of(&[created(BUCKET, &imported)]).await, [""; 0]);
    assert!(setup.sns.published().is_empty() && setup.events().is_empty() && setup.markers().is_empty());
}

#[tokio::test]
async fn a_health_check_is_an_event_alone() {
    let setup = Setup::start().await;
    setup.publish(&[health_check("2026-11-22T09:00:00Z")]).await;
    assert_eq!(setup.events()[0].detail_type, "Tracebit.HealthCheck");
    assert!(setup.sns.published().is_empty() && setup.markers().is_empty());
}

#[tokio::test]
async fn an_alert_e_mails_once_a_day_and_all_its_logs_share_a_thread() {
    let mut setup = Setup::start().await;
    setup.publish(&[alert_of("log-1", "alert-1")]).await;
    setup.publish(&[alert_of("log-2", "alert-1"), alert_of("log-3", "alert-2")]).await;
    setup.restart().await;
    setup.publish(&[alert_of("log-4", "alert-1")]).await;
    assert_eq!(setup.emails().len(), 2, "one for each alert");
    let threads: Vec<_> = setup.chats().iter().map(|chat| chat["metadata"]["threadId"].clone()).collect();
    assert_eq!(threads.iter().filter(|thread| **thread == "alert-1").count(), 3, "{threads:?}");
    assert_eq!((threads.len(), setup.events().len(), setup.markers().len()), (4, 4, 2));

    // S3's events come at least once.
    let again: Vec<_> = setup.keys().iter().map(|key| created(BUCKET, key)).collect();
    assert_eq!(setup.left_of(&again).await, [""; 0]);
    assert_eq!(setup.emails().len(), 2);
}

/// docs/performance.md prices these calls.
#[tokio::test]
async fn an_alert_makes_five_calls_and_its_later_logs_three() {
    let setup = Setup::start().await;
    let calls = async |log: &str| {
        let key = setup.deliver(&[alert_of(log, "alert-1")]).await.remove(0);
        let so_far = || {
            let s3 = ["GET", "HEAD", "PUT"].map(|method| setup.lake.s3.requests_of(method));
            [s3[0], s3[1], s3[2], setup.sns.published().len(), setup.bus.calls()]
        };
        let before = so_far();
        assert_eq!(setup.left_of(&[created(BUCKET, &key)]).await, [""; 0]);
        let after = so_far();
        std::array::from_fn::<_, 5, _>(|call| after[call] - before[call])
    };
    // The object, and the list of the alert's markers.
    assert_eq!(calls("log-1").await, [2, 0, 1, 1, 1]);
    assert_eq!(calls("log-2").await, [1, 0, 0, 1, 1], "the instance remembers that the alert has been published");
}

#[tokio::test]
async fn ten_thousand_logs_of_a_hundred_alerts_are_a_hundred_e_mails() {
    let setup = Setup::start().await;
    let logs: Vec<_> =
        (0..10_000).map(|log| alert_of(&format!("log-{log}"), &format!("alert-{}", log % 100))).collect();
    for logs in logs.chunks(1_000) {
        setup.publish(logs).await;
    }
    assert_eq!(setup.emails().len(), 100);
    let mut threads: BTreeMap<String, usize> = BTreeMap::new();
    for chat in setup.chats() {
        *threads.entry(chat["metadata"]["threadId"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(threads.len(), 100);
    // The first message, ten later ones, and one that says how many more there are.
    assert!(threads.values().all(|messages| *messages == 12), "{threads:?}");
    assert_eq!((setup.events().len(), setup.markers().len()), (10_000, 100));
}

#[tokio::test]
async fn a_record_too_large_for_an_event_is_named_by_its_digest() {
    let setup = Setup::start().await;
    setup.publish(&[altered_alert("/message", Some(json!("x".repeat(300_000)))), alert_of("log-2", "alert-2")]).await;
    let events = setup.events();
    let large = events.iter().find(|event| event.detail.get("sha256").is_some()).unwrap();
    let lines = setup.lake.lines(ALERTS);
    let line = lines.iter().find(|line| line.len() > 300_000).unwrap();
    let record: Value = serde_json::from_str(line).unwrap();
    let key = setup.keys().into_iter().find(|key| key.contains(record["p_row_id"].as_str().unwrap())).unwrap();
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
    assert_eq!((events.len(), setup.emails().len()), (2, 2));
    assert!(setup.sns.published().iter().all(|message| message.message.len() < 16_000));
}

#[tokio::test]
async fn messages_that_are_not_about_the_lake_stay_and_are_named() {
    let setup = Setup::start().await;
    let key = setup.deliver(&[alert()]).await.remove(0);
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
    assert_eq!(setup.left_of(&bodies).await, ["0", "1", "2", "3", "4"]);
    assert_eq!((setup.emails().len(), setup.events().len()), (1, 1), "the good message of the batch");
    let output = setup.notifier.settled_output().await;
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
    let setup = Setup::start().await;
    let key = setup.deliver(&[alert()]).await.remove(0);
    let good = setup.lake.lines(ALERTS).remove(0);
    for (name, bad) in [("a", &b"private"[..]), ("b", b"[\"private\"]"), ("c", b"\xffprivate"), ("d", b"")] {
        let key = key.replace(".json", &format!("{name}.json"));
        setup.put(&key, &[bad, b"\n", good.as_bytes(), b"\n"].concat());
        assert_eq!(setup.left_of(&[created(BUCKET, &key)]).await, ["0"], "{name}");
        let output = setup.notifier.output_with(&key).await;
        assert!(output.contains("line 1 of the object is not a JSON object"), "{output}");
        assert!(!output.contains("private"), "{output}");
    }
    assert_eq!((setup.emails().len(), setup.events().len()), (1, 1), "the four objects hold the same record");
}

#[tokio::test]
async fn the_output_counts_and_shows_no_content() {
    let setup = Setup::start().await;
    setup.publish(&[alert()]).await;
    let output = setup.notifier.output_with("AlertsNotified").await;
    let found = metrics(&output);
    for (name, value) in [("AlertsNotified", 1), ("EventsPublished", 1), ("NotifyFailures", 0)] {
        assert_eq!(found[name].0, value, "{output}");
    }
    for text in ["alert-1", "alice", "192.0.2.1", "backups"] {
        assert!(!output.contains(text), "{text} in {output}");
    }
    assert_eq!(setup.left_of(&["{}".to_owned()]).await, ["0"]);
    assert!(setup.notifier.output_with("\"NotifyFailures\":1").await.contains("\"Outcome\":\"message rejected\""));
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
