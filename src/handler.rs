//! The walk of one delivery, and the answers.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use chrono::Utc;
use http::{HeaderValue, Method, StatusCode, header};
use lambda_http::Response;
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::{
    config::{Config, Source},
    event::Event,
    key::Prefix,
    lot::{self, Lot},
    metrics::{Delivery, Metrics, Outcome, Report},
    payload,
    record::{Failure, Origin},
    schema::{SchemaError, Schemas},
    secrets::{SecretError, Secrets},
    signature::{Signature, Verified},
    store::{Put, Store, StoreError},
};

/// What is kept of an invocation's time for the answer itself: a tenth, within these bounds.
const ANSWER_TIME: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// What making the secret and the connection ready may take of INIT's ten seconds.
const WARM_UP_TIME: Duration = Duration::from_secs(3);

/// When to come back after a 503, in seconds.
const RETRY_AFTER: &str = "30";

/// What Lambda says of an invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Its request id.
    pub request_id: String,
    /// When Lambda ends it.
    pub deadline: SystemTime,
}

impl Invocation {
    /// The moment by which everything but the answer must be done.
    fn until(&self) -> Instant {
        let left = self.deadline.duration_since(SystemTime::now()).unwrap_or_default();
        let (least, most) = ANSWER_TIME;
        Instant::now() + left.saturating_sub((left / 10).clamp(least, most))
    }
}

/// The function cannot start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// An embedded schema is wrong.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The secret that the configuration names cannot be used.
    #[error("TRACEBIT_SECRET_ARN: {0}")]
    Secret(#[from] SecretError),
}

/// Why a delivery was not stored.
enum Refusal {
    Method,
    Unauthorized,
    Secret(SecretError),
    Store(StoreError),
}

/// The body of a 200.
#[derive(Serialize)]
struct Counts {
    stored: usize,
    duplicates: usize,
    failures: usize,
}

/// Everything that is made once, at INIT, and serves every delivery.
#[derive(Debug)]
pub struct Lake {
    schemas: Schemas,
    prefix: Prefix,
    source: Source,
    max_payload_bytes: usize,
    secrets: Secrets,
    store: Store,
    metrics: Metrics,
}

impl Lake {
    /// Builds the clients and makes the secret and the connection to S3 ready, side by side.
    ///
    /// # Errors
    /// [`InitError`] for what no later attempt can mend.
    pub async fn init(config: Config, sdk: &SdkConfig, metrics: Metrics) -> Result<Self, InitError> {
        let store = Store::new(sdk, &config);
        let secrets = Secrets::new(sdk, config.secret);
        let schemas = Schemas::embedded()?;
        let warm_up = async { tokio::join!(secrets.warm(), store.warm()) };
        match timeout(WARM_UP_TIME, warm_up).await {
            Ok((secret, ())) => secret?,
            Err(_) => tracing::warn!("start-up ends before everything is ready; the first delivery tries again"),
        }
        Ok(Self {
            schemas,
            prefix: config.prefix,
            source: config.source,
            max_payload_bytes: config.max_payload_bytes,
            secrets,
            store,
            metrics,
        })
    }

    /// Answers one request, before the invocation's deadline.
    pub async fn handle(&self, event: Event, invocation: Invocation) -> Response<String> {
        let started = Instant::now();
        let mut delivery = None;
        let result = self.deliver(&event.0, &invocation, &mut delivery).await;
        let (outcome, response) = match &result {
            Ok(counts) => (Outcome::Stored, answer(StatusCode::OK, counts)),
            Err(refusal) => refuse(refusal),
        };
        self.metrics.write(Report {
            request_id: invocation.request_id,
            outcome,
            duration: started.elapsed(),
            delivery,
        });
        response
    }

    async fn deliver(
        &self,
        request: &http::Request<Vec<u8>>,
        invocation: &Invocation,
        report: &mut Option<Delivery>,
    ) -> Result<Counts, Refusal> {
        let until = invocation.until();
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        let signature = Signature::of(request.headers()).ok_or(Refusal::Unauthorized)?;
        let body = self.secrets.verify(request.body(), &signature, until).await.map_err(Refusal::Secret)?;
        let body = body.ok_or(Refusal::Unauthorized)?;

        let report = report.insert(Delivery { payload_bytes: body.bytes().len(), ..Delivery::default() });
        let Lot { objects, repeats, failures } = self.lot(body, request.headers());
        report.keys = objects.iter().map(|object| object.key.clone()).collect();
        report.failures = failures;
        report.duplicates = repeats;

        let contents: Vec<_> = objects.iter().map(|object| (object.logs, object.tally.clone())).collect();
        let started = Instant::now();
        let puts = self.store.put_all(objects, until).await;
        report.store_latency = started.elapsed();
        for (put, (logs, tally)) in puts.map_err(Refusal::Store)?.into_iter().zip(contents) {
            match put {
                Put::Created => {
                    report.stored += logs;
                    report.tally.merge(&tally);
                }
                Put::Existed => report.duplicates += logs,
            }
        }
        Ok(Counts { stored: report.stored, duplicates: report.duplicates, failures: report.failures })
    }

    /// Everything between the signature and the store: no I/O.
    fn lot(&self, body: Verified<'_>, headers: &http::HeaderMap) -> Lot {
        let origin = Origin { received: Utc::now(), source: &self.source };
        match payload::decode(body, headers, self.max_payload_bytes) {
            Ok(payload) => lot::gather(payload::elements(&payload), &self.schemas, &self.prefix, origin),
            Err(error) => {
                let failure = Failure { error: error.to_string(), payload: body.bytes(), log_type: None };
                lot::of_failure(&failure, &self.prefix, origin)
            }
        }
    }
}

/// The one table from what went wrong to what the sender is told. What the operator has to know is logged here, once.
fn refuse(refusal: &Refusal) -> (Outcome, Response<String>) {
    match refusal {
        Refusal::Method => {
            let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "Only POST is served here.");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            (Outcome::MethodNotAllowed, response)
        }
        Refusal::Unauthorized => {
            let message =
                "The X-Tracebit-Signature-256 header must hold the HMAC-SHA256 of the body under the shared secret.";
            (Outcome::Unauthorized, error(StatusCode::UNAUTHORIZED, message))
        }
        Refusal::Secret(cause) => {
            tracing::error!("the secret cannot be had: {cause}");
            (Outcome::SecretUnavailable, unavailable())
        }
        Refusal::Store(cause) => {
            tracing::error!("the delivery is not stored: {cause}");
            (Outcome::StoreUnavailable, unavailable())
        }
    }
}

fn unavailable() -> Response<String> {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, "The delivery is not stored. Send it again.");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    response
}

fn error(status: StatusCode, message: &str) -> Response<String> {
    answer(status, &json!({"error": message}))
}

fn answer(status: StatusCode, body: &impl Serialize) -> Response<String> {
    #[expect(clippy::expect_used, reason = "numbers and static text have no way to fail")]
    let mut response = Response::new(serde_json::to_string(body).expect("numbers and static text"));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_time_is_kept_for_the_answer() {
        for (left, kept) in [(30_000, 1_000), (5_000, 500), (1_000, 200), (100, 100), (0, 0)] {
            let deadline = SystemTime::now() + Duration::from_millis(left);
            let until = Invocation { request_id: String::new(), deadline }.until();
            let used = until.duration_since(Instant::now()).as_millis();
            let expected = u128::from(left - kept);
            assert!(used <= expected && used + 50 >= expected, "{left} ms left: {used}, expected {expected}");
        }
    }
}
