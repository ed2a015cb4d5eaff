//! Metrics: what CloudWatch counts, read from the function's output.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tracebit_lake_harness::Fault;

use crate::support::{
    JSON, SIGNATURE, TestLake, alert, alert_with_id, altered_alert, gzip, health_check, metrics, output_since, sign,
    values,
};

const DENIED: Fault = Fault::Status { status: 403, code: "AccessDenied" };

#[tokio::test]
async fn a_delivery_counts_in_every_metric() {
    let lake = TestLake::start().await;
    let mut unhealthy = health_check("2026-11-22T10:00:00Z");
    unhealthy["is_healthy"] = false.into();
    let severities =
        [("log-1", json!("High")), ("log-2", json!("High")), ("log-3", json!("Info")), ("log-4", json!("Medium"))];
    let mut logs: Vec<Value> = severities
        .into_iter()
        .map(|(id, severity)| {
            let mut log = alert_with_id(id);
            log["severity"] = severity;
            log
        })
        .collect();
    logs.extend([logs[0].clone(), health_check("2026-11-22T09:00:00Z"), unhealthy]);
    logs.extend([json!({}), json!(1)]);
    let body = json!(logs).to_string();
    lake.deliver(&body).await;
    let output = output_since(&lake, "").await;
    let metrics = metrics(&output);
    for (name, value) in [
        ("LogsStored{LogType=Tracebit.Alert}", 4),
        ("LogsStored{LogType=Tracebit.HealthCheck}", 2),
        ("AlertsStored{Severity=High}", 2),
        ("AlertsStored{Severity=Medium}", 1),
        ("AlertsStored{Severity=Info}", 1),
        ("Duplicates", 1),
        ("ClassificationFailures", 2),
        ("HealthChecks", 2),
        ("UnhealthyHealthChecks", 1),
    ] {
        assert_eq!(metrics.get(name), Some(&(json!(value), "None".to_owned())), "{name} in {metrics:?}");
    }
    assert_eq!(metrics["PayloadBytes"], (json!(body.len()), "Bytes".to_owned()));
    assert_eq!(metrics["StoreLatency"].1, "Milliseconds");
    assert!(metrics["StoreLatency"].0.as_f64().unwrap() > 0.0);
    assert!(!metrics.contains_key("Unauthorized") && !metrics.contains_key("StoreErrors"), "{metrics:?}");
}

#[tokio::test]
async fn payload_bytes_are_counted_as_sent() {
    let lake = TestLake::start().await;
    let sent = gzip(alert().to_string());
    lake.deliver(&sent).await;
    assert_eq!(values(&output_since(&lake, "").await, ["PayloadBytes"]), [u64::try_from(sent.len()).unwrap()]);
}

#[tokio::test]
async fn a_redelivery_counts_what_is_in_the_lake() {
    let lake = TestLake::start().await;
    let body = format!("{}\n{}", alert(), health_check("2026-11-22T09:00:00Z"));
    lake.deliver(&body).await;
    let before = lake.function.settled_output().await;
    lake.deliver(&body).await;
    let names = [
        "Duplicates",
        "LogsStored{LogType=Tracebit.Alert}",
        "LogsStored{LogType=Tracebit.HealthCheck}",
        "AlertsStored{Severity=High}",
        "HealthChecks",
    ];
    // A lost answer must not cost the alarms an alert, so alerts and health checks count again. Stored logs do not.
    assert_eq!(values(&output_since(&lake, &before).await, names), [2, 0, 0, 1, 1]);
}

#[tokio::test]
async fn unauthorized_requests_and_store_errors_are_counted() {
    let lake = TestLake::start().await;
    lake.post(&[JSON], "{}").await;
    let first = output_since(&lake, "").await;
    assert_eq!(values(&first, ["Unauthorized", "StoreErrors"]), [1, 0]);
    lake.s3.fail_always(DENIED);
    lake.deliver(alert().to_string()).await;
    let second = output_since(&lake, &first).await;
    let names = ["Unauthorized", "StoreErrors", "LogsStored{LogType=Tracebit.Alert}", "AlertsStored{Severity=High}"];
    assert_eq!(values(&second, names), [0, 1, 0, 0]);
}

#[tokio::test]
async fn a_mismatch_counts_apart_from_other_refusals() {
    let lake = TestLake::start().await;
    let names = ["Unauthorized", "SignatureMismatches"];
    let mut before = String::new();
    for (headers, expected) in [
        (&[JSON][..], [1, 0]),
        (&[JSON, (SIGNATURE, "rubbish")], [1, 0]),
        (&[JSON, (SIGNATURE, &sign("another body"))], [1, 1]),
    ] {
        lake.post(headers, "{}").await;
        let output = output_since(&lake, &before).await;
        assert_eq!(values(&output, names), expected, "{headers:?}");
        before += &output;
    }
}

#[tokio::test]
async fn what_the_schemas_do_not_know_is_counted() {
    let lake = TestLake::start().await;
    let mut unknown_field = alert_with_id("log-1");
    unknown_field["canary"]["novelty"] = 1.into();
    let mut unknown_subtype = alert_with_id("log-2");
    unknown_subtype["discriminator"]["subtype"] = "canary_resource_sung_to".into();
    let mut before = String::new();
    for (logs, expected) in [
        (json!([alert_with_id("log-3")]), [0, 0]),
        (json!([unknown_field, alert_with_id("log-4")]), [1, 0]),
        (json!([unknown_subtype]), [0, 1]),
    ] {
        lake.deliver(logs.to_string()).await;
        let output = output_since(&lake, &before).await;
        assert_eq!(values(&output, ["UnknownFields", "UnknownSubtypes"]), expected, "{logs}");
        before += &output;
    }
}

#[tokio::test]
async fn every_metric_has_the_dimension_of_its_stack() {
    let lake = TestLake::with_env(&[("STACK_NAME", "decoys-eu")]).await;
    lake.deliver(format!("{}\n{}\nbad", alert(), health_check("2026-11-22T09:00:00Z"))).await;
    let first = output_since(&lake, "").await;
    lake.post(&[JSON], "{}").await;
    let second = output_since(&lake, &first).await;
    let metrics: BTreeSet<_> = [first, second].iter().flat_map(|output| metrics(output).into_keys()).collect();
    assert!(metrics.iter().all(|name| name.contains("{Stack=decoys-eu")), "{metrics:?}");
    for name in [
        "LogsStored{Stack=decoys-eu,LogType=Tracebit.Alert}",
        "AlertsStored{Stack=decoys-eu,Severity=High}",
        "HealthChecks{Stack=decoys-eu}",
        "ClassificationFailures{Stack=decoys-eu}",
        "Unauthorized{Stack=decoys-eu}",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics:?}");
    }
}

#[tokio::test]
async fn a_sender_cannot_add_metric_dimensions() {
    let lake = TestLake::start().await;
    let severities = [json!("x".repeat(2000)), json!("{}"), json!("A\nB"), json!(5), json!(true), json!(null)];
    let logs: Vec<_> = severities
        .into_iter()
        .enumerate()
        .map(|(n, severity)| {
            let mut log = altered_alert("/severity", Some(severity));
            log["id"] = format!("log-{n}").into();
            log
        })
        .collect();
    lake.deliver(json!(logs).to_string()).await;
    let output = output_since(&lake, "").await;
    let metrics = metrics(&output);
    let severities: Vec<_> = metrics.keys().filter(|name| name.starts_with("AlertsStored")).collect();
    assert_eq!(severities.len(), 1, "{severities:?}");
    assert!(severities[0].len() < 50, "{severities:?}");
}
