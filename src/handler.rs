//! The walk of one delivery, and the answers.

use std::{
    convert::identity,
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use lambda_http::Response;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    config::{Config, ConfigError, Source},
    event::Event,
    key::Prefix,
    lot::{self, Lot},
    metrics::{Delivery, Metrics, Outcome, Report},
    payload,
    record::{Failure, Origin},
    schema::{SchemaError, Schemas},
    sdk,
    secrets::{SecretError, Secrets},
    signature::{Signature, Verified},
    spill::{SpillError, SpillQueue, Spilled},
    store::{Store, StoreError},
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

impl From<lambda_runtime::Context> for Invocation {
    fn from(context: lambda_runtime::Context) -> Self {
        let deadline = SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline);
        Self { request_id: context.request_id, deadline }
    }
}

impl Invocation {
    /// The moment by which everything but the answer must be done.
    fn until(&self) -> Instant {
        let left = self.deadline.duration_since(SystemTime::now()).unwrap_or_default();
        let (least, most) = ANSWER_TIME;
        Instant::now() + left.saturating_sub((left / 10).clamp(least, most))
    }
}

/// What S3, and then the spill queue, may take at most where one can stand in for the other: no more than a sender can be
/// expected to wait.
const MOST_WAIT: Duration = Duration::from_secs(10);

/// The moment at which S3 has had its chance, so that the spill queue gets its own: two thirds of the time at most.
fn leave_time_to_spill(until: Instant) -> Instant {
    let now = Instant::now();
    now + (until.saturating_duration_since(now) * 2 / 3).min(MOST_WAIT)
}

/// The function cannot start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    Spill(SpillError),
}

/// What became of a delivery whose signature holds.
enum Accepted {
    Stored(Counts),
    Queued,
}

/// Why a message of the spill queue was not filed.
enum NotDrained {
    /// It is no delivery with a good signature.
    Refused,
    /// What else can keep a delivery from being stored.
    Refusal(Refusal),
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
    spill: Option<SpillQueue>,
    metrics: Metrics,
}

impl Lake {
    /// The lake that the process's environment describes.
    ///
    /// # Errors
    /// [`InitError`] for what no later attempt can mend.
    pub async fn from_env() -> Result<Self, InitError> {
        let config = Config::from_env()?;
        Self::init(config, &sdk::load().await, Metrics::to_stdout()).await
    }

    /// Builds the clients and makes the secret and the connection to S3 ready, side by side.
    ///
    /// # Errors
    /// [`InitError`] for what no later attempt can mend.
    pub async fn init(config: Config, sdk: &SdkConfig, metrics: Metrics) -> Result<Self, InitError> {
        let store = Store::new(sdk, config.bucket, config.path_style);
        let spill = config.spill_queue_url.map(|url| SpillQueue::new(sdk, url));
        let secrets = Secrets::new(sdk, config.secret);
        let schemas = Schemas::embedded()?;
        let until = Instant::now() + WARM_UP_TIME;
        let (secret, ()) = tokio::join!(secrets.warm(until), store.warm(until));
        secret?;
        Ok(Self {
            schemas,
            prefix: config.prefix,
            source: config.source,
            max_payload_bytes: config.max_payload_bytes,
            secrets,
            store,
            spill,
            metrics,
        })
    }

