//! Configuration: environment variables, and how INIT reports mistakes.

use std::collections::BTreeMap;

use tracebit_lake_harness::{runtime_api::Function, secrets_manager};

use crate::support::{
    ALERTS, BINARY, BUCKET, SECRET, SIGNATURE, TestLake, alert, counts, sign_with, start_function, start_s3,
};

/// The output of a function whose INIT fails in this environment.
async fn init_failure(env: &[(&str, &str)]) -> String {
    let function = Function::start(BINARY, env).await;
    let Err(output) = function.ready().await else { panic!("it started with {env:?}") };
    assert!(!function.exit_status().expect("a failed INIT must end the process").success(), "{output}");
    output
}

/// The line that names all these variables.
fn message<'a>(output: &'a str, variables: &[&str]) -> &'a str {
    let names_all = |line: &&str| variables.iter().all(|name| line.contains(name));
    output.lines().find(names_all).unwrap_or_else(|| panic!("no line with all of {variables:?} in {output}"))
}

#[tokio::test]
async fn without_configuration_the_message_says_what_to_set() {
    let output = init_failure(&[]).await;
    message(&output, &["LAKE_BUCKET", "TRACEBIT_SECRET", "TRACEBIT_SECRET_ARN"]);
    assert!(!output.contains("panicked"), "{output}");
}

#[tokio::test]
async fn one_message_names_every_mistake_and_no_value() {
    let output = init_failure(&[
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
async fn each_mistake_alone_fails_init() {
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
        let output = init_failure(&env).await;
        message(&output, &[name]);
        assert!(!output.contains(SECRET) && !output.contains("fifteen-bytes"), "{output}");
    }
}

#[tokio::test]
async fn an_empty_value_counts_as_unset() {
    let lake = TestLake::with_env(&[
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
async fn one_endpoint_can_serve_every_service() {
    let s3 = start_s3().await;
    let endpoint = s3.endpoint();
    let env = [("LAKE_BUCKET", BUCKET), ("TRACEBIT_SECRET", SECRET), ("AWS_ENDPOINT_URL", &endpoint)];
    let lake = TestLake { function: Function::start(BINARY, &env).await, s3 };
    assert_eq!(counts(&lake.deliver(alert().to_string()).await), [1, 0, 0]);
    assert_eq!(lake.records(ALERTS).len(), 1);
}

#[tokio::test]
async fn an_empty_endpoint_of_one_service_counts_as_unset() {
    let s3 = start_s3().await;
    let endpoint = s3.endpoint();
    let lake = TestLake::on(s3, &[("AWS_ENDPOINT_URL", &endpoint), ("AWS_ENDPOINT_URL_S3", "")]).await;
    let response = lake.deliver(alert().to_string()).await;
    assert_eq!(response.status, 200, "{}", lake.function.settled_output().await);
}

#[tokio::test]
async fn a_secret_of_sixteen_bytes_is_long_enough() {
    let secret = "sixteen-bytes-xy";
    let lake = TestLake::with_env(&[("TRACEBIT_SECRET", secret)]).await;
    let body = alert().to_string();
    let signature = sign_with(secret, &body);
    assert_eq!(lake.post(&[(SIGNATURE, &signature)], &body).await.status, 200);
}

#[tokio::test]
async fn an_odd_secret_is_named_at_init_and_not_shown() {
    let s3 = start_s3().await;
    let function = start_function(&s3, &[("TRACEBIT_SECRET", "\"0123456789abcdef\"")]).await;
    function.ready().await.unwrap();
    let output = function.output_with("the shared secret looks wrong: it stands in quotation marks").await;
    assert!(!output.contains("0123456789abcdef"), "{output}");
}
