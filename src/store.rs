//! The lake's store: objects are created, never overwritten.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    config::{
        Builder, ConfigBag, Intercept, RuntimeComponents,
        interceptors::FinalizerInterceptorContextRef,
        retry::{ClassifyRetry, RetryAction, RetryConfig},
    },
    error::{BoxError, SdkError},
    operation::put_object::PutObjectError,
    primitives::ByteStream,
};
use aws_smithy_runtime_api::client::{interceptors::context::InterceptorContext, orchestrator::HttpRequest};
use data_encoding::BASE64;
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use crate::{
    lot::Object,
    sdk::{self, Patience},
};

/// How many objects of one payload are on their way at once.
const CONCURRENCY: usize = 16;

/// Whether an object was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object was created.
    Created,
    /// It was there already.
    Existed,
}

/// An object could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The time that the invocation had left ran out.
    #[error("S3 did not take the object in the time that was left")]
    Deadline,
    /// S3 refused the object, or could not be reached.
    #[error("PutObject failed: {0}")]
    Failed(String),
    /// S3 says that it has something else than was sent.
    #[error("S3 answered with the checksum of another object, so nothing is known of this one")]
    Checksum,
}

/// A client of the lake's bucket.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    bucket: String,
}

impl Store {
    /// A client with this project's timeouts and retries. S3-compatible servers need `path_style` addresses.
    #[must_use]
    pub fn new(sdk: &SdkConfig, bucket: String, path_style: bool) -> Self {
        let s3 = Builder::from(sdk)
            .force_path_style(path_style)
            .retry_partition(sdk::retry_partition())
            .retry_classifier(ConflictIsTransient)
            .build();
        Self { client: Client::from_conf(s3), bucket }
    }

    /// Resolves the credentials and opens, by `until`, the connection that the first `PutObject` will use.
    ///
    /// The request is a CORS preflight: every other that the function's role could send would either write or be denied,
    /// and denials raise alarms of their own. Any answer will do. A failure is no matter: the first delivery tries again.
    #[expect(clippy::missing_panics_doc, reason = "OPTIONS is a method")]
    pub async fn warm(&self, until: Instant) {
        let preflight = |request: &mut HttpRequest| {
            #[expect(clippy::expect_used, reason = "a method that is part of HTTP")]
            request.set_method("OPTIONS").expect("OPTIONS is a method");
            request.headers_mut().insert("origin", "https://tracebit-lake.invalid");
            request.headers_mut().insert("access-control-request-method", "PUT");
        };
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let put = self.client.put_object().bucket(&self.bucket).key("-").if_none_match("*");
        let warmed = timeout_at(until, put.customize().mutate_request(preflight).config_override(once).send()).await;
        let problem = match warmed {
            Ok(Err(error)) if error.raw_response().is_none() => sdk::told(&error),
            Ok(_) => return,
            Err(_) => "no answer in the time that start-up has for it".to_owned(),
        };
        tracing::warn!("S3 could not be reached at start-up; the first delivery tries again: {problem}");
    }

    /// Tries to store every object by `until`, whatever becomes of the others. The outcomes are in the order of the
    /// objects, whose bodies are taken.
    pub async fn put_all(&self, objects: &mut [Object<'_>], until: Instant) -> Vec<Result<Put, StoreError>> {
        let puts = objects.iter_mut().map(|object| (object.key.clone(), std::mem::take(&mut object.body)));
        // Collected first, for what is made on the way borrows each object in turn.
        let puts: Vec<_> = puts.collect();
        stream::iter(puts).map(|(key, body)| self.put(key, body, until)).buffered(CONCURRENCY).collect().await
    }

    async fn put(&self, key: String, body: Vec<u8>, until: Instant) -> Result<Put, StoreError> {
        let Patience { timeouts, retries } = Patience::until(until, body.len()).ok_or(StoreError::Deadline)?;
        let lost = LostAnswer::default();
        let checksum = BASE64.encode(&crc32fast::hash(&body).to_be_bytes());
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type("application/x-ndjson")
            .if_none_match("*")
            .checksum_crc32(&checksum)
            .body(ByteStream::from(body))
            .customize()
            .config_override(Builder::new().timeout_config(timeouts).retry_config(retries))
            .interceptor(lost.clone());
        let result = timeout_at(until, put.send()).await.map_err(|_| StoreError::Deadline)?;
        match result {
            // S3 names the checksum that it has compared; a store that names none is believed.
            Ok(output) if output.checksum_crc32().is_some_and(|theirs| theirs != checksum) => Err(StoreError::Checksum),
            Ok(_) => Ok(Put::Created),
            // It is there because an attempt of ours got through and its answer did not: a new object all the same.
            Err(error) if status(&error) == Some(412) && lost.happened() => Ok(Put::Created),
            Err(error) if status(&error) == Some(412) => Ok(Put::Existed),
            Err(error) => Err(StoreError::Failed(describe(&error))),
        }
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// S3's status and what it said, or what went wrong on the way.
fn describe(error: &SdkError<PutObjectError>) -> String {
    let told = sdk::told_by_service(error);
    match (status(error), error.as_service_error()) {
        (Some(status), Some(_)) => format!("{status} {told}"),
        _ => told,
    }
}

/// S3 answers 409 when two conditional writes of one key meet: nothing was written, and it can be tried again.
#[derive(Debug)]
struct ConflictIsTransient;

impl ClassifyRetry for ConflictIsTransient {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match context.response() {
            Some(response) if response.status().as_u16() == 409 => RetryAction::server_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "conflict is transient"
    }
}

/// Notes whether an attempt ended without an answer that says what became of the object.
#[derive(Debug, Clone, Default)]
struct LostAnswer(Arc<AtomicBool>);

impl LostAnswer {
    fn happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for LostAnswer {
    fn name(&self) -> &'static str {
        "lost answer"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if context.response().is_none_or(|response| response.status().is_server_error()) {
            self.0.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}
