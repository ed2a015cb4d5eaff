//! What is sent: signed alerts, forged ones, and batches.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::atomic::{AtomicU64, Ordering};
use tracebit_lake_harness::{DEVELOPMENT_SECRET, function_url};

/// An alert as Tracebit sends them; about 2 KB.
const ALERT: &str = include_str!("../../../events/logs/alert-aws.json");

/// The large batch, in bytes of payload.
pub(crate) const BATCH_BYTES: usize = 6_000_000;

/// The batch of many logs: the most of one table and hour that tracebit-lake stores as an object each.
pub(crate) const BATCH_LOGS: usize = 500;

/// The event of one alert that was never sent before, signed.
pub(crate) fn alert() -> String {
    signed(&unique_alert())
}

/// The same, signed with another secret.
pub(crate) fn forgery() -> String {
    let body = unique_alert();
    event(body.as_bytes(), &signature("a secret that nobody shares", body.as_bytes()))
}

/// The event of [`BATCH_BYTES`] of alerts, a line each, signed.
pub(crate) fn large_batch() -> String {
    let mut body = String::with_capacity(BATCH_BYTES + ALERT.len());
    while body.len() < BATCH_BYTES {
        body.push_str(&unique_alert());
        body.push('\n');
    }
    signed(&body)
}

/// The event of [`BATCH_LOGS`] alerts, a line each, signed.
pub(crate) fn batch_of_logs() -> String {
    signed(&(0..BATCH_LOGS).map(|_| unique_alert() + "\n").collect::<String>())
}

fn unique_alert() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut alert: Value = serde_json::from_str(ALERT).expect("a sample of events/");
    alert["id"] = json!(format!("5d3c8a52-0a4e-4a53-9f57-{:012x}", NEXT.fetch_add(1, Ordering::Relaxed)));
    alert.to_string()
}

fn signed(body: &str) -> String {
    event(body.as_bytes(), &signature(DEVELOPMENT_SECRET, body.as_bytes()))
}

fn signature(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    HEXLOWER.encode(&mac.chain_update(body).finalize().into_bytes())
}

fn event(body: &[u8], signature: &str) -> String {
    let headers = [
        ("content-type", "application/json"),
        ("user-agent", "tracebit-lake-cold-start/1"),
        ("x-tracebit-signature-256", signature),
    ];
    function_url::event("POST", &headers, body).to_string()
}
