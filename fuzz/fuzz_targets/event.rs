//! No event makes the function panic, and an event that is not a request gets an error that shows nothing of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracebit_lake::{aws::sqs_event::SqsEvent, ingest::webhook::HttpEvent};

fuzz_target!(|event: &[u8]| {
    let parsed = serde_json::from_slice::<HttpEvent>(event);
    if let (Err(error), Ok(_)) = (parsed, serde_json::from_slice::<serde_json::Value>(event)) {
        let error = error.to_string();
        assert!(error.contains("events/") && error.len() < 400, "{error}");
    }
    let _ = serde_json::from_slice::<SqsEvent>(event);
});
