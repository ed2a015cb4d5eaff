//! The client of the spill queue.

use aws_config::SdkConfig;
use aws_sdk_sqs::{Client, config::Builder};
use data_encoding::{BASE64, HEXLOWER};
use md5::{Digest as _, Md5};

use super::{
    Attempts,
    deadline::{CallPolicy, Deadline},
};
use crate::{aws, core::envelope::Envelope};

/// The largest message that SQS takes, in bytes (SQS's quota of 1 MiB).
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// A delivery could not be put into the queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The time for it ran out.
    #[error("SendMessage {0}")]
    TimedOut(String),
    /// SQS refused it, or could not be reached.
    #[error("SendMessage failed: {0}")]
    Failed(String),
    /// SQS names another checksum than that of the message.
    #[error("checksum mismatch: SQS stored different bytes")]
    Checksum,
}

/// A client of the spill queue.
#[derive(Debug, Clone)]
pub struct SpillQueue {
    client: Client,
    url: String,
}

impl SpillQueue {
    /// A client of the queue at `url`.
    #[must_use]
    pub fn new(sdk: &SdkConfig, url: String) -> Self {
        let config = Builder::from(sdk).retry_partition(aws::retry_partition()).build();
        Self { client: Client::from_conf(config), url }
    }

    /// Whether a body of this size fits into a message.
    #[must_use]
    pub fn fits(&self, body_bytes: usize) -> bool {
        BASE64.encode_len(body_bytes) <= MAX_MESSAGE_BYTES - Envelope::OVERHEAD_BYTES
    }

    /// Puts a delivery into the queue.
    ///
    /// # Errors
    /// [`QueueError`]. The message may or may not be in the queue then. Both are safe, because storing a delivery twice
    /// has no effect.
    pub async fn send(&self, envelope: &Envelope, deadline: Deadline) -> Result<(), QueueError> {
        let message = serde_json::to_string(envelope).map_err(|error| QueueError::Failed(error.to_string()))?;
        let attempts = Attempts::default();
        let timed_out = || QueueError::TimedOut(attempts.timed_out());
        let CallPolicy { timeouts, retries } = deadline.call(message.len()).ok_or_else(timed_out)?;
        let checksum = HEXLOWER.encode(&Md5::digest(&message));
        let send = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_body(message)
            .customize()
            .config_override(Builder::new().timeout_config(timeouts).retry_config(retries))
            .interceptor(attempts.clone());
        match deadline.bound(send.send()).await.ok_or_else(timed_out)? {
            Ok(output) if output.md5_of_message_body() != Some(checksum.as_str()) => Err(QueueError::Checksum),
            Ok(_) => Ok(()),
            Err(error) => Err(QueueError::Failed(aws::service_error(&error))),
        }
    }
}
