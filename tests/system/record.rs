//! Record: what the lake stores of a log. Event time, row id and indicators.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::{ALERTS, FAILURES, HEALTH_CHECKS, TestLake, alert, alert_at, alert_with_id, counts, health_check};

/// The line of the only record that `log` becomes.
async fn line_of(log: &str, table: &str) -> String {
    let lake = TestLake::start().await;
    assert_eq!(counts(&lake.deliver(log).await), [1, 0, 0], "{log}");
    let [line] = lake.lines(table).try_into().unwrap();
    line
}

/// The only record that `log` becomes.
async fn record_of(log: &Value) -> Value {
    serde_json::from_str(&line_of(&log.to_string(), ALERTS).await).unwrap()
}

#[tokio::test]
async fn a_record_is_the_log_as_sent_followed_by_the_lake_fields() {
    let lake = TestLake::with_env(&[("SOURCE_ID", "src-1"), ("SOURCE_LABEL", "decoys \"eu\"")]).await;
    let log = alert().to_string();
    let before = chrono::Utc::now();
    lake.deliver(&log).await;
    let after = chrono::Utc::now();
    let [line] = lake.lines(ALERTS).try_into().unwrap();
    let own = line.strip_prefix(&log[..log.len() - 1]).unwrap_or_else(|| panic!("the log has changed: {line}"));

    let record: Value = serde_json::from_str(&line).unwrap();
    let parse_time = record["p_parse_time"].as_str().unwrap();
    let [before, after] = [before, after].map(|time| time.format("%Y-%m-%d %H:%M:%S%.3f").to_string());
    assert!(*before <= *parse_time && *parse_time <= *after, "{parse_time}");
    let row_id = record["p_row_id"].as_str().unwrap();
    assert!(row_id.len() == 32 && row_id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{row_id}");
    let expected = [
        r#","p_log_type":"Tracebit.Alert","p_event_time":"2026-11-22 09:59:59.123""#.to_owned(),
        format!(r#","p_parse_time":"{parse_time}","p_row_id":"{row_id}","p_schema_version":1"#),
        r#","p_source_id":"src-1","p_source_label":"decoys \"eu\"""#.to_owned(),
        r#","p_any_ip_addresses":["192.0.2.1"],"p_any_domain_names":["portal.tracebit.example"]"#.to_owned(),
        r#","p_any_aws_account_ids":["123456789012","210987654321"]"#.to_owned(),
        r#","p_any_aws_arns":["arn:aws:s3:::backups-canary","arn:aws:sts::210987654321:assumed-role/Admin/alice@example.com"]"#
            .to_owned(),
        r#","p_any_actor_ids":["AROAEXAMPLE:alice@example.com"],"p_any_usernames":["alice"]"#.to_owned(),
        r#","p_any_emails":["alice@example.com"]}"#.to_owned(),
    ];
    assert_eq!(own, expected.concat());
}

#[tokio::test]
async fn a_health_check_becomes_a_record_of_its_own_table() {
    let line = line_of(&health_check("2026-11-22T09:00:00Z").to_string(), HEALTH_CHECKS).await;
    let record: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&record["p_log_type"], &record["is_healthy"]), (&json!("Tracebit.HealthCheck"), &json!(true)));
    let own: Vec<_> = record.as_object().unwrap().keys().filter(|name| name.starts_with("p_")).collect();
    let mut expected = ["p_log_type", "p_event_time", "p_parse_time", "p_row_id", "p_schema_version", "p_source_label"];
    let mut own: Vec<_> = own.into_iter().map(String::as_str).collect();
    own.sort_unstable();
    expected.sort_unstable();
    assert_eq!(own, expected, "no source id, no indicators");
    assert_eq!(record["p_source_label"], "tracebit");
}

