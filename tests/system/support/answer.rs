//! Checks of the function's answers.

use data_encoding::BASE64;
use serde_json::json;
use tracebit_lake_harness::runtime_api::Response;

use super::{FAILURES, TestLake};

/// The counts in a 200: logs stored, duplicates, classification failures.
#[track_caller]
pub(crate) fn counts(response: &Response) -> [u64; 3] {
    assert_eq!(response.status, 200, "{response:?}");
    let body = response.json();
    let members = body.as_object().unwrap();
    assert_eq!(members.len(), 3, "{response:?}");
    ["stored", "duplicates", "failures"].map(|name| members[name].as_u64().unwrap())
}

#[track_caller]
pub(crate) fn assert_is_json(response: &Response) {
    assert_eq!(response.headers["content-type"], "application/json", "{response:?}");
    assert!(response.json().is_object(), "{response:?}");
}

/// Checks for the 202 of a delivery that waits in the spill queue.
#[track_caller]
pub(crate) fn assert_queued(response: &Response) {
    assert_eq!((response.status, response.json()), (202, json!({"queued": true})), "{response:?}");
}

/// Checks for a 503 that asks the sender to try again.
#[track_caller]
pub(crate) fn assert_unavailable(response: &Response) {
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.headers["retry-after"].parse::<u32>().is_ok(), "{response:?}");
    assert!(response.json()["error"].is_string(), "{response:?}");
}

/// Checks that `body` became the only classification failure of `lake`, unchanged, with an error that names `problem`.
pub(crate) async fn assert_kept(lake: &TestLake, headers: &[(&str, &str)], body: &[u8], problem: &str) {
    assert_eq!(counts(&lake.deliver_with(headers, body).await), [0, 0, 1], "{headers:?}");
    let record = lake.record(FAILURES);
    let error = record["error"].as_str().unwrap();
    assert!(error.contains(problem), "{headers:?}: {error}");
    assert!(record.get("log_type").is_none());
    let payload = record["payload"].as_str().unwrap();
    if let Ok(text) = std::str::from_utf8(body) {
        assert_eq!((record["payload_encoding"].as_str(), payload), (Some("utf-8"), text));
    } else {
        assert_eq!(record["payload_encoding"], "base64");
        assert!(payload == BASE64.encode(body), "{headers:?}: not the bytes as sent");
    }
}
