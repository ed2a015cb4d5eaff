//! Schemas: which logs fit one, and what a violation says.

use serde_json::{Value, json};

use crate::support::{ALERTS, FAILURES, TestLake, alert, alert_at, altered_alert, counts, health_check};

/// The classification failure that `log` becomes.
async fn failure_of(lake: &TestLake, log: &str) -> Value {
    let known = lake.records(FAILURES);
    assert_eq!(counts(&lake.deliver(log).await), [0, 0, 1], "{log}");
    let new: Vec<_> = lake.records(FAILURES).into_iter().filter(|record| !known.contains(record)).collect();
    let [record] = new.try_into().unwrap_or_else(|new| panic!("expected one new failure: {new:?}"));
    assert_eq!(record["payload"], log, "the text as sent");
    record
}

#[tokio::test]
async fn an_invalid_event_time_is_a_violation() {
    let lake = TestLake::start().await;
    for timestamp in [
        "",
        "now",
        "2026-11-22",
        "2026-11-22T09:59:59",
        "2026-13-22T09:59:59Z",
        "2026-02-29T09:59:59Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T09:59:61Z",
        "1795340399",
        // The year has more than four digits, or is negative, in UTC.
        "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "../../../etc/passwd",
    ] {
        let record = failure_of(&lake, &alert_at(timestamp)).await;
        assert!(record["error"].as_str().unwrap().starts_with("timestamp: "), "{record}");
    }
    assert!(lake.keys().iter().all(|key| key.starts_with("classification_failures/")));
}

#[tokio::test]
async fn a_violation_names_the_path_and_the_problem() {
    let lake = TestLake::start().await;
    let labels = |labels: Value| Some(json!({"labels": labels}));
    for (path, value, error) in [
        ("/canary/aws/account_id", Some(json!(["1"])), "canary.aws.account_id: expected string, found array"),
        ("/canary/aws/account_id", Some(json!({})), "canary.aws.account_id: expected string, found object"),
        ("/canary/aws", Some(json!("aws")), "canary.aws: expected object, found string"),
        ("/canary", Some(json!([])), "canary: expected object, found array"),
        ("/event/resources", Some(json!({})), "event.resources: expected array, found object"),
        (
            "/canary_credential",
            labels(json!([{}, {"name": []}])),
            "canary_credential.labels[1].name: expected string, found array",
        ),
        ("/canary_credential", labels(json!(["x"])), "canary_credential.labels[0]: expected object, found string"),
        (
            "/canary_credential",
            Some(json!({"issued_at": 5})),
            "canary_credential.issued_at: expected timestamp, found number",
        ),
        (
            "/canary_credential",
            Some(json!({"expires_at": "soon"})),
            "canary_credential.expires_at: expected an RFC 3339 timestamp",
        ),
        ("/id", None, "id: required, but missing"),
        ("/id", Some(json!(null)), "id: required, but missing"),
        ("/alert_id", None, "alert_id: required, but missing"),
        ("/timestamp", None, "timestamp: required, but missing"),
        ("/timestamp", Some(json!(null)), "timestamp: required, but missing"),
        ("/timestamp", Some(json!(1_795_340_399)), "timestamp: expected timestamp, found number"),
    ] {
        let log = altered_alert(path, value).to_string();
        let record = failure_of(&lake, &log).await;
        assert_eq!((&record["error"], &record["log_type"]), (&json!(error), &json!("Tracebit.Alert")), "{log}");
    }
}

#[tokio::test]
async fn a_health_check_violation_names_path_and_problem() {
    let lake = TestLake::start().await;
    let good = health_check("2026-11-22T09:00:00Z");
    for (path, value, error) in [
        ("/is_healthy", json!("true"), "is_healthy: expected boolean, found string"),
        ("/is_healthy", json!(1), "is_healthy: expected boolean, found number"),
        ("/is_healthy", json!(null), "is_healthy: required, but missing"),
        ("/discriminator/subtype", json!(null), "discriminator.subtype: required, but missing"),
    ] {
        let mut log = good.clone();
        *log.pointer_mut(path).unwrap() = value;
        let record = failure_of(&lake, &log.to_string()).await;
        assert_eq!((&record["error"], &record["log_type"]), (&json!(error), &json!("Tracebit.HealthCheck")));
    }
}

