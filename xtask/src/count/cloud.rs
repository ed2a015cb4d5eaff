//! The services that a function needs, and the events that it gets.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tracebit_lake::core::signature::{HEADER, Secret};
use tracebit_lake_harness::{
    DEVELOPMENT_SECRET,
    eventbridge::EventBridge,
    function_url,
    s3::S3,
    secrets_manager::{ARN, SecretsManager},
    sns::{Sns, TOPIC_ARN},
    sqs,
};

use super::callgrind::Step;

const BUCKET: &str = "lake";
const ALERT: &str = include_str!("../../../events/logs/alert-aws.json");

/// S3 with a bucket, Secrets Manager with a secret, SNS and EventBridge.
pub(super) struct Cloud {
    s3: S3,
    environment: Vec<(&'static str, String)>,
    _secrets: SecretsManager,
    _sns: Sns,
    _bus: EventBridge,
}

impl Cloud {
    pub(super) async fn start() -> Self {
        let s3 = S3::start().await;
        s3.create_bucket(BUCKET);
        let secrets = SecretsManager::start().await;
        secrets.set(DEVELOPMENT_SECRET, None);
        let (sns, bus) = (Sns::start().await, EventBridge::start().await);
        let environment = vec![
            ("LAKE_BUCKET", BUCKET.to_owned()),
            ("TRACEBIT_SECRET_ARN", ARN.to_owned()),
            ("ALERT_TOPIC_ARN", TOPIC_ARN.to_owned()),
            ("AWS_ENDPOINT_URL_S3", s3.endpoint()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()),
            ("AWS_ENDPOINT_URL_SNS", sns.endpoint()),
            ("AWS_ENDPOINT_URL_EVENTBRIDGE", bus.endpoint()),
        ];
        Self { s3, environment, _secrets: secrets, _sns: sns, _bus: bus }
    }

    /// The environment of every function.
    pub(super) fn environment(&self) -> Vec<(&str, &str)> {
        self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// Messages for the notifier, one for each object of the lake.
    pub(super) fn notifications(&self) -> Result<Vec<Step>> {
        let objects = self.s3.objects(BUCKET);
        ensure!(!objects.is_empty(), "the lake is empty");
        Ok(objects.keys().map(|key| Step { event: notification(key), is_expected: is_taken }).collect())
    }
}

/// An alert that was never sent before, signed.
pub(super) fn delivery() -> Step {
    let body = alert();
    Step { event: event(&body, &body), is_expected: |answer| answer["statusCode"] == 200 }
}

/// The same with the signature of another body. The first one makes the function look for a new secret (401), and those
/// that follow in the next seconds do not (503).
pub(super) fn forgery() -> Step {
    let is_expected = |answer: &Value| answer["statusCode"] == 401 || answer["statusCode"] == 503;
    Step { event: event(&alert(), "another body"), is_expected }
}

fn event(body: &str, signed: &str) -> String {
    #[expect(clippy::expect_used, reason = "a secret of the harness")]
    let secret = Secret::new(DEVELOPMENT_SECRET).expect("a secret");
    let signature = secret.sign(signed.as_bytes()).to_hex();
    let headers = [("content-type", "application/json"), ("user-agent", "tracebit/1"), (HEADER, &signature)];
    function_url::event("POST", &headers, body.as_bytes()).to_string()
}

/// Every alert is another one, and all have the same length.
fn alert() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    #[expect(clippy::expect_used, reason = "a sample of events/")]
    let mut alert: serde_json::Map<_, _> = serde_json::from_str(ALERT).expect("an alert");
    alert.insert("id".to_owned(), json!(format!("5d3c8a52-0a4e-4a53-9f57-{number:012x}")));
    alert.insert("alert_id".to_owned(), json!(format!("alert-{number:012x}")));
    Value::Object(alert).to_string()
}

fn notification(key: &str) -> String {
    let detail = json!({"bucket": {"name": BUCKET}, "object": {"key": key, "size": 2000}, "reason": "PutObject"});
    let message = json!({"version": "0", "detail-type": "Object Created", "source": "aws.s3", "detail": detail});
    sqs::event(&[message.to_string()]).to_string()
}

fn is_taken(answer: &Value) -> bool {
    answer["batchItemFailures"].as_array().is_some_and(Vec::is_empty)
}