    /// Answers one request, before the invocation's deadline.
    pub async fn handle(&self, event: Event, invocation: Invocation) -> Response<String> {
        let started = Instant::now();
        let mut delivery = None;
        let result = self.deliver(&event.0, invocation.until(), &mut delivery).await;
        let (outcome, response) = match &result {
            Ok(Accepted::Stored(counts)) => (Outcome::Stored, answer(StatusCode::OK, counts)),
            Ok(Accepted::Queued) => (Outcome::Queued, answer(StatusCode::ACCEPTED, &json!({"queued": true}))),
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

    /// Files a delivery out of the spill queue: false when it must be tried again.
    pub async fn drain(&self, message: &str, invocation: &Invocation) -> bool {
        let started = Instant::now();
        let mut delivery = None;
        let result = self.refile(message, invocation.until(), &mut delivery).await;
        let outcome = match &result {
            Ok(_) => Outcome::Stored,
            Err(NotDrained::Refused) => {
                tracing::error!("a message of the spill queue is no delivery with a good signature");
                Outcome::MessageRefused
            }
            Err(NotDrained::Refusal(refusal)) => refuse(refusal).0,
        };
        let request_id = invocation.request_id.clone();
        self.metrics.write(Report { request_id, outcome, duration: started.elapsed(), delivery });
        result.is_ok()
    }

    async fn deliver(
        &self,
        request: &http::Request<Vec<u8>>,
        until: Instant,
        report: &mut Option<Delivery>,
    ) -> Result<Accepted, Refusal> {
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        let signature = Signature::of(request.headers()).ok_or(Refusal::Unauthorized)?;
        let body = self.secrets.verify(request.body(), &signature, until).await.map_err(Refusal::Secret)?;
        let body = body.ok_or(Refusal::Unauthorized)?;
        let (headers, received) = (request.headers(), Utc::now());

        let spill = self.spill.as_ref().filter(|spill| spill.fits(body));
        let share = if spill.is_some() { leave_time_to_spill } else { identity };
        let stored = self.file(body, headers, received, || share(until), report).await;
        match (stored, spill) {
            (Ok(counts), _) => Ok(Accepted::Stored(counts)),
            (Err(error), None) => Err(Refusal::Store(error)),
            (Err(error), Some(spill)) => {
                tracing::error!("the delivery goes to the spill queue: {error}");
                let spilled = Spilled::new(body, &signature, headers, received);
                spill.send(&spilled, until.min(Instant::now() + MOST_WAIT)).await.map_err(Refusal::Spill)?;
                Ok(Accepted::Queued)
            }
        }
    }

    async fn refile(&self, message: &str, until: Instant, report: &mut Option<Delivery>) -> Result<Counts, NotDrained> {
        let spilled = Spilled::read(message).map_err(|_| NotDrained::Refused)?;
        let body = self.secrets.verify(&spilled.body, &spilled.signature, until).await;
        let body = body.map_err(|error| NotDrained::Refusal(Refusal::Secret(error)))?.ok_or(NotDrained::Refused)?;
        let stored = self.file(body, &spilled.headers, spilled.received, || until, report).await;
        stored.map_err(|error| NotDrained::Refusal(Refusal::Store(error)))
    }

    /// The way of every delivery whose signature holds, from the payload to the store, whose share of the time is divided
    /// when all is ready for it.
    async fn file(
        &self,
        body: Verified<'_>,
        headers: &HeaderMap,
        received: DateTime<Utc>,
        store_until: impl FnOnce() -> Instant,
        report: &mut Option<Delivery>,
    ) -> Result<Counts, StoreError> {
        let report = report.insert(Delivery::of(body.bytes().len()));
        let Lot { mut objects, repeats } = self.lot(body, headers, received);
        let started = Instant::now();
        let puts = self.store.put_all(&mut objects, store_until()).await;
        report.store_latency = started.elapsed();

        // What was stored is counted even if something else was not: sent again, it is a duplicate.
        let mut failed = None;
        for (object, put) in objects.into_iter().zip(puts) {
            match put {
                Ok(put) => report.count(object, put),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        report.duplicates += repeats;
        Ok(Counts { stored: report.stored, duplicates: report.duplicates, failures: report.failures })
    }

    /// Everything between the signature and the store: no I/O.
    fn lot(&self, body: Verified<'_>, headers: &HeaderMap, received: DateTime<Utc>) -> Lot<'_> {
        let origin = Origin { received, source: &self.source };
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
        Refusal::Spill(cause) => {
            tracing::error!("the delivery is neither stored nor in the spill queue: {cause}");
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
