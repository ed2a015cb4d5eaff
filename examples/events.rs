//! Rewrites `events/*.json` from `events/logs/`, signed with the development secret. Run it after a change of either.
#![allow(clippy::print_stdout, reason = "its output is for a person")]
#![allow(clippy::indexing_slicing, reason = "a member of a Value that is not there is made")]

use std::{error::Error, fs, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tracebit_lake::signature::Secret;
use tracebit_lake_harness::{DEVELOPMENT_SECRET, function_url};

fn main() -> Result<(), Box<dyn Error>> {
    for name in [
        "alert-aws",
        "alert-azure",
        "alert-credential-used",
        "alert-google-cloud",
        "alert-okta",
        "health-check",
        "health-check-unhealthy",
        "unclassifiable",
    ] {
        write(name, &[], &log(name)?, DEVELOPMENT_SECRET)?;
    }

    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&serde_json::to_vec(&later("alert-okta", "2026-11-21T15:00:00Z")?)?)?;
    write("gzip", &[("content-encoding", "gzip")], &gzip.finish()?, DEVELOPMENT_SECRET)?;

    // An array of two alerts, a health check and one element that is no log.
    let batch = json!([
        later("alert-aws", "2026-11-21T16:00:00Z")?,
        later("alert-aws", "2026-11-21T16:00:07Z")?,
        later("health-check", "2026-11-21T17:00:00Z")?,
        "not a log",
    ]);
    write("batch", &[], &serde_json::to_vec(&batch)?, DEVELOPMENT_SECRET)?;

    write("wrong-signature", &[], &log("alert-aws")?, "a secret that nobody here knows")
}

fn log(name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let path = format!("events/logs/{name}.json");
    Ok(fs::read(&path).map_err(|error| format!("{path}: {error}"))?)
}

/// The same alert or check at another time, and so another log.
fn later(name: &str, timestamp: &str) -> Result<Value, Box<dyn Error>> {
    let mut log: Value = serde_json::from_slice(&log(name)?)?;
    log["timestamp"] = json!(timestamp);
    Ok(log)
}

fn write(name: &str, headers: &[(&str, &str)], body: &[u8], secret: &str) -> Result<(), Box<dyn Error>> {
    let signature = Secret::new(secret)?.sign(body).to_hex();
    let mut headers = headers.to_vec();
    headers.extend([
        ("content-type", "application/json"),
        ("user-agent", "tracebit-lake-events/1"),
        ("x-amzn-trace-id", "Root=1-69200000-0123456789abcdef01234567"),
        ("x-tracebit-signature-256", &signature),
    ]);
    let mut event = function_url::event("POST", &headers, body);
    // What would differ from run to run.
    event["requestContext"]["requestId"] = json!("00000000-0000-4000-8000-000000000000");
    event["requestContext"]["time"] = json!("21/Nov/2026:06:00:00 +0000");
    event["requestContext"]["timeEpoch"] = json!(1_795_240_800_000_u64);

    let path = format!("events/{name}.json");
    fs::write(&path, format!("{:#}\n", Value::Object(event.as_object().cloned().unwrap_or_default())))?;
    println!("{path}");
    Ok(())
}
