//! The HTTP edge: a function-URL event (payload format 2.0) becomes a delivery, and what became of it becomes a
//! response.
//!
//! `lambda_http` reads such events too, but it panics on a body that is not base64, and it fails an event for a header
//! with a control character. Here a broken event gets an error that says what was expected, and only the two headers
//! that count are read.
//!
//! Source of the format: AWS's documentation, "Invoking Lambda function URLs".

use std::{fmt, time::Instant};

use chrono::{DateTime, Utc};
use data_encoding::BASE64;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Value, json};

use super::{
    app::App,
    outcome::{Ingested, Outcome, PayloadReport},
    report::{self, Report},
};
use crate::{
    aws::{Deadline, Invocation, invocation::Event, secrets::Refused},
    core::{
        delivery::{Delivery, Header},
        redacted::Redacted,
        signature::{HEADER, SignatureError},
    },
};

/// When to come back after a 503, in seconds.
const RETRY_AFTER: &str = "30";

/// Answers one request before the invocation's deadline.
pub async fn handle(app: &App, event: HttpEvent, invocation: &Invocation) -> ApiGatewayV2httpResponse {
    let started = Instant::now();
    let delivery = event.into_post(Utc::now());
    let ingested = match &delivery {
        Some(delivery) => Some(app.ingest(delivery, invocation.deadline()).await),
        None => None,
    };
    let outcome = ingested.as_ref().map(|ingested| &ingested.outcome);
    if let Some(problem) = outcome.and_then(Outcome::problem) {
        tracing::error!("{problem}");
    }
    let report = Report {
        request_id: &invocation.request_id,
        message_id: None,
        outcome: outcome.map_or("method not allowed", Outcome::label),
        reason: delivery.zip(outcome).and_then(|(delivery, outcome)| reason(&delivery, outcome)),
        duration: started.elapsed(),
        ingested: ingested.as_ref(),
    };
    report::write(&report, app);
    respond(ingested.as_ref())
}

/// Why a request was refused, for the log.
fn reason(delivery: &Delivery, outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Refused(Refused::Unauthorized(error @ SignatureError::Mismatch)) => {
            Some(delivery.sign_of_change().map_or_else(|| error.to_string(), |sign| format!("{error}: {sign}")))
        }
        Outcome::Refused(Refused::Unauthorized(error)) => Some(error.to_string()),
        Outcome::Refused(Refused::TooSoon) => delivery.sign_of_change().map(|sign| format!("mismatch: {sign}")),
        _ => None,
    }
}

/// Stores the delivery of a `POST`. `None` if the request has another method.
pub async fn ingest(app: &App, event: HttpEvent, deadline: Deadline) -> Option<Ingested<'_>> {
    let delivery = event.into_post(Utc::now())?;
    Some(app.ingest(&delivery, deadline).await)
}

/// A request to the function URL.
pub struct HttpEvent {
    method: Method,
    headers: Headers,
    body: Redacted<Vec<u8>>,
}

impl fmt::Debug for HttpEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpEvent({} {:?})", self.method, self.body)
    }
}

impl Event for HttpEvent {
    const EXPECTED: &'static str = "this event is not a request to a Lambda function URL (payload format 2.0): expected \
        requestContext.http.method, headers, body and isBase64Encoded; events/ in the project has one of each kind to \
        try, and `cargo run --package tracebit-lake-tools -- sign --event FILE` makes one from any file";
}

impl HttpEvent {
    /// The delivery that a `POST` carries. `None` if the request has another method.
    #[must_use]
    pub fn into_post(self, received: DateTime<Utc>) -> Option<Delivery> {
        (self.method == Method::POST).then(|| Delivery {
            received,
            signature: self.headers.signature.signature(),
            is_labelled_compressed: self.headers.content_encoding.names_compression(),
            body: self.body,
        })
    }
}

