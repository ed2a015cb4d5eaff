//! The watcher: whatever is missing in the chain from Tracebit's list to a person is found, mended and said.

mod chain;
mod faults;
mod storm;

use chrono::TimeDelta;
use serde_json::json;
use tracebit_lake_harness::{Fault, runtime_api::Function, sqs, tracebit_api::TOKEN};

use self::chain::{Chain, api_log, delivered_log, listed};
use crate::{
    notify::setup::{created, notifier},
    support::{ALERTS, BUCKET, FAILURES, WATCH, alert, metrics},
};

const HOURS: TimeDelta = TimeDelta::hours(2);
const MINUTES: TimeDelta = TimeDelta::minutes(20);

#[tokio::test]
async fn a_whole_chain_has_nothing_to_say() {
    let chain = Chain::start().await;
    chain.setup.publish(&[delivered_log("log-1", "alert-1", HOURS)]).await;
    chain.setup.keys().iter().for_each(|key| chain.age(key, MINUTES));
    chain.api.add(listed("alert-1", HOURS), vec![api_log("log-1", "alert-1", HOURS)]);
    let answer = chain.round().await;
    assert_eq!(
        answer,
        json!({
            "listed": 1, "missing": 0, "stored": 0, "unpublished": 0, "alert_subscribers": 1, "alarm_subscribers": 1,
            "problems": [],
        })
    );
    assert_eq!(chain.api.requests().len(), 1, "only missing alerts are fetched");
    assert!(chain.queue.messages().is_empty());
    let output = chain.watcher.settled_output().await;
    let metrics = metrics(&output);
    for (name, value) in [
        ("AlertsListed", 1),
        ("AlertsMissing", 0),
        ("LogsRecovered", 0),
        ("AlertsUnpublished", 0),
        ("AlertSubscribers", 1),
        ("AlarmSubscribers", 1),
        ("WatchProblems", 0),
    ] {
        assert_eq!(metrics[name].0, value, "{name}");
    }
}

#[tokio::test]
async fn a_missing_alert_is_fetched_stored_and_published() {
    let chain = Chain::with_env(&[("SOURCE_ID", "source-1")]).await;
    chain.api.set_page(2);
    let logs = (1..=5).map(|n| api_log(&format!("log-{n}"), "alert-1", HOURS)).collect();
    chain.api.add(listed("alert-1", HOURS), logs);
    assert_eq!(chain.good_round().await, [1, 1, 5, 0]);

    let records = chain.setup.lake.records(ALERTS);
    assert_eq!(records.len(), 5);
    for record in &records {
        assert_eq!(record["p_source_label"], "tracebit-api");
        assert_eq!(record["p_source_id"], "source-1");
        assert_eq!(
            record["discriminator"],
            json!({"type": "tracebit_alert_log", "subtype": "canary_resource_accessed"})
        );
        assert_eq!((&record["provider"], &record["message"]), (&json!("aws"), &json!("Canary of alert-1 was touched")));
        assert_eq!(record["tracebit_portal_url"], "https://acme.tracebit.com/alerts/alert-1");
        assert_eq!(record["a_new_member"], json!({"nested": [1, null]}));
    }
    let output = chain.watcher.output();
    assert!(output.contains("was not in the lake") && output.contains("Tracebit's delivery failed"), "{output}");

    // S3's event reaches the notifier; the watcher itself sends nothing of an object that is new.
    assert!(chain.queue.messages().is_empty());
    assert_eq!(chain.good_round().await, [1, 0, 0, 0]);
    assert!(chain.api.requests().iter().all(|asked| asked.authorization == format!("Bearer {TOKEN}")));
    assert!(!chain.watcher.output().contains(TOKEN));
}

#[tokio::test]
async fn a_planted_credential_of_the_api_is_one_in_the_lake() {
    let chain = Chain::start().await;
    let mut log = api_log("log-1", "alert-1", HOURS);
    log["canary_credential"] = json!({"name": "shop", "type": "aws"});
    log["canary"] = json!(null);
    chain.api.add(listed("alert-1", HOURS), vec![log]);
    assert_eq!(chain.good_round().await, [1, 1, 1, 0]);
    assert_eq!(chain.setup.lake.record(ALERTS)["discriminator"]["subtype"], "canary_credential_used");
}

