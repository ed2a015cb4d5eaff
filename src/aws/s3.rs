//! The bucket behind the lake. Objects are created and never overwritten.

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    config::{
        Builder,
        retry::{ClassifyRetry, RetryAction, RetryConfig},
    },
    error::SdkError,
    operation::put_object::PutObjectError,
    primitives::ByteStream,
};
use aws_smithy_runtime_api::client::{interceptors::context::InterceptorContext, orchestrator::HttpRequest};
use data_encoding::BASE64;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};

use super::{
    Attempts,
    deadline::{CallPolicy, Deadline},
};
use crate::{
    aws,
    core::lake::{Object, Summary},
};

/// How many objects of one payload are on their way at once.
const CONCURRENCY: usize = 16;

/// Whether an object was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object was created.
    Created,
    /// It was there already.
    AlreadyExists,
}

/// An object could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The time for it ran out.
    #[error("PutObject {0}")]
    TimedOut(String),
    /// S3 refused the object, or could not be reached.
    #[error("PutObject failed: {0}")]
    Failed(String),
    /// S3 names another checksum than that of the object.
    #[error("checksum mismatch: S3 stored different bytes")]
    Checksum,
}

/// What became of one object.
#[derive(Debug)]
pub struct PutResult<'s> {
    /// The object's key.
    pub key: String,
    /// What is in the object.
    pub summary: Summary<'s>,
    /// Whether it is in the bucket now.
    pub result: Result<PutOutcome, StoreError>,
}

/// A client of the lake's bucket.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    bucket: String,
}

impl Store {
    /// A client of `bucket`. `path_style` puts the bucket into the URL's path, as S3-compatible servers need it.
    #[must_use]
    pub fn new(sdk: &SdkConfig, bucket: String, path_style: bool) -> Self {
        let s3 = Builder::from(sdk)
            .force_path_style(path_style)
            .retry_partition(aws::retry_partition())
            .retry_classifier(ConflictIsTransient)
            .build();
        Self { client: Client::from_conf(s3), bucket }
    }

    /// Resolves the credentials and opens the connection that the first `PutObject` will use.
    ///
    /// The request is a CORS preflight, because any other request that the function's role can send would either write
    /// or be denied, and denials raise alarms. Any response is fine. Failures are logged and ignored, because the first
    /// delivery tries again.
    #[expect(clippy::missing_panics_doc, reason = "OPTIONS is a method")]
    pub async fn warm(&self, deadline: Deadline) {
        let preflight = |request: &mut HttpRequest| {
            #[expect(clippy::expect_used, reason = "OPTIONS is a method of HTTP")]
            request.set_method("OPTIONS").expect("OPTIONS is a method");
            request.headers_mut().insert("origin", "https://tracebit-lake.invalid");
            request.headers_mut().insert("access-control-request-method", "PUT");
        };
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let put = self.client.put_object().bucket(&self.bucket).key("-").if_none_match("*");
        let warmed = deadline.bound(put.customize().mutate_request(preflight).config_override(once).send()).await;
        let problem = match warmed {
            Some(Err(error)) if error.raw_response().is_none() => aws::error_chain(&error),
            Some(_) => return,
            None => "timed out".to_owned(),
        };
        tracing::warn!("cannot reach S3 at start-up; the first delivery tries again: {problem}");
    }

    /// Tries to store every object by the deadline. One failure does not stop the others. The results come in the order
    /// of the objects.
    pub fn put_all<'b, 's: 'b, 't: 'b>(
        &'b self,
        objects: impl Iterator<Item = Object<'b, 's, 't>> + Send + 'b,
        deadline: Deadline,
    ) -> BoxStream<'b, PutResult<'s>> {
        // Boxed, because the compiler cannot tell outside of here that the stream is `Send`.
        stream::iter(objects.map(move |object| self.put(object, deadline))).buffered(CONCURRENCY).boxed()
    }

    async fn put<'s>(&self, object: Object<'_, 's, '_>, deadline: Deadline) -> PutResult<'s> {
        let result = if deadline.left().is_zero() {
            Err(StoreError::TimedOut(Attempts::default().timed_out()))
        } else {
            self.create(&object.key, object.body(), deadline).await
        };
        PutResult { key: object.key, summary: object.summary, result }
    }

    async fn create(&self, key: &str, body: Vec<u8>, deadline: Deadline) -> Result<PutOutcome, StoreError> {
        let attempts = Attempts::default();
        let timed_out = || StoreError::TimedOut(attempts.timed_out());
        let CallPolicy { timeouts, retries } = deadline.call(body.len()).ok_or_else(timed_out)?;
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
            .interceptor(attempts.clone());
        match deadline.bound(put.send()).await.ok_or_else(timed_out)? {
            // S3 names the checksum that it compared. A store that names none is trusted.
            Ok(output) if output.checksum_crc32().is_some_and(|theirs| theirs != checksum) => Err(StoreError::Checksum),
            Ok(_) => Ok(PutOutcome::Created),
            // The object is most likely our own: an attempt succeeded and its answer was lost. So it counts as new.
            Err(error) if status(&error) == Some(412) && attempts.may_have_succeeded() => Ok(PutOutcome::Created),
            Err(error) if status(&error) == Some(412) => Ok(PutOutcome::AlreadyExists),
            Err(error) => Err(StoreError::Failed(describe(&error))),
        }
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// S3's status and message, or what went wrong on the way.
fn describe(error: &SdkError<PutObjectError>) -> String {
    let text = aws::service_error(error);
    match (status(error), error.as_service_error()) {
        (Some(status), Some(_)) => format!("{status} {text}"),
        _ => text,
    }
}

/// S3 answers 409 if two conditional writes of one key meet. Nothing was written then, so the call is retried.
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
