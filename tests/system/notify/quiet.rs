//! What the operator knows to be harmless is kept and published as everything else, and wakes nobody.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    alert_of,
    setup::{Setup, created},
};
use crate::support::{ALERTS, BUCKET, altered_alert, values};

const FILE: &str = "config/quiet.json";

/// A rule for the address of `alert()`.
fn rule() -> Value {
    let expires = (Utc::now() + TimeDelta::days(30)).format("%Y-%m-%d").to_string();
    json!({"reason": "Our *own* <scanner>", "expires": expires, "cidr": "192.0.2.0/24"})
}

async fn setup(rules: &Value) -> Setup {
    let setup = Setup::with_env(&[("QUIET_RULES", "Yes")]).await;
    setup.put(FILE, rules.to_string().as_bytes());
    setup
}

#[tokio::test]
async fn a_known_scanner_is_a_line_in_chat_and_an_event_with_the_reason() {
    let setup = setup(&json!({"rules": [rule()]})).await;
    setup.publish(&[alert_of("log-1", "alert-1")]).await;
    assert!(setup.emails().is_empty(), "no e-mail, no SMS");
    let [chat] = setup.chats().try_into().unwrap();
    let description = chat["content"]["description"].as_str().unwrap();
    assert!(description.starts_with("Quiet by a rule of yours: Our"), "{description}");
    assert!(!description.contains("<scanner>") && !description.contains("*own*"), "{description}");
    let record = setup.lake.record(ALERTS);
    let mut expected = record.clone();
    expected["p_quiet_reason"] = json!("Our *own* <scanner>");
    assert_eq!(setup.events()[0].detail, expected);
    assert!(record.get("p_quiet_reason").is_none(), "the record is what was sent");
    let output = setup.notifier.settled_output().await;
    assert_eq!(values(&output, ["AlertsQuieted", "AlertsNotified", "VoidQuietRules"]), [1, 0, 0]);
}

#[tokio::test]
async fn a_quiet_log_does_not_use_up_the_days_e_mail() {
    let setup = setup(&json!({"rules": [rule()]})).await;
    setup.publish(&[alert_of("log-1", "alert-1")]).await;
    let mut elsewhere = alert_of("log-2", "alert-1");
    elsewhere["event"]["request"]["ip"] = json!("198.51.100.7");
    setup.publish(&[elsewhere, alert_of("log-3", "alert-1")]).await;
    assert_eq!((setup.emails().len(), setup.chats().len()), (1, 3));
    assert!(setup.email().contains("From: 198.51.100.7"));
}

#[tokio::test]
async fn a_used_credential_and_what_fits_no_schema_are_never_quiet() {
    let setup = setup(&json!({"rules": [rule()]})).await;
    let credential = altered_alert("/canary_credential", Some(json!({"name": "shop"})));
    let mut odd = altered_alert("/canary/name", Some(json!(["backups"])));
    odd["alert_id"] = json!("alert-2");
    setup.publish(&[credential, odd]).await;
    assert_eq!(setup.emails().len(), 2);
    assert!(setup.events().iter().all(|event| event.detail.get("p_quiet_reason").is_none()));
}

#[tokio::test]
async fn a_file_with_a_mistake_or_without_an_answer_makes_nobody_quiet() {
    let far = (Utc::now() + TimeDelta::days(92)).format("%Y-%m-%d").to_string();
    let mut forever = rule();
    forever["expires"] = json!(far);
    for (rules, problem) in [
        (Some(json!({"rules": [rule(), forever]})), "rule 2: expires: expected a day at most 90 days ahead"),
        (Some(json!({"rules": [rule()], "more": 1})), "it is not JSON of the form"),
        (None, "GetObject failed: 404"),
    ] {
        let setup = Setup::with_env(&[("QUIET_RULES", "Yes")]).await;
        if let Some(rules) = rules {
            setup.put(FILE, rules.to_string().as_bytes());
        }
        setup.publish(&[alert_of("log-1", "alert-1")]).await;
        assert_eq!(setup.emails().len(), 1, "{problem}");
        let output = setup.notifier.settled_output().await;
        let line = output.lines().find(|line| line.contains("the quiet rules cannot be used")).unwrap();
        assert!(line.contains(problem) && line.contains(FILE) && line.contains("ERROR"), "{problem} in {line}");
        assert_eq!(values(&output, ["VoidQuietRules", "AlertsQuieted"]), [1, 0]);
    }
    let setup = setup(&json!({"rules": [rule()]})).await;
    let keys = setup.deliver(&[alert_of("log-1", "alert-1")]).await;
    setup.lake.s3.withhold(FILE);
    assert_eq!(setup.left_of(&[created(BUCKET, &keys[0])]).await, [""; 0]);
    assert_eq!(setup.emails().len(), 1, "a file that hangs delays nobody for long");
}

#[tokio::test]
async fn without_the_setting_no_file_is_read() {
    let setup = Setup::start().await;
    setup.put(FILE, json!({"rules": [rule()]}).to_string().as_bytes());
    setup.publish(&[alert_of("log-1", "alert-1")]).await;
    assert_eq!(setup.emails().len(), 1);
    assert!(!setup.notifier.settled_output().await.contains("VoidQuietRules"));
}

#[tokio::test]
async fn a_flood_of_a_known_scanner_is_a_few_lines() {
    let setup = setup(&json!({"rules": [rule()]})).await;
    let logs: Vec<_> = (0..600).map(|log| alert_of(&format!("log-{log}"), "alert-1")).collect();
    setup.publish(&logs).await;
    assert_eq!((setup.emails().len(), setup.chats().len(), setup.events().len()), (0, 11, 600));
    let quiet = setup.markers().into_iter().filter(|key| key.ends_with("-quiet.json")).count();
    assert_eq!(quiet, 600, "the watcher must not ask for them");
}
