//! §9: logs and metrics, as they stand in the function's output.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tracebit_lake_harness::{
    Fault, function_url,
    s3::{ACCESS_KEY, SECRET_KEY},
    secrets_manager::SecretsManager,
};

use crate::{
    lake::{JSON, Lake, SECRET, SIGNATURE, secrets_manager_env, sign, sign_under},
    payloads::gzip,
    samples::{alert, alert_but, alert_with, health_check},
};

const DENIED: Fault = Fault::Status { status: 403, code: "AccessDenied" };

/// What the function has written since it had written `before`.
async fn output_since(lake: &Lake, before: &str) -> String {
    let output = lake.function.settled_output().await;
    output.strip_prefix(before).unwrap_or_else(|| panic!("{output}")).to_owned()
}

/// The lines that CloudWatch makes metrics of, each checked against the rules of the format.
///
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn metric_lines(output: &str) -> Vec<Value> {
    let lines: Vec<Value> = output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let lines: Vec<_> = lines.into_iter().filter(|line| line.get("_aws").is_some()).collect();
    for line in &lines {
        let age = chrono::Utc::now().timestamp_millis() - line["_aws"]["Timestamp"].as_i64().unwrap();
        assert!((0..60_000).contains(&age), "{line}");
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            assert_eq!(directive["Namespace"], "TracebitLake", "{line}");
            let sets = directive["Dimensions"].as_array().unwrap();
            assert_eq!(sets.len(), 1, "{line}");
            for dimension in sets[0].as_array().unwrap() {
                assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension} in {line}");
            }
            for metric in directive["Metrics"].as_array().unwrap() {
                assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric} in {line}");
            }
        }
    }
    lines
}

/// Every metric in the output as CloudWatch sees it: `Name`, or `Name{Dimension=value}`, and its unit.
fn metrics(output: &str) -> BTreeMap<String, (Value, String)> {
    let mut metrics = BTreeMap::new();
    for line in metric_lines(output) {
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            let dimensions: Vec<_> = directive["Dimensions"][0]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| format!("{}={}", name.as_str().unwrap(), line[name.as_str().unwrap()].as_str().unwrap()))
                .collect();
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                let full =
                    if dimensions.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", dimensions.join(",")) };
                let unit = metric["Unit"].as_str().unwrap_or("None").to_owned();
                let twice = metrics.insert(full.clone(), (line[name].clone(), unit));
                assert!(twice.is_none(), "{full} comes twice in {output}");
            }
        }
    }
    metrics
}

/// The values of these metrics; 0 where there is none.
fn values<const N: usize>(output: &str, names: [&str; N]) -> [u64; N] {
    let metrics = metrics(output);
    names.map(|name| metrics.get(name).map_or(0, |(value, _)| value.as_u64().unwrap()))
}

/// The one line of an invocation.
fn invocation_line(output: &str) -> Value {
    let lines: Vec<_> = metric_lines(output).into_iter().filter(|line| line.get("RequestId").is_some()).collect();
    let [line] = lines.try_into().unwrap_or_else(|lines| panic!("not one line: {lines:?}"));
    line
}

#[tokio::test]
async fn the_start_is_silent() {
    let lake = Lake::start().await;
    assert_eq!(lake.function.settled_output().await, "");
}

#[tokio::test]
async fn an_unauthorised_request_costs_one_short_line() {
    let lake = Lake::start().await;
    let body = alert().to_string();
    let forged = sign("another body");
    let huge = "f".repeat(10_000);
    let mut before = String::new();
    for headers in [&[JSON][..], &[JSON, (SIGNATURE, "rubbish")], &[JSON, (SIGNATURE, &forged)], &[(SIGNATURE, &huge)]]
    {
        assert_eq!(lake.post(headers, &body).await.status, 401);
        let output = output_since(&lake, &before).await;
        assert_eq!(output.lines().count(), 1, "{output}");
        assert!(output.len() < 300, "{output}");
        assert_eq!(invocation_line(&output)["Outcome"], "unauthorized");
        before += &output;
    }
}