#[tokio::test]
async fn a_young_alert_is_not_missed_and_an_old_one_is_not_compared() {
    let chain = Chain::with_env(&[("WATCH_DAYS", "2"), ("WATCH_GRACE_MINUTES", "30")]).await;
    for (id, age) in
        [("young", TimeDelta::minutes(25)), ("old", TimeDelta::hours(49)), ("missed", TimeDelta::minutes(35))]
    {
        chain.api.add(listed(id, age), vec![api_log(id, id, age)]);
    }
    assert_eq!(chain.good_round().await, [2, 1, 1, 0]);
    assert_eq!(chain.setup.lake.record(ALERTS)["alert_id"], "missed");
}

#[tokio::test]
async fn any_record_of_an_alert_means_that_it_is_not_missing() {
    let mut chain = Chain::start().await;
    // Its first log was lost, its only one fits no schema, and its log came hours later than its start.
    let mut odd = delivered_log("log-2", "alert-2", HOURS);
    odd["canary"]["name"] = json!(["backups"]);
    let late = delivered_log("log-3", "alert-3", TimeDelta::minutes(3));
    chain.setup.publish(&[delivered_log("log-1b", "alert-1", TimeDelta::minutes(90)), odd, late]).await;
    for alert in ["alert-1", "alert-2", "alert-3"] {
        chain.api.add(listed(alert, HOURS), vec![api_log("log", alert, HOURS)]);
    }
    assert_eq!(chain.good_round().await, [3, 0, 0, 0]);
    chain.restart().await;
    assert_eq!(chain.good_round().await, [3, 0, 0, 0], "a new instance reads the same");
}

#[tokio::test]
async fn an_object_that_nobody_was_notified_of_is_published_in_the_end() {
    let chain = Chain::start().await;
    let mut unreadable = delivered_log("log-2", "alert-2", HOURS);
    unreadable["discriminator"] = json!({"type": "a_new_type"});
    let mut harmless = delivered_log("log-3", "alert-3", HOURS);
    harmless["severity"] = json!("Info");
    chain.deliver_unheard(&[alert(), unreadable, harmless], MINUTES).await;
    assert_eq!(chain.setup.lake.records(FAILURES).len(), 1);
    assert_eq!(chain.good_round().await, [0, 0, 0, 2]);
    assert_eq!(chain.queue.messages().len(), 2);
    let output = chain.watcher.output();
    assert_eq!(output.matches("nobody was notified of object").count(), 2, "{output}");

    chain.notify().await;
    assert_eq!(chain.setup.emails().len(), 2);
    assert_eq!(chain.good_round().await, [0, 0, 0, 0]);
    assert!(chain.queue.messages().is_empty());
}

