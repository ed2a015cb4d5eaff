//! EventBridge over AWS JSON 1.1: a bus, whose events a test can read.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{
    fault::{ErrorReplies, Faults},
    front::Front,
    server::{LOOPBACK, Reply, error_reply, header, is_signed, json_reply, reply, unique_id},
};

/// The limits of a `PutEvents` call: entries, and bytes of all of them.
const MAX_ENTRIES: usize = 10;
const MAX_BYTES: usize = 256 * 1024;

/// An event on the bus.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The bus that the client named.
    pub bus: String,
    /// `Source`.
    pub source: String,
    /// `DetailType`.
    pub detail_type: String,
    /// `Detail`, read.
    pub detail: Value,
}

/// An event bus on loopback. Dropping it closes its port.
pub struct EventBridge {
    bus: Arc<Bus>,
    front: Front,
}

#[derive(Default)]
struct Bus {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: Vec<Event>,
    calls: usize,
    /// The codes of entries to come that are refused one by one.
    refused: Vec<&'static str>,
}

impl EventBridge {
    /// Starts with an empty bus.
    pub async fn start() -> Self {
        let bus = Arc::<Bus>::default();
        let front = Front::start(LOOPBACK, Arc::clone(&bus), Bus::answer).await;
        Self { bus, front }
    }

    /// Every event that was put.
    pub fn events(&self) -> Vec<Event> {
        self.bus.state(|state| state.events.clone())
    }

    /// How many `PutEvents` calls were performed.
    pub fn calls(&self) -> usize {
        self.bus.state(|state| state.calls)
    }

    /// Refuses the next `n` entries with this code, in answers with status 200.
    pub fn refuse_entries(&self, n: usize, code: &'static str) {
        self.bus.state(|state| state.refused.extend(std::iter::repeat_n(code, n)));
    }
}

impl Deref for EventBridge {
    type Target = Front;

    fn deref(&self) -> &Front {
        &self.front
    }
}

/// Its replies have no checksum, so a body that is cut short replaces the wrong one.
const ERRORS: ErrorReplies =
    ErrorReplies { error: error_reply, wrong_checksum: || reply(200, "application/x-amz-json-1.1", "{\"Entries\":") };

impl Bus {
    async fn answer(self: Arc<Self>, faults: Arc<Faults>, request: Request<Incoming>) -> Option<Reply> {
        if header(&request, "x-amz-target") != "AWSEvents.PutEvents" {
            return Some(error_reply(400, "UnknownOperationException"));
        }
        faults.apply(request, &ERRORS, async |request| Some(self.put(&request))).await
    }

    fn put(&self, request: &Request<Bytes>) -> Reply {
        if !is_signed(request) {
            return error_reply(400, "UnrecognizedClientException");
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let entries = body["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        let bytes: usize = entries.iter().map(size).sum();
        if !(1..=MAX_ENTRIES).contains(&entries.len()) || bytes > MAX_BYTES {
            return error_reply(400, "ValidationException");
        }
        self.state(|state| {
            state.calls += 1;
            let results: Vec<_> = entries.iter().map(|entry| state.accept(entry)).collect();
            let failed = results.iter().filter(|result| result.get("ErrorCode").is_some()).count();
            json_reply(200, &json!({ "FailedEntryCount": failed, "Entries": results }))
        })
    }

    fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn accept(&mut self, entry: &Value) -> Value {
        let refuse =
            |code: &str| json!({ "ErrorCode": code, "ErrorMessage": format!("{code}, from the test harness") });
        if let Some(code) = self.refused.pop() {
            return refuse(code);
        }
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let Ok(detail @ Value::Object(_)) = serde_json::from_str(&text("Detail")) else {
            return refuse("MalformedDetail");
        };
        let bus = entry["EventBusName"].as_str().unwrap_or("default").to_owned();
        self.events.push(Event { bus, source: text("Source"), detail_type: text("DetailType"), detail });
        json!({ "EventId": unique_id() })
    }
}

/// The size of an entry as EventBridge counts it.
fn size(entry: &Value) -> usize {
    ["Source", "DetailType", "Detail"].iter().map(|name| entry[name].as_str().unwrap_or_default().len()).sum()
}