#[tokio::test]
async fn each_invocation_has_one_line_with_outcome_counts_keys_and_durations() {
    let lake = Lake::start().await;
    let body = format!("{}\n{}\nbad\n", alert(), health_check("2026-11-22T09:00:00Z"));
    lake.deliver(&body).await;
    let output = output_since(&lake, "").await;
    let line = invocation_line(&output);
    assert_eq!(line["Outcome"], "stored");
    assert_eq!(
        (&line["Stored"], &line["Duplicates"], &line["ClassificationFailures"]),
        (&json!(2), &json!(0), &json!(1))
    );
    assert_eq!(line["Keys"], json!(lake.keys()));
    let [whole, store] = ["Duration", "StoreLatency"].map(|name| line[name].as_f64().unwrap());
    assert!(0.0 < store && store <= whole && whole < 30_000.0, "{line}");

    lake.deliver(&body).await;
    let again = invocation_line(&output_since(&lake, &output).await);
    assert_eq!((&again["Stored"], &again["Duplicates"]), (&json!(0), &json!(2)));
    let ids = [&line, &again].map(|line| line["RequestId"].as_str().unwrap());
    assert!(ids[0].len() == 36 && ids[0] != ids[1], "Lambda's own: {ids:?}");
}

#[tokio::test]
async fn every_outcome_has_its_line() {
    let lake = Lake::start().await;
    let get = function_url::event("GET", &[], b"");
    assert_eq!(lake.invoke(&get).await.status, 405);
    let first = output_since(&lake, "").await;
    assert_eq!(invocation_line(&first)["Outcome"], "method not allowed");

    lake.s3.fail_always(DENIED);
    assert_eq!(lake.deliver(alert().to_string()).await.status, 503);
    let second = output_since(&lake, &first).await;
    let line = invocation_line(&second);
    assert_eq!((&line["Outcome"], &line["Stored"]), (&json!("store unavailable"), &json!(0)));
    assert!(second.contains("AccessDenied"), "the operator is told why: {second}");
}