#[tokio::test]
async fn an_object_too_large_to_be_read_is_published_in_the_end() {
    let chain = Chain::start().await;
    let day = (chrono::Utc::now() - MINUTES).format("day=%Y-%m-%d/hour=%H/%Y%m%dT%H%M%SZ");
    let key = format!("{ALERTS}/{day}-large.json");
    let record = format!(r#"{{"alert_id":"large","message":"{}"}}"#, "x".repeat(21 * 1024 * 1024));
    chain.setup.put(&key, record.as_bytes());
    chain.age(&key, MINUTES);
    assert_eq!(chain.good_round().await, [0, 0, 0, 1]);
    chain.notify().await;
    assert_eq!(chain.setup.emails().len(), 1);
    assert_eq!(chain.good_round().await, [0, 0, 0, 0], "the watcher knows the notifier's marker");
}

#[tokio::test]
async fn objects_that_are_too_young_or_too_old_are_left_alone() {
    let chain = Chain::start().await;
    for (n, age) in [TimeDelta::minutes(9), TimeDelta::hours(49)].into_iter().enumerate() {
        chain.deliver_unheard(&[delivered_log(&format!("log-{n}"), &format!("alert-{n}"), HOURS)], age).await;
    }
    assert_eq!(chain.good_round().await, [0, 0, 0, 0]);
    assert!(chain.queue.messages().is_empty());
}

#[tokio::test]
async fn a_log_that_comes_long_after_its_event_counts_too() {
    let chain = Chain::start().await;
    // More old days than one round looks at.
    for days in 20..50 {
        let id = format!("old-{days}");
        let keys = chain.setup.deliver(&[delivered_log(&id, &id, TimeDelta::days(days))]).await;
        chain.age(&keys[0], TimeDelta::days(days));
    }
    chain.deliver_unheard(&[delivered_log("late", "alert-1", TimeDelta::days(30))], MINUTES).await;
    chain.api.add(listed("alert-1", HOURS), vec![]);
    let mut unpublished = 0;
    for _ in 0..3 {
        let answer = chain.round().await;
        unpublished = answer["unpublished"].as_u64().unwrap();
    }
    let mut messages = chain.queue.messages();
    messages.dedup();
    assert_eq!((unpublished, messages.len()), (1, 1), "{}", chain.watcher.output());
    assert_eq!(chain.good_round().await, [1, 0, 0, 1], "the late log is one of the alert's");
}

#[tokio::test]
async fn a_worse_log_needs_a_message_of_its_own() {
    let chain = Chain::start().await;
    let with_severity = |log: &str, severity: &str| {
        let mut log = delivered_log(log, "alert-1", HOURS);
        log["severity"] = json!(severity);
        log
    };
    chain.setup.publish(&[with_severity("log-1", "Medium")]).await;
    let worse = chain.deliver_unheard(&[with_severity("log-2", "High")], MINUTES).await;
    chain.deliver_unheard(&[with_severity("log-3", "Medium")], MINUTES).await;
    assert_eq!(chain.good_round().await, [0, 0, 0, 1]);
    let [message] = chain.queue.messages().try_into().unwrap();
    assert!(message.contains(&worse[0]), "{message}");
    chain.notify().await;
    assert_eq!(chain.setup.emails().len(), 2);
}

#[tokio::test]
async fn a_marker_that_is_never_written_costs_ever_fewer_messages() {
    let chain = Chain::start().await;
    chain.deliver_unheard(&[alert()], MINUTES).await;
    let mut sent = Vec::new();
    for round in 1..=9 {
        assert_eq!(chain.good_round().await, [0, 0, 0, 1], "it stays counted");
        if !chain.queue.take_messages().is_empty() {
            sent.push(round);
        }
    }
    assert_eq!(sent, [1, 2, 4, 8]);
    let output = chain.watcher.output();
    assert!(output.contains("for 8 rounds") && output.contains("whether it may write its markers"), "{output}");
}

#[tokio::test]
async fn at_most_a_hundred_events_are_sent_in_a_round() {
    let chain = Chain::start().await;
    let logs: Vec<_> = (0..130).map(|n| delivered_log(&format!("log-{n}"), &format!("alert-{n}"), HOURS)).collect();
    chain.deliver_unheard(&logs, MINUTES).await;
    assert_eq!(chain.good_round().await, [0, 0, 0, 130]);
    assert_eq!(chain.queue.messages().len(), 100);
    chain.good_round().await;
    let different: std::collections::BTreeSet<_> = chain.queue.messages().into_iter().collect();
    assert_eq!(different.len(), 130, "those that had to wait come next");
}

#[tokio::test]
async fn nobody_listens() {
    let chain = Chain::start().await;
    chain.setup.sns.set_subscribers(0);
    let answer = chain.round().await;
    assert_eq!((&answer["alert_subscribers"], &answer["alarm_subscribers"]), (&json!(0), &json!(0)), "{answer}");
}

#[tokio::test]
async fn without_an_api_and_a_topic_for_alarms_there_is_no_problem() {
    let none = [("TRACEBIT_API_URL", ""), ("TRACEBIT_API_TOKEN", ""), ("ALARM_TOPIC_ARN", "")];
    let chain = Chain::with_env(&none).await;
    let answer = chain.round().await;
    let null = json!(null);
    for name in ["listed", "missing", "stored", "alarm_subscribers"] {
        assert_eq!(answer[name], null, "{answer}");
    }
    assert_eq!((&answer["unpublished"], &answer["problems"]), (&json!(0), &json!([])), "{answer}");
    let output = chain.watcher.settled_output().await;
    assert!(!output.contains("AlertsListed") && !output.contains("AlarmSubscribers"), "{output}");
    assert!(chain.api.requests().is_empty());
}

#[tokio::test]
async fn a_prefix_moves_everything() {
    let chain = Chain::with_env(&[("LAKE_PREFIX", "security/tracebit")]).await;
    chain.api.add(listed("alert-1", HOURS), vec![api_log("log-1", "alert-1", HOURS)]);
    chain.deliver_unheard(&[alert()], MINUTES).await;
    assert_eq!(chain.good_round().await, [1, 1, 1, 0], "what is elsewhere does not count");
    let keys = chain.setup.keys();
    let [key] = keys.iter().filter(|key| key.starts_with("security/tracebit/")).collect::<Vec<_>>().try_into().unwrap();
    chain.age(key, MINUTES);
    assert_eq!(chain.good_round().await, [1, 0, 0, 1]);
    assert!(chain.queue.messages()[0].contains(key));
}

#[tokio::test]
async fn a_wrong_configuration_is_named_at_init() {
    let watcher = Function::start(
        WATCH,
        &[("LAKE_BUCKET", "lake"), ("TRACEBIT_API_URL", "http://acme.tracebit.com"), ("TRACEBIT_API_TOKEN", "secret")],
    )
    .await;
    let output = watcher.ready().await.unwrap_err();
    for name in ["ALERT_TOPIC_ARN: not set", "NOTIFY_QUEUE_URL: not set", "TRACEBIT_API_URL: expected"] {
        assert!(output.contains(name), "{name} in {output}");
    }
    assert!(!output.contains("acme") && !output.contains("\"secret\""), "{output}");
}

#[tokio::test]
async fn a_marker_that_could_not_be_written_is_written_in_the_end() {
    let chain = Chain::start().await;
    let keys = chain.setup.deliver(&[alert()]).await;
    chain.setup.lake.s3.fail_next(1, Fault::Status { status: 403, code: "AccessDenied" });
    assert_eq!(chain.setup.left_of(&[created(BUCKET, &keys[0])]).await, [""; 0]);
    assert_eq!((chain.setup.emails().len(), chain.setup.markers().len()), (1, 0));
    chain.age(&keys[0], MINUTES);
    assert_eq!(chain.good_round().await, [0, 0, 0, 1]);
    chain.notify().await;
    assert_eq!((chain.setup.emails().len(), chain.setup.markers().len()), (1, 1), "and nobody is notified twice");
    assert_eq!(chain.good_round().await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn what_a_rule_kept_quiet_is_not_unpublished() {
    let chain = Chain::start().await;
    let expires = (chrono::Utc::now() + TimeDelta::days(9)).format("%Y-%m-%d").to_string();
    let rules = json!({"rules": [{"reason": "Our scanner", "expires": expires, "cidr": "192.0.2.0/24"}]});
    chain.setup.put("config/quiet.json", rules.to_string().as_bytes());
    let setup = &chain.setup;
    let notifier = notifier(&setup.lake.s3, &setup.sns, &setup.bus, &[("QUIET_RULES", "Yes")]).await;
    let keys = chain.deliver_unheard(&[alert()], MINUTES).await;
    // The first attempt to say so fails, and the watcher asks once.
    chain.setup.lake.s3.fail_next(1, Fault::Status { status: 403, code: "AccessDenied" });
    notifier.invoke(&sqs::event(&[created(BUCKET, &keys[0])])).await;
    assert_eq!(chain.good_round().await, [0, 0, 0, 1]);
    notifier.invoke(&sqs::event(&chain.queue.take_messages())).await;
    assert_eq!(chain.good_round().await, [0, 0, 0, 0]);
    assert_eq!((chain.setup.emails().len(), chain.setup.chats().len()), (0, 1));
}

/// As docs/parameters.md says how to copy the records of another lake.
#[tokio::test]
async fn records_that_were_copied_as_quiet_are_not_unpublished() {
    let chain = Chain::start().await;
    let keys = chain.deliver_unheard(&[alert()], MINUTES).await;
    let record = chain.setup.lake.objects().remove(&keys[0]).unwrap();
    let copied = keys[0].replace(".json", "-copied.json");
    chain.setup.put_quiet(&copied, record).await;
    chain.age(&copied, MINUTES);
    assert_eq!(chain.good_round().await, [0, 0, 0, 1]);
    let messages = chain.queue.messages();
    assert!(messages.len() == 1 && !messages[0].contains("-copied"), "{messages:?}");
}
