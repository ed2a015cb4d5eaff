//! The lake's store: objects are created, never overwritten.

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    config::{Builder, retry::RetryConfig},
    error::{DisplayErrorContext, ProvideErrorMetadata as _, SdkError},
    operation::put_object::PutObjectError,
    primitives::ByteStream,
};
use aws_smithy_runtime_api::{
    client::{
        interceptors::context::InterceptorContext,
        orchestrator::HttpRequest,
        retries::classifiers::{ClassifyRetry, RetryAction},
    },
    http::StatusCode,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use crate::{config::Config, lot::Object};

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
    #[error("S3 did not take every object in the time that was left")]
    Deadline,
    /// S3 refused the object, or could not be reached.
    #[error("PutObject failed: {0}")]
    Failed(String),
}

/// A client of the lake's bucket.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    bucket: String,
}

impl Store {
    /// A client with this project's time-outs and retries.
    #[must_use]
    pub fn new(sdk: &SdkConfig, config: &Config) -> Self {
        let s3 = Builder::from(sdk).force_path_style(config.path_style).retry_classifier(ConflictIsTransient).build();
        Self { client: Client::from_conf(s3), bucket: config.bucket.clone() }
    }

    /// Resolves the credentials and opens the connection that the first `PutObject` will use.
    ///
    /// The request is a CORS preflight, for every other that the function's role could send would either write or
    /// leave an "access denied" in the account's audit trail. Any answer will do. A failure is no matter: the first
    /// delivery tries again.
    pub async fn warm(&self) {
        let preflight = |request: &mut HttpRequest| {
            // Both are static and valid; were they not, S3 would only answer with an error.
            let _ = request.set_method("OPTIONS");
            request.headers_mut().insert("origin", "https://tracebit-lake.invalid");
            request.headers_mut().insert("access-control-request-method", "PUT");
        };
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let put = self.client.put_object().bucket(&self.bucket).key("-");
        let result = put.customize().mutate_request(preflight).config_override(once).send().await;
        if let Err(error) = result
            && error.raw_response().is_none()
        {
            let error = DisplayErrorContext(&error);
            tracing::warn!("S3 could not be reached at start-up; the first delivery tries again: {error}");
        }
    }

    /// Stores every object, or fails by `until`. The outcomes are in the order of the objects.
    ///
    /// # Errors
    /// [`StoreError`] as soon as one object cannot be stored; others may be in the lake by then, and a repeated
    /// delivery finds them there.
    pub async fn put_all(&self, objects: Vec<Object>, until: Instant) -> Result<Vec<Put>, StoreError> {
        let puts = stream::iter(objects).map(|object| self.put(object)).buffered(CONCURRENCY).try_collect();
        tokio::time::timeout_at(until, puts).await.unwrap_or(Err(StoreError::Deadline))
    }

    async fn put(&self, object: Object) -> Result<Put, StoreError> {
        let result = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(object.key)
            .content_type("application/x-ndjson")
            .if_none_match("*")
            .body(ByteStream::from(object.body))
            .send()
            .await;
        match result {
            Ok(_) => Ok(Put::Created),
            Err(error) if status(&error) == Some(412) => Ok(Put::Existed),
            Err(error) => Err(StoreError::Failed(describe(&error))),
        }
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// S3's own code and message, or what went wrong on the way: neither holds anything of a request's body or headers.
fn describe(error: &SdkError<PutObjectError>) -> String {
    match (status(error), error.as_service_error()) {
        (Some(status), Some(service)) => {
            let code = service.code().unwrap_or("no code");
            format!("{status} {code}: {}", service.message().unwrap_or("no message"))
        }
        _ => DisplayErrorContext(error).to_string(),
    }
}

/// S3 answers 409 when two conditional writes of one key meet: nothing was written, and it can be tried again.
#[derive(Debug)]
struct ConflictIsTransient;

impl ClassifyRetry for ConflictIsTransient {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let status = context.response().map(aws_smithy_runtime_api::client::orchestrator::HttpResponse::status);
        if status.map(StatusCode::as_u16) == Some(409) {
            RetryAction::transient_error()
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "conflict is transient"
    }
}
