//! Logs in the form that Tracebit sends.

use serde_json::{Value, json};

/// Table of [`alert`]s.
pub(crate) const ALERTS: &str = "tracebit_alert";
/// Table of [`health_check`]s.
pub(crate) const HEALTH_CHECKS: &str = "tracebit_healthcheck";
/// Table of the classification failures.
pub(crate) const FAILURES: &str = "classification_failures";

/// An alert: somebody has read a canary bucket.
pub(crate) fn alert() -> Value {
    alert_with_id("log-1")
}

/// The same alert with another id.
pub(crate) fn alert_with_id(id: &str) -> Value {
    json!({
        "discriminator": {"type": "tracebit_alert_log", "subtype": "canary_resource_accessed"},
        "id": id,
        "alert_id": "alert-1",
        "tracebit_portal_url": "https://portal.tracebit.example/alerts/alert-1",
        "timestamp": "2026-11-22T09:59:59.123456Z",
        "provider": "aws",
        "message": "alice read a canary bucket",
        "severity": "High",
        "canary_credential": null,
        "canary": {
            "name": "backups",
            "type": "s3_bucket",
            "aws": {"account_id": "123456789012", "arn": "arn:aws:s3:::backups-canary"},
        },
        "principal": {
            "id": "AROAEXAMPLE:alice@example.com",
            "aws": {
                "arn": "arn:aws:sts::210987654321:assumed-role/Admin/alice@example.com",
                "type": "AssumedRole",
                "account_id": "210987654321",
                "username": "alice",
            },
        },
        "event": {
            "operation": "GetObject",
            "request": {"user_agent": {"raw": "aws-cli/2.0"}, "ip": "192.0.2.1"},
            "resources": [{"id": "arn:aws:s3:::backups-canary", "type": "AWS::S3::Bucket"}],
        },
    })
}

/// The alert with another value at `path`, a JSON pointer; `None` removes the member.
pub(crate) fn altered_alert(path: &str, value: Option<Value>) -> Value {
    let mut log = alert();
    let (object, member) = path.rsplit_once('/').unwrap();
    let members = log.pointer_mut(object).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => drop(members.insert(member.to_owned(), value)),
        None => drop(members.remove(member).unwrap()),
    }
    log
}

/// The alert with another timestamp, as text.
pub(crate) fn alert_at(timestamp: &str) -> String {
    altered_alert("/timestamp", Some(json!(timestamp))).to_string()
}

/// A health check. Another timestamp makes it another log.
pub(crate) fn health_check(timestamp: &str) -> Value {
    json!({
        "discriminator": {"type": "health_check", "subtype": "integration"},
        "timestamp": timestamp,
        "is_healthy": true,
    })
}
