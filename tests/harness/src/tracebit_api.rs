//! Tracebit's API: the list of alerts and their logs, page by page.
//!
//! Source: Tracebit's Community `OpenAPI` 3.1, v1.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, header::AUTHORIZATION};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{
    fault::{ErrorReplies, Faults},
    front::Front,
    server::{LOOPBACK, Reply, header, reply},
};

/// The token that the API wants.
pub const TOKEN: &str = "token-of-the-harness";

/// How many alerts the API lists at most.
const MAX_LISTED: usize = 1000;

/// The API on loopback. Dropping it closes its port.
pub struct TracebitApi {
    api: Arc<Api>,
    front: Front,
}

#[derive(Default)]
struct Api {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    alerts: Vec<Value>,
    logs: BTreeMap<String, Vec<Value>>,
    /// Logs on a page, or all if it is 0.
    page: usize,
    /// Answers to the next requests, in place of the right ones.
    canned: VecDeque<Canned>,
    requests: Vec<Asked>,
}

struct Canned {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

/// A request that the API got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Path and query.
    pub path: String,
    /// The `Authorization` header.
    pub authorization: String,
}

impl TracebitApi {
    /// Starts an API without alerts.
    pub async fn start() -> Self {
        let api = Arc::<Api>::default();
        let front = Front::start(LOOPBACK, Arc::clone(&api), Api::answer).await;
        Self { api, front }
    }

    /// Adds an alert with these logs, which have the members that the API gives.
    pub fn add(&self, alert: Value, logs: Vec<Value>) {
        let id = alert["id"].as_str().unwrap_or_default().to_owned();
        let mut state = self.api.state();
        state.alerts.push(alert);
        state.logs.entry(id).or_default().extend(logs);
    }

    /// Puts so many logs on a page.
    pub fn set_page(&self, logs: usize) {
        self.api.state().page = logs;
    }

    /// Answers the next request with this, after the answers that are due already.
    pub fn answer_next(&self, status: u16, headers: &[(&'static str, &str)], body: &str) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.api.state().canned.push_back(Canned { status, headers, body: body.to_owned() });
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Asked> {
        self.api.state().requests.clone()
    }
}

impl Deref for TracebitApi {
    type Target = Front;

    fn deref(&self) -> &Front {
        &self.front
    }
}

/// Its answers have no checksum, so HTML replaces the wrong one.
const ERRORS: ErrorReplies = ErrorReplies {
    error: |status, code| reply(status, "text/plain", format!("{code}, from the test harness")),
    wrong_checksum: || reply(200, "text/html", "<html>Sign in</html>"),
};

impl Api {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self: Arc<Self>, faults: Arc<Faults>, request: Request<Incoming>) -> Option<Reply> {
        faults.apply(request, &ERRORS, async |request| Some(self.serve(&request))).await
    }

    fn serve(&self, request: &Request<Bytes>) -> Reply {
        let mut state = self.state();
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let authorization = header(request, AUTHORIZATION.as_str()).to_owned();
        state.requests.push(Asked { path: path.clone(), authorization: authorization.clone() });
        if let Some(Canned { status, headers, body }) = state.canned.pop_front() {
            let mut answer = reply(status, "application/json", body);
            for (name, value) in headers {
                let value = HeaderValue::from_str(&value).expect("a header value");
                answer.headers_mut().insert(HeaderName::from_static(name), value);
            }
            return answer;
        }
        if authorization != format!("Bearer {TOKEN}") {
            return reply(401, "text/plain", "Unauthorized");
        }
        if path == "/api/v1/alerts?order=desc" {
            let mut alerts = state.alerts.clone();
            alerts.sort_by_key(|alert| std::cmp::Reverse(alert["start_time"].as_str().unwrap_or_default().to_owned()));
            alerts.truncate(MAX_LISTED);
            return json_answer(&json!({ "alerts": alerts }));
        }
        match state.logs_page(&path, header(request, "host")) {
            Some(page) => json_answer(&page),
            None => reply(404, "text/plain", "Not found"),
        }
    }
}

impl State {
    /// A page of an alert's logs, the last ones first.
    fn logs_page(&self, path: &str, host: &str) -> Option<Value> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let id = path.strip_prefix("/api/v1/alerts/")?.strip_suffix("/logs")?;
        let mut logs = self.logs.get(id)?.clone();
        logs.reverse();
        if let Some(before) = query.split('&').find_map(|pair| pair.strip_prefix("beforeLog=")) {
            let at = logs.iter().position(|log| log["id"] == before)?;
            logs.drain(..=at);
        }
        let is_last = self.page == 0 || logs.len() <= self.page;
        if !is_last {
            logs.truncate(self.page);
        }
        let last = logs.last().and_then(|log| log["id"].as_str()).unwrap_or_default();
        let next = (!is_last).then(|| format!("http://{host}{path}?beforeLog={last}"));
        Some(json!({ "logs": logs, "next_page": next }))
    }
}

fn json_answer(body: &Value) -> Reply {
    reply(200, "application/json", body.to_string())
}