/// The two headers that count. The others are not kept, so that their number does not matter.
#[derive(Debug, Default)]
struct Headers {
    signature: Header,
    content_encoding: Header,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionUrlEvent {
    request_context: RequestContext,
    #[serde(default)]
    headers: Headers,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
struct RequestContext {
    http: HttpContext,
}

#[derive(Deserialize)]
struct HttpContext {
    method: String,
}

impl<'de> Deserialize<'de> for HttpEvent {
    /// Fails with a message that says what was expected, and does not show what was found.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = FunctionUrlEvent::deserialize(deserializer).map_err(|_| D::Error::custom(Self::EXPECTED))?;
        event.into_http().ok_or_else(|| D::Error::custom(Self::EXPECTED))
    }
}

impl FunctionUrlEvent {
    fn into_http(self) -> Option<HttpEvent> {
        let body = match self.body {
            Some(text) if self.is_base64_encoded => BASE64.decode(text.as_bytes()).ok()?,
            Some(text) => text.into_bytes(),
            None => Vec::new(),
        };
        let method = Method::from_bytes(self.request_context.http.method.as_bytes()).ok()?;
        Some(HttpEvent { method, headers: self.headers, body: Redacted(body) })
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of headers")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<Headers, A::Error> {
                let mut headers = Headers::default();
                while let Some((name, value)) = members.next_entry::<String, Value>()? {
                    // AWS sends texts. Anything else is no header that counts, and must not fail the event.
                    let Value::String(value) = value else { continue };
                    if name.eq_ignore_ascii_case(HEADER) {
                        headers.signature.add(value);
                    } else if name.eq_ignore_ascii_case(header::CONTENT_ENCODING.as_str()) {
                        headers.content_encoding.add(value);
                    }
                }
                Ok(headers)
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

/// The one table from what became of a request to the response.
#[must_use]
pub fn respond(ingested: Option<&Ingested<'_>>) -> ApiGatewayV2httpResponse {
    let Some(ingested) = ingested else { return method_not_allowed() };
    match (&ingested.outcome, &ingested.payload) {
        (Outcome::Stored, Some(PayloadReport { stored, duplicates, failures, .. })) => {
            response(StatusCode::OK, &json!({"stored": stored, "duplicates": duplicates, "failures": failures}))
        }
        (Outcome::Queued(_), _) => response(StatusCode::ACCEPTED, &json!({"queued": true})),
        (Outcome::Refused(Refused::Unauthorized(_)), _) => error(
            StatusCode::UNAUTHORIZED,
            "The X-Tracebit-Signature-256 header must hold the HMAC-SHA256 of the body under the shared secret.",
        ),
        _ => {
            let text = "The delivery is not stored. Send it again.";
            with_header(error(StatusCode::SERVICE_UNAVAILABLE, text), header::RETRY_AFTER, RETRY_AFTER)
        }
    }
}

fn method_not_allowed() -> ApiGatewayV2httpResponse {
    with_header(error(StatusCode::METHOD_NOT_ALLOWED, "Send a POST request."), header::ALLOW, "POST")
}

fn error(status: StatusCode, message: &str) -> ApiGatewayV2httpResponse {
    response(status, &json!({"error": message}))
}

fn response(status: StatusCode, body: &Value) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = status.as_u16().into();
    response.body = Some(body.to_string().into());
    with_header(response, header::CONTENT_TYPE, "application/json")
}

fn with_header(
    mut response: ApiGatewayV2httpResponse,
    name: header::HeaderName,
    value: &'static str,
) -> ApiGatewayV2httpResponse {
    let mut headers: HeaderMap = std::mem::take(&mut response.headers);
    headers.insert(name, HeaderValue::from_static(value));
    response.headers = headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(event: &Value) -> Result<HttpEvent, String> {
        serde_json::from_str(&event.to_string()).map_err(|error| error.to_string())
    }

    fn delivery(event: &Value) -> Delivery {
        parse(event).unwrap().into_post(Utc::now()).unwrap()
    }

    #[test]
    fn text_and_base64_bodies_become_the_senders_bytes() {
        for (body, is_base64) in [("é\"\n", false), ("w6kiCg==", true)] {
            let delivery = delivery(&json!({
                "version": "2.0",
                "headers": {"X-Any": "value", "Content-encoding": "gzip"},
                "requestContext": {"http": {"method": "POST", "path": "/"}},
                "body": body,
                "isBase64Encoded": is_base64,
            }));
            assert_eq!(*delivery.body, "é\"\n".as_bytes());
            assert!(delivery.is_labelled_compressed);
            assert_eq!(delivery.signature.unwrap_err(), SignatureError::Missing);
        }
    }

    #[test]
    fn odd_headers_are_ignored_whatever_their_number() {
        let mut headers: serde_json::Map<String, Value> = (0..100_000).map(|n| (format!("h{n}"), json!("x"))).collect();
        headers.insert("bad name".to_owned(), json!("a\u{1}b"));
        let event = json!({"requestContext": {"http": {"method": "POST"}}, "headers": headers});
        assert_eq!(delivery(&event).signature.unwrap_err(), SignatureError::Missing);
    }

    #[test]
    fn an_event_without_a_body_has_an_empty_one() {
        assert!(delivery(&json!({"requestContext": {"http": {"method": "POST"}}})).body.is_empty());
    }

    #[test]
    fn other_events_get_an_error_that_says_what_was_expected() {
        let context = json!({"http": {"method": "POST"}});
        for event in [
            json!({"key1": "value1", "key2": "value2"}),
            json!({"Records": [{"eventSource": "aws:sqs", "body": "private"}]}),
            json!({"httpMethod": "POST", "headers": {}, "body": "private", "requestContext": {}}),
            json!({"requestContext": context, "body": "not base64!", "isBase64Encoded": true}),
            json!({"requestContext": context, "headers": ["private"]}),
            json!({"requestContext": {"http": {"method": "B A D"}}}),
            json!("private"),
            json!(null),
        ] {
            let error = parse(&event).unwrap_err();
            assert!(error.contains("events/") && error.contains("payload format 2.0"), "{error}");
            assert!(!error.contains("private"), "{error}");
        }
    }
}
