//! The four calls of the Runtime API, and the state that they keep of the function.

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::InvocationResult;
use crate::server::{Reply, reply, whole};

/// The state of the function. Every wait in the harness waits for a change of it.
#[derive(Default)]
pub(super) struct State {
    /// It has asked for an event at least once.
    pub(super) asked: bool,
    /// It is asking for an event now.
    pub(super) idle: bool,
    /// It reported that it could not start.
    pub(super) init_error: bool,
    /// An event that it has not taken yet.
    pub(super) offer: Option<Offer>,
    /// The id of the event that it is working on.
    pub(super) running: Option<String>,
    /// Its answer to that event.
    pub(super) answer: Option<InvocationResult>,
}

/// An event on its way to the function.
pub(super) struct Offer {
    pub(super) id: String,
    pub(super) event: Bytes,
    pub(super) deadline_ms: u128,
}

pub(super) async fn answer(state: watch::Sender<State>, request: Request<Incoming>) -> Option<Reply> {
    let request = whole(request).await?;
    let path = request.uri().path().trim_start_matches('/');
    let segments: Vec<&str> = path.split('/').collect();
    match (request.method(), segments.as_slice()) {
        (&Method::GET, ["2018-06-01", "runtime", "invocation", "next"]) => next(&state).await,
        (&Method::POST, ["2018-06-01", "runtime", "invocation", id, kind @ ("response" | "error")]) => {
            let text = || Value::from(String::from_utf8_lossy(request.body()));
            let body = serde_json::from_slice(request.body()).unwrap_or_else(|_| text());
            let answer = match *kind {
                "response" => InvocationResult::Response(body),
                _ => InvocationResult::Error(body),
            };
            Some(finish(&state, id, answer))
        }
        (&Method::POST, ["2018-06-01", "runtime", "init", "error"]) => {
            state.send_modify(|s| s.init_error = true);
            Some(json_reply(202, &json!({ "status": "OK" })))
        }
        _ => Some(json_reply(404, &json!({ "errorMessage": "no such call" }))),
    }
}

async fn next(state: &watch::Sender<State>) -> Option<Reply> {
    state.send_modify(|s| {
        s.asked = true;
        s.idle = true;
    });
    let mut changes = state.subscribe();
    loop {
        changes.wait_for(|s| s.offer.is_some()).await.ok()?;
        let mut taken = None;
        state.send_if_modified(|s| {
            taken = s.offer.take();
            if let Some(offer) = &taken {
                s.running = Some(offer.id.clone());
                s.idle = false;
            }
            taken.is_some()
        });
        // The offer may have been withdrawn in the meantime.
        if let Some(offer) = taken {
            return Some(hand_over(offer));
        }
    }
}

fn hand_over(offer: Offer) -> Reply {
    let mut reply = reply(200, "application/json", offer.event);
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";
    for (name, value) in [
        ("lambda-runtime-aws-request-id", offer.id),
        ("lambda-runtime-deadline-ms", offer.deadline_ms.to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:123456789012:function:tracebit-lake".to_owned(),
        ),
        ("lambda-runtime-trace-id", trace.to_owned()),
    ] {
        let value = HeaderValue::try_from(value).expect("a visible header value");
        reply.headers_mut().insert(name, value);
    }
    reply
}

fn finish(state: &watch::Sender<State>, id: &str, answer: InvocationResult) -> Reply {
    let awaited = state.send_if_modified(|s| {
        let awaited = s.running.as_deref() == Some(id);
        if awaited {
            s.running = None;
            s.answer = Some(answer);
        }
        awaited
    });
    if awaited {
        json_reply(202, &json!({ "status": "OK" }))
    } else {
        json_reply(410, &json!({ "errorMessage": "not awaited", "errorType": "Gone" }))
    }
}

fn json_reply(status: u16, body: &Value) -> Reply {
    reply(status, "application/json", body.to_string())
}
