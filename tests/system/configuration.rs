//! §2: configuration.

use std::collections::BTreeMap;

use tracebit_lake_harness::{runtime_api::Function, secrets_manager};

use crate::{
    lake::{BINARY, BUCKET, Lake, SECRET, SIGNATURE, bucket, counts, sign_under},
    samples::{ALERTS, alert},
};

/// What the function says when it refuses to start in this environment.
async fn refused(env: &[(&str, &str)]) -> String {
    let function = Function::start(BINARY, env).await;
    let Err(output) = function.ready().await else { panic!("it started with {env:?}") };
    assert!(!function.exit_status().expect("it ends when INIT fails").success(), "{output}");
    output
}

/// The one line that tells every mistake.
fn message<'a>(output: &'a str, variables: &[&str]) -> &'a str {
    let tells_all = |line: &&str| variables.iter().all(|name| line.contains(name));
    output.lines().find(tells_all).unwrap_or_else(|| panic!("no line with all of {variables:?} in {output}"))
}

#[tokio::test]
async fn without_configuration_the_message_says_what_to_set() {
    let output = refused(&[]).await;
    message(&output, &["LAKE_BUCKET", "TRACEBIT_SECRET", "TRACEBIT_SECRET_ARN"]);
    assert!(!output.contains("panicked"), "{output}");
}

#[tokio::test]
async fn every_mistake_is_in_one_message_and_no_value_is() {
    let output = refused(&[
        ("LAKE_BUCKET", "my decoys"),
        ("LAKE_PREFIX", "../up//and away"),
        ("TRACEBIT_SECRET", "fifteen-bytes-x"),
        ("MAX_PAYLOAD_BYTES", "sixteen-megs"),
    ])
    .await;
    message(&output, &["LAKE_BUCKET", "LAKE_PREFIX", "TRACEBIT_SECRET", "MAX_PAYLOAD_BYTES"]);
    for value in ["my decoys", "../up", "and away", "fifteen-bytes", "sixteen-megs"] {
        assert!(!output.contains(value), "{value} in {output}");
    }
}

#[tokio::test]
async fn each_mistake_by_itself_fails_init() {
    let good = BTreeMap::from([("LAKE_BUCKET", BUCKET), ("TRACEBIT_SECRET", SECRET)]);
    for (name, value) in [
        ("LAKE_BUCKET", ""),
        ("LAKE_BUCKET", "no"),
        ("LAKE_BUCKET", "with/slash"),
        ("LAKE_PREFIX", "/"),
        ("LAKE_PREFIX", "/logs"),
        ("LAKE_PREFIX", "a//b"),
        ("LAKE_PREFIX", "a/../b"),
        ("TRACEBIT_SECRET", ""),
        ("TRACEBIT_SECRET", "fifteen-bytes-x"),
        ("TRACEBIT_SECRET", "fifteen-bytes-x\n"),
        ("TRACEBIT_SECRET_ARN", secrets_manager::ARN),
        ("TRACEBIT_SECRET_ARN", "tracebit-lake/webhook"),
        ("MAX_PAYLOAD_BYTES", "0"),
        ("MAX_PAYLOAD_BYTES", "-1"),
        ("MAX_PAYLOAD_BYTES", "1e6"),
        ("MAX_PAYLOAD_BYTES", "99999999999999999999999"),
    ] {
        let mut env = good.clone();
        env.insert(name, value);
        let env: Vec<_> = env.into_iter().collect();
        let output = refused(&env).await;
        message(&output, &[name]);
        assert!(!output.contains(SECRET) && !output.contains("fifteen-bytes"), "{output}");
    }
}

#[tokio::test]
async fn an_empty_value_counts_as_unset() {
    let lake = Lake::with(&[
        ("LAKE_PREFIX", ""),
        ("TRACEBIT_SECRET_ARN", ""),
        ("SOURCE_ID", ""),
        ("SOURCE_LABEL", ""),
        ("MAX_PAYLOAD_BYTES", ""),
        ("AWS_ENDPOINT_URL", ""),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", ""),
        ("AWS_LAMBDA_LOG_LEVEL", ""),
        ("RUST_LOG", ""),
    ])
    .await;
    assert_eq!(counts(&lake.deliver(alert().to_string()).await), [1, 0, 0]);
    assert!(lake.key().starts_with("tracebit_alert/"));
    let record = lake.record(ALERTS);
    assert_eq!((record.get("p_source_id"), &record["p_source_label"]), (None, &"tracebit".into()));
}

#[tokio::test]
async fn one_endpoint_for_all_services_will_do() {
    let s3 = bucket().await;
    let endpoint = s3.endpoint();
    let env = [("LAKE_BUCKET", BUCKET), ("TRACEBIT_SECRET", SECRET), ("AWS_ENDPOINT_URL", &endpoint)];
    let lake = Lake { function: Function::start(BINARY, &env).await, s3 };
    assert_eq!(counts(&lake.deliver(alert().to_string()).await), [1, 0, 0]);
    assert_eq!(lake.records(ALERTS).len(), 1);
}

#[tokio::test]
async fn an_empty_endpoint_of_one_service_counts_as_unset() {
    let s3 = bucket().await;
    let endpoint = s3.endpoint();
    let lake = Lake::on(s3, &[("AWS_ENDPOINT_URL", &endpoint), ("AWS_ENDPOINT_URL_S3", "")]).await;
    let response = lake.deliver(alert().to_string()).await;
    assert_eq!(response.status, 200, "{}", lake.function.settled_output().await);
}

#[tokio::test]
async fn a_secret_of_sixteen_bytes_is_long_enough() {
    let secret = "sixteen-bytes-xy";
    let lake = Lake::with(&[("TRACEBIT_SECRET", secret)]).await;
    let body = alert().to_string();
    let signature = sign_under(secret, &body);
    assert_eq!(lake.post(&[(SIGNATURE, &signature)], &body).await.status, 200);
}
