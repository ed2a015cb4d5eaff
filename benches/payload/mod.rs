//! Payloads of alerts, signed, for what measures the steps between the request and the store.

use std::hint::black_box;

use tracebit_lake::core::signature::{Secret, Signature, Verified, verify};

pub(crate) const ALERT: &str = include_str!("../../events/logs/alert-aws.json");

/// A body with its signature.
pub(crate) struct Delivery {
    pub(crate) body: Vec<u8>,
    signature: Signature,
    secret: Secret,
}

impl Delivery {
    pub(crate) fn of(body: Vec<u8>) -> Self {
        let secret = Secret::new("a secret for benchmarks").unwrap();
        Self { signature: secret.sign(&body), secret, body }
    }

    pub(crate) fn verified(&self) -> Verified<'_> {
        verify(black_box(&self.body), &self.signature, std::slice::from_ref(&self.secret)).unwrap()
    }
}

/// Different alerts, a line each, up to so many bytes; at least one.
pub(crate) fn alerts(bytes: usize) -> Vec<u8> {
    let alert: serde_json::Value = serde_json::from_str(ALERT).unwrap();
    let line = format!("{alert}\n");
    let id = alert["id"].as_str().unwrap();
    let lines =
        (0..(bytes / line.len()).max(1)).map(|n| line.replace(id, &format!("5d3c8a52-0a4e-4a53-9f57-{n:012x}")));
    lines.collect::<String>().into_bytes()
}