#[tokio::test]
async fn a_delivery_counts_in_every_metric_that_the_contract_names() {
    let lake = Lake::start().await;
    let mut unhealthy = health_check("2026-11-22T10:00:00Z");
    unhealthy["is_healthy"] = false.into();
    let severities =
        [("log-1", json!("High")), ("log-2", json!("High")), ("log-3", json!("Info")), ("log-4", json!("Medium"))];
    let mut logs: Vec<Value> = severities
        .into_iter()
        .map(|(id, severity)| {
            let mut log = alert_with(id);
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
async fn payload_bytes_are_those_that_were_sent() {
    let lake = Lake::start().await;
    let sent = gzip(alert().to_string());
    lake.deliver(&sent).await;
    assert_eq!(values(&output_since(&lake, "").await, ["PayloadBytes"]), [u64::try_from(sent.len()).unwrap()]);
}

#[tokio::test]
async fn a_redelivery_counts_as_duplicates_and_as_nothing_new() {
    let lake = Lake::start().await;
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
    assert_eq!(values(&output_since(&lake, &before).await, names), [2, 0, 0, 0, 0]);
}

#[tokio::test]
async fn refusals_and_store_errors_are_counted() {
    let lake = Lake::start().await;
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
async fn a_dimension_cannot_be_made_to_grow_from_outside() {
    let lake = Lake::start().await;
    let severities = [json!("x".repeat(2000)), json!("{}"), json!("A\nB"), json!(5), json!(true), json!(null)];
    let logs: Vec<_> = severities
        .into_iter()
        .enumerate()
        .map(|(n, severity)| {
            let mut log = alert_but("/severity", Some(severity));
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

#[tokio::test]
async fn the_line_of_a_payload_of_many_keys_stays_short() {
    let lake = Lake::start().await;
    let logs: Vec<_> = (0..300)
        .map(|n| health_check(&format!("2026-01-{:02}T{:02}:00:00Z", n / 24 + 1, n % 24)).to_string())
        .collect();
    lake.deliver(logs.join("\n")).await;
    let output = output_since(&lake, "").await;
    assert!(output.len() < 10_000, "{} bytes", output.len());
    assert_eq!(invocation_line(&output)["Stored"], 300);
}

/// The environment in which a function says all that it can be made to say.
const TALKATIVE: [(&str, &str); 3] =
    [("AWS_LAMBDA_LOG_LEVEL", "TRACE"), ("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")];

#[tokio::test]
async fn nothing_that_was_sent_and_no_secret_is_ever_in_the_output() {
    const MARK: &str = "canary-in-the-request";
    let all_there_is = async |format| {
        let env = [&TALKATIVE[..], &[("AWS_LAMBDA_LOG_FORMAT", format)]].concat();
        let lake = Lake::with(&env).await;
        let mark = ("X-Mark", MARK);
        let user_agent = ("User-Agent", MARK);
        let mut log = alert();
        log["message"] = MARK.into();
        log[MARK] = MARK.into();
        let mut bad = log.clone();
        bad["severity"] = json!([MARK]);
        let mut shown = vec![MARK.to_owned(), SECRET.to_owned(), SECRET_KEY.to_owned()];
        let bodies = [log.to_string(), bad.to_string(), MARK.to_owned(), format!("[{log},{MARK}")];
        for body in &bodies {
            let headers = [JSON, mark, user_agent];
            assert_eq!(lake.deliver_with(&headers, body).await.status, 200);
            lake.deliver_with(&[mark, ("Content-Encoding", MARK)], body).await;
            lake.deliver_with(&[mark, ("Content-Encoding", "gzip")], body).await;
            lake.post(&headers, body).await;
            lake.post(&[mark, (SIGNATURE, MARK)], body).await;
            let forged = sign_under("the-secret-of-somebody-else", body);
            lake.post(&[mark, (SIGNATURE, &forged)], body).await;
            lake.invoke(&function_url::event("GET", &headers, body.as_bytes())).await;
            shown.extend([sign(body), forged]);
        }
        lake.error_of(&json!({ "key1": MARK, MARK: 1 })).await;
        lake.error_of(&json!(MARK)).await;
        for fault in [DENIED, Fault::Status { status: 503, code: "SlowDown" }, Fault::Reset] {
            lake.s3.fail_next(1, fault);
            lake.deliver_with(&[JSON, mark], alert_but("/message", Some(json!(MARK))).to_string()).await;
        }
        lake.s3.stop().await;
        lake.deliver_with(&[JSON, mark], bodies[0].as_bytes()).await;

        let output = lake.function.settled_output().await;
        assert!(!output.is_empty());
        // Nor what the SDK signs its requests with.
        shown.extend(["AWS4-HMAC-SHA256", "Credential=", ACCESS_KEY].map(str::to_owned));
        for text in shown {
            assert!(!output.contains(&text), "{text} in {output}");
        }
    };
    join_all(["JSON", "Text"].map(all_there_is)).await;
}

#[tokio::test]
async fn the_secrets_of_secrets_manager_are_never_in_the_output() {
    let secrets = ["the-first-of-the-secrets", "the-second-of-the-secrets"];
    let manager = SecretsManager::start().await;
    manager.set(secrets[0], Some(secrets[1]));
    let endpoint = manager.endpoint();
    let lake = Lake::with(&[&TALKATIVE[..], &secrets_manager_env(&endpoint)].concat()).await;
    let body = alert().to_string();
    for secret in [secrets[0], secrets[1], "the-secret-of-somebody-else"] {
        lake.post(&[JSON, (SIGNATURE, &sign_under(secret, &body))], &body).await;
    }
    manager.fail(Some(Fault::Status { status: 400, code: "AccessDeniedException" }));
    lake.post(&[JSON, (SIGNATURE, &sign_under("the-secret-of-somebody-else", &body))], &body).await;
    let output = lake.function.settled_output().await;
    for secret in secrets {
        assert!(!output.contains(secret), "{output}");
        assert!(!output.contains(&sign_under(secret, &body)), "{output}");
    }
}