#[tokio::test]
async fn a_log_that_fits_no_schema_has_no_log_type() {
    let lake = TestLake::start().await;
    for (discriminator, path) in [
        (json!({"type": "unheard_of"}), "discriminator.type: "),
        // `allow` compares exactly.
        (json!({"type": "Tracebit_Alert_Log"}), "discriminator.type: "),
        (json!({"type": " tracebit_alert_log"}), "discriminator.type: "),
        (json!({"type": ["tracebit_alert_log"]}), "discriminator.type: "),
        (json!({"type": null}), "discriminator.type: "),
        (json!({}), "discriminator.type: "),
        (json!("tracebit_alert_log"), "discriminator: "),
        (json!(null), "discriminator: "),
    ] {
        let log = altered_alert("/discriminator", Some(discriminator)).to_string();
        let record = failure_of(&lake, &log).await;
        assert!(record["error"].as_str().unwrap().starts_with(path), "{record}");
        assert!(record.get("log_type").is_none(), "{record}");
    }
}

#[tokio::test]
async fn values_that_the_schema_permits_are_stored() {
    for (path, value) in [
        ("/message", json!(5)),
        ("/message", json!(true)),
        ("/message", json!(null)),
        ("/id", json!(17)),
        ("/canary", json!(null)),
        ("/principal", json!(null)),
        ("/event", json!(null)),
        ("/event/request/ip", json!(null)),
        ("/event/resources", json!([null, {"id": null}])),
        ("/canary_credential", json!({"issued_at": "2026-01-01T00:00:00+01:00", "expires_at": null, "labels": []})),
        ("/canary_credential", json!({"expires_at": ""})),
        ("/severity", json!("Unheard of")),
        ("/unknown", json!({"p_inner": 1, "ID": []})),
    ] {
        let lake = TestLake::start().await;
        lake.deliver(altered_alert(path, Some(value.clone())).to_string()).await;
        assert_eq!(lake.record(ALERTS).pointer(path), Some(&value), "{path}");
    }
}

#[tokio::test]
async fn a_failure_record_has_exactly_its_fields() {
    let lake = TestLake::with_env(&[("SOURCE_ID", "src-1")]).await;
    let record = failure_of(&lake, "{\"a\": \"\\u00e9 é\"").await;
    let mut names: Vec<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["error", "p_parse_time", "p_row_id", "p_source_id", "p_source_label", "payload", "payload_encoding"]
    );
    assert_eq!((&record["p_source_id"], &record["payload_encoding"]), (&json!("src-1"), &json!("utf-8")));
}

#[tokio::test]
async fn a_log_cannot_carry_the_lake_fields() {
    let lake = TestLake::start().await;
    for name in
        ["p_log_type", "p_row_id", "p_any_ip_addresses", "p_", "P_event_time", "p_unheard_of", "\\u0070_log_type"]
    {
        let log = alert().to_string().replacen('{', &format!("{{\"{name}\":\"x\","), 1);
        let record = failure_of(&lake, &log).await;
        let error = record["error"].as_str().unwrap();
        assert!(error.to_lowercase().starts_with("p_") && error.contains(": "), "{name}: {error}");
    }
    assert!(lake.records(ALERTS).is_empty());
}