#[tokio::test]
async fn members_are_kept_as_sent() {
    let odd = concat!(
        r#"{ "unknown" : {"deep":[1,{"p_inner":null}, "x"]} , "number":1234567890123456789012345678901234567890,"#,
        r#""fraction":0.1234567890123456789012345678901234567890,"exponent":-1.50E+300,"zero":-0.0,"#,
        r#" "text":"\u0041\/\ud83d\udc26é\"\\n", "none":null,"canary":null,"empty":{},"#,
        r#""discriminator":{"subtype":"s","type":"tracebit_alert_log"},"alert_id":12345678901234567890123,"#,
        r#""timestamp":"2026-11-22T09:00:00Z","id":"log-1" }"#
    );
    let line = line_of(odd, ALERTS).await;
    assert!(line.starts_with(&odd[..odd.len() - 1]), "{line}");
    assert!(serde_json::from_str::<Value>(&line).is_ok());
}

#[tokio::test]
async fn logs_that_differ_in_the_fortieth_digit_are_two() {
    let lake = TestLake::start().await;
    for last in [0, 1] {
        let number = format!("\"n\":123456789012345678901234567890123456789{last},");
        let log = alert().to_string().replacen('{', &format!("{{{number}"), 1);
        assert_eq!(counts(&lake.deliver(&log).await), [1, 0, 0]);
        assert!(lake.lines(ALERTS).iter().any(|line| line.contains(&number)));
    }
}

/// Delivers an alert of this timestamp; returns its record's event time and its key.
async fn stored_at(timestamp: &str) -> (String, String) {
    let lake = TestLake::start().await;
    assert_eq!(counts(&lake.deliver(alert_at(timestamp)).await), [1, 0, 0], "{timestamp}");
    let record = lake.record(ALERTS);
    assert_eq!(record["timestamp"], timestamp);
    (record["p_event_time"].as_str().unwrap().to_owned(), lake.key())
}

#[tokio::test]
async fn event_times_are_utc_and_cut_to_milliseconds() {
    for (timestamp, expected, partition, name) in [
        ("2026-11-22T09:59:59Z", "2026-11-22 09:59:59.000", "day=2026-11-22/hour=09", "20261122T095959Z"),
        ("2026-11-22T09:59:59.9Z", "2026-11-22 09:59:59.900", "day=2026-11-22/hour=09", "20261122T095959Z"),
        ("2026-11-22T09:59:59.999999Z", "2026-11-22 09:59:59.999", "day=2026-11-22/hour=09", "20261122T095959Z"),
        (
            "2026-11-22T09:59:59.9999999999999999999999Z",
            "2026-11-22 09:59:59.999",
            "day=2026-11-22/hour=09",
            "20261122T095959Z",
        ),
        ("2026-11-02T03:04:05+14:00", "2026-11-01 13:04:05.000", "day=2026-11-01/hour=13", "20261101T130405Z"),
        ("2025-12-31T23:30:00-01:00", "2026-01-01 00:30:00.000", "day=2026-01-01/hour=00", "20260101T003000Z"),
        ("2024-02-29T00:00:00-00:00", "2024-02-29 00:00:00.000", "day=2024-02-29/hour=00", "20240229T000000Z"),
        ("2024-01-01T00:00:00Z", "2024-01-01 00:00:00.000", "day=2024-01-01/hour=00", "20240101T000000Z"),
        // A leap second stays in its own hour, because SQL engines do not accept a second 60.
        ("2025-12-31T23:59:60Z", "2025-12-31 23:59:59.999", "day=2025-12-31/hour=23", "20251231T235959Z"),
        ("2025-12-31T23:59:60.5Z", "2025-12-31 23:59:59.999", "day=2025-12-31/hour=23", "20251231T235959Z"),
    ] {
        let (event_time, key) = stored_at(timestamp).await;
        assert_eq!(event_time, expected, "{timestamp}");
        assert!(key.starts_with(&format!("tracebit_alert/{partition}/{name}-")), "{timestamp}: {key}");
    }
}

