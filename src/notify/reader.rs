//! The client that reads the objects of the lake.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::{Client, config::Builder};
use tokio::time::sleep;

use super::event::CreatedObject;
use crate::{
    aws::{
        self, Attempts,
        deadline::{CallPolicy, Deadline},
    },
    core::redacted::Redacted,
};

/// The wait before an object is read again whose body broke off. The SDK retries all else.
const PAUSE: Duration = Duration::from_millis(200);

/// An object could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The time for it ran out.
    #[error("GetObject {0}")]
    TimedOut(String),
    /// S3 has no such object, or could not be reached.
    #[error("GetObject failed: {0}")]
    Failed(String),
}

/// A client of the lake's bucket.
#[derive(Debug)]
pub(super) struct Reader {
    client: Client,
    bucket: String,
}

impl Reader {
    pub(super) fn new(client: Client, bucket: String) -> Self {
        Self { client, bucket }
    }

    /// Fetches an object by the deadline.
    pub(super) async fn read(
        &self,
        object: &CreatedObject,
        deadline: Deadline,
    ) -> Result<Redacted<Vec<u8>>, ReadError> {
        let attempts = Attempts::default();
        let timed_out = || ReadError::TimedOut(attempts.timed_out());
        let mut broken = None;
        while let Some(CallPolicy { timeouts, retries }) = deadline.call(object.size) {
            let get = self
                .client
                .get_object()
                .bucket(&self.bucket)
                .key(&object.key)
                .customize()
                .config_override(Builder::new().timeout_config(timeouts).retry_config(retries))
                .interceptor(attempts.clone());
            let Some(answer) = deadline.bound(get.send()).await else { break };
            let body = answer.map_err(|error| ReadError::Failed(describe(&error)))?.body;
            match deadline.bound(body.collect()).await {
                Some(Ok(bytes)) => return Ok(Redacted(bytes.to_vec())),
                Some(Err(error)) => broken = Some(aws::error_chain(&error)),
                None => break,
            }
            deadline.bound(sleep(PAUSE)).await;
        }
        Err(broken
            .map_or_else(timed_out, |error| ReadError::TimedOut(format!("timed out; the body broke off: {error}"))))
    }
}

/// The clients of S3 share these settings.
pub(super) fn client(sdk: &SdkConfig, path_style: bool) -> Client {
    let s3 = Builder::from(sdk).force_path_style(path_style).retry_partition(aws::retry_partition()).build();
    Client::from_conf(s3)
}

/// S3's status and message, or what went wrong on the way.
fn describe(error: &aws_sdk_s3::error::SdkError<aws_sdk_s3::operation::get_object::GetObjectError>) -> String {
    let text = aws::service_error(error);
    match error.raw_response().map(|response| response.status().as_u16()) {
        Some(404) => format!("404 {text}; the object is gone"),
        // S3 does not say 404 to a role that may not list the bucket.
        Some(403) => format!("403 {text}; the role may not read the object, or the object is gone"),
        Some(status) => format!("{status} {text}"),
        None => text,
    }
}