#[tokio::test]
async fn a_repeated_member_is_a_violation_at_any_depth() {
    let lake = TestLake::start().await;
    let log = alert().to_string();
    for (changed, path) in [
        (log.replacen('{', "{\"id\":\"log-1\",", 1), "id"),
        (log.replacen('{', "{\"\\u0069d\":\"log-2\",", 1), "id"),
        (log.replacen("\"account_id\"", "\"account_id\":\"1\",\"account_id\"", 1), "canary.aws.account_id"),
        (log.replacen('{', "{\"x\":[{\"a\":1,\"b\":2,\"a\":1}],", 1), "x[0].a"),
        (log.replacen('{', "{\"x\":null,\"x\":null,", 1), "x"),
        (log.replacen('{', "{\"x\":{\"\":1,\"\":2},", 1), "x: "),
    ] {
        let record = failure_of(&lake, &changed).await;
        let error = record["error"].as_str().unwrap();
        assert!(error.contains("repeated") && error.starts_with(path), "{changed}: {error}");
    }
    // The same name may occur in two objects.
    let twice = log.replacen('{', "{\"x\":[{\"a\":1},{\"a\":1}],", 1);
    assert_eq!(counts(&lake.deliver(&twice).await), [1, 0, 0]);
}

#[tokio::test]
async fn names_that_differ_in_case_alone_are_a_violation() {
    let lake = TestLake::start().await;
    let log = alert().to_string();
    for (changed, error) in [
        // A field of the schema in another case, beside the field or instead of it, at any depth.
        (log.replacen('{', "{\"Severity\":\"Low\",", 1), "Severity: is the field severity in another case"),
        (log.replace("\"severity\"", "\"SEVERITY\""), "SEVERITY: is the field severity in another case"),
        (
            log.replace("\"account_id\":\"1", "\"Account_Id\":\"1"),
            "canary.aws.Account_Id: is the field account_id in another case",
        ),
        (log.replace("\"type\":\"AWS", "\"tYpe\":\"AWS"), "event.resources[0].tYpe: is the field type in another case"),
        (log.replacen('{', "{\"\\u0053everity\":1,", 1), "Severity: is the field severity in another case"),
        // Other names.
        (log.replacen('{', "{\"extra\":1,\"Extra\":1,", 1), "extra: repeated member in another case"),
        (log.replacen('{', "{\"x\":[{\"B\":1,\"a\":2,\"b\":3}],", 1), "x[0].b: repeated member in another case"),
        (log.replacen('{', "{\"\u{c4}rger\":1,\"\u{e4}rger\":2,", 1), "\u{e4}rger: repeated member in another case"),
        (log.replacen('{', "{\"a long name\":1,\"A LONG NAME\":2,", 1), "a long name: repeated member in another case"),
    ] {
        let record = failure_of(&lake, &changed).await;
        assert_eq!(record["error"], error, "{changed}");
        assert_eq!(record["log_type"], "Tracebit.Alert");
    }
    assert!(lake.records(ALERTS).is_empty());
    // One name in any case is no repetition.
    let other = log.replacen('{', "{\"Extra\":{\"Severity\":1,\"sub\":{\"Severity\":1}},", 1);
    assert_eq!(counts(&lake.deliver(&other).await), [1, 0, 0]);
}

#[tokio::test]
async fn names_that_break_queries_are_a_violation() {
    let lake = TestLake::start().await;
    let log = alert().to_string();
    let with = |name: &str| log.replacen('{', &format!("{{\"x\":{{\"{name}\":1}},"), 1);
    let longest = "n".repeat(10_000);
    for (name, error) in [
        ("_col0", "names such as _col0 are the query engine's own"),
        ("_col17", "names such as _col0 are the query engine's own"),
        (&*format!("{longest}n"), "name longer than 10000 bytes"),
    ] {
        let record = failure_of(&lake, &with(name)).await;
        let found = record["error"].as_str().unwrap();
        assert!(found.starts_with("x.") && found.ends_with(error), "{found}");
        assert!(found.len() < 300, "{found}");
    }
    for name in ["_col", "_col1x", "col0", &longest] {
        assert_eq!(counts(&lake.deliver(with(name)).await), [1, 0, 0], "{name}");
    }
}