#[tokio::test]
async fn a_log_of_a_day_that_no_query_sees_goes_to_the_day_of_receipt() {
    let in_days = |days| (Utc::now() + TimeDelta::days(days)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let three_days_ahead = in_days(3);
    for (timestamp, expected) in [
        ("0000-01-01T00:00:00Z", "0000-01-01 00:00:00.000"),
        ("0001-01-01T13:00:00Z", "0001-01-01 13:00:00.000"),
        ("1969-12-31T23:59:59.9Z", "1969-12-31 23:59:59.900"),
        ("2023-12-31T23:59:59.999Z", "2023-12-31 23:59:59.999"),
        ("9999-12-31T23:59:59.9999Z", "9999-12-31 23:59:59.999"),
        (&*three_days_ahead, &*three_days_ahead.replace('T', " ").replace('Z', ".000")),
    ] {
        let before = Utc::now();
        let (event_time, key) = stored_at(timestamp).await;
        assert_eq!(event_time, expected);
        let name = timestamp[..19].replace(['-', ':'], "");
        let of_receipt =
            [before, Utc::now()].map(|time| time.format("tracebit_alert/day=%Y-%m-%d/hour=00/").to_string());
        let is_expected = |partition: &String| key.starts_with(&format!("{partition}{name}Z-"));
        assert!(of_receipt.iter().any(is_expected), "{timestamp}: {key}");
    }
    // Tomorrow is seen.
    let tomorrow = in_days(1);
    let (_, key) = stored_at(&tomorrow).await;
    assert!(key.starts_with(&format!("tracebit_alert/day={}/hour={}/", &tomorrow[..10], &tomorrow[11..13])), "{key}");
}

#[tokio::test]
async fn a_lone_surrogate_is_kept_as_the_replacement_character() {
    for (sent, kept) in [
        (r"cut \ud83d", r"cut \ufffd"),
        (r"\uDC26 cut", r"\ufffd cut"),
        (r"\ud83d\ud83d\udc26", r"\ufffd\ud83d\udc26"),
        (r"\\ud83d \ud83d\n", r"\\ud83d \ufffd\n"),
    ] {
        let with = |text: &str| alert().to_string().replace("aws-cli/2.0", text);
        let lake = TestLake::start().await;
        assert_eq!(counts(&lake.deliver(with(sent)).await), [1, 0, 0], "{sent}");
        let [line] = lake.lines(ALERTS).try_into().unwrap();
        let expected = with(kept);
        assert!(line.starts_with(&expected[..expected.len() - 1]), "{sent}: {line}");
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{sent}: {line}");
        assert_eq!(counts(&lake.deliver(format!("[{}]", with(sent))).await), [0, 1, 0], "{sent}");
    }
    // In a name, too, and in a failure as it was sent.
    let lake = TestLake::start().await;
    let name = alert().to_string().replacen('{', r#"{"\ud83d":1,"#, 1);
    assert_eq!(counts(&lake.deliver(&name).await), [1, 0, 0]);
    assert!(lake.lines(ALERTS)[0].starts_with(r#"{"\ufffd":1,"#));
    let failure = r#"{"discriminator":{"type":"\ud83d"}}"#;
    assert_eq!(counts(&lake.deliver(failure).await), [0, 0, 1]);
    assert_eq!(lake.record(FAILURES)["payload"], failure);
}

#[tokio::test]
async fn a_row_id_ignores_white_space_and_member_order() {
    let lake = TestLake::start().await;
    let log = r#"{"discriminator":{"type":"health_check","subtype":"s"},"timestamp":"2026-11-22T09:00:00Z","is_healthy":true,"x":[1,2]}"#;
    let same = [
        r#"{ "x" : [ 1 , 2 ], "is_healthy":true, "timestamp":"2026-11-22T09:00:00Z", "discriminator":{"subtype":"s","type":"health_check"} }"#,
        "{\n\t\"is_healthy\": true,\r\n\t\"discriminator\": {\"type\": \"health_check\", \"subtype\": \"s\"},\n\t\"x\": [1,\n2],\n\t\"timestamp\": \"2026-11-22T09:00:00Z\"\n}",
    ];
    assert_eq!(counts(&lake.deliver(log).await), [1, 0, 0]);
    for text in same {
        assert_eq!(counts(&lake.deliver(text).await), [0, 1, 0], "{text}");
    }
    for other in [
        log.replace("true", "false"),
        log.replace("\"s\"", "\"S\""),
        log.replace("\"s\"", "\"s \""),
        log.replace("[1,2]", "[2,1]"),
        log.replace("[1,2]", "[12]"),
        log.replace("[1,2]", "[1,2,null]"),
        log.replace("[1,2]", "[\"1\",2]"),
        log.replace("\"x\"", "\"y\""),
    ] {
        assert_eq!(counts(&lake.deliver(&other).await), [1, 0, 0], "{other}");
    }
    let mut ids: Vec<_> =
        lake.records(HEALTH_CHECKS).into_iter().map(|record| record["p_row_id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 9);
}

#[tokio::test]
async fn a_row_id_is_the_same_for_every_instance_and_source() {
    let log = alert();
    let mut ids = Vec::new();
    for label in ["one", "two"] {
        let lake = TestLake::with_env(&[("SOURCE_LABEL", label), ("LAKE_PREFIX", label)]).await;
        lake.deliver(json!([log, alert_with_id("log-2")]).to_string()).await;
        let records = lake.records(&format!("{label}/{ALERTS}"));
        ids.push(records.iter().map(|record| record["p_row_id"].clone()).collect::<Vec<_>>());
    }
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0][0], ids[0][1]);
    assert_eq!(record_of(&log).await["p_row_id"], ids[0][0]);
}

#[tokio::test]
async fn indicators_are_sorted_and_typed() {
    let mut log = alert();
    log["tracebit_portal_url"] = json!("https://[2001:db8::1]:8443/x");
    log["canary"] = json!({
        "aws": {"account_id": " 123456789012 ", "arn": "arn:aws:ec2:eu-west-1:999999999999:instance/i-0abc"},
        "okta": {"domain": "dev-1.okta.example", "organization_id": "not-an-indicator"},
    });
    log["principal"] = json!({
        "id": " actor ",
        "aws": {"arn": "arn:aws:sts::111111111111:assumed-role/R/bob@example.com", "account_id": "123", "username": ""},
        "okta": {"alternate_id": "alice@example.com"},
    });
    log["event"]["request"]["ip"] = json!("192.0.2.9");
    let record = record_of(&log).await;
    let indicators: serde_json::Map<_, _> = record
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| name.starts_with("p_any_"))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    assert_eq!(
        Value::from(indicators),
        json!({
            "p_any_ip_addresses": ["192.0.2.9", "2001:db8::1"],
            "p_any_domain_names": ["dev-1.okta.example"],
            "p_any_aws_account_ids": ["111111111111", "123456789012", "999999999999"],
            "p_any_aws_arns": [
                "arn:aws:ec2:eu-west-1:999999999999:instance/i-0abc",
                "arn:aws:sts::111111111111:assumed-role/R/bob@example.com",
            ],
            "p_any_aws_instance_ids": ["i-0abc"],
            "p_any_actor_ids": ["actor"],
            "p_any_emails": ["alice@example.com", "bob@example.com"],
        })
    );
}

#[tokio::test]
async fn invalid_indicator_values_are_left_out() {
    let mut log = alert();
    log["tracebit_portal_url"] = json!("portal.tracebit.example/alerts");
    log["canary"] = json!({"aws": {"account_id": "12345678901", "arn": "not-an-arn"}, "okta": {"domain": " "}});
    log["principal"] = json!({"id": "", "aws": {"arn": "arn:aws:s3", "account_id": "12345678901x"}, "okta": {"alternate_id": "alice"}});
    log["event"]["request"]["ip"] = json!("cloudtrail.amazonaws.com");
    let record = record_of(&log).await;
    let indicators: Vec<_> = record.as_object().unwrap().keys().filter(|name| name.starts_with("p_any_")).collect();
    assert!(indicators.is_empty(), "{record}");
}
