//! A queue of SQS, as the functions send to it.

use aws_config::SdkConfig;
use aws_sdk_sqs::{Client, config::Builder};
use data_encoding::HEXLOWER;
use md5::{Digest as _, Md5};

use super::{
    call::{CallError, call},
    client::retry_partition,
    deadline::Deadline,
};

/// The largest message that SQS takes, in bytes (SQS's quota of 1 MiB).
pub(crate) const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// A client of one queue.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    /// A client of the queue at `url`.
    #[must_use]
    pub fn new(sdk: &SdkConfig, url: String) -> Self {
        let config = Builder::from(sdk).retry_partition(retry_partition()).build();
        Self { client: Client::from_conf(config), url }
    }

    /// Puts a message into the queue.
    ///
    /// # Errors
    /// [`CallError`]. The message may or may not be in the queue then.
    pub async fn send(&self, message: String, deadline: Deadline) -> Result<(), CallError> {
        const OPERATION: &str = "SendMessage";
        let (bytes, checksum) = (message.len(), HEXLOWER.encode(&Md5::digest(&message)));
        let send = self.client.send_message().queue_url(&self.url).message_body(message);
        let output = call(OPERATION, deadline, bytes, |attempts| send.customize().interceptor(attempts).send()).await?;
        if output.md5_of_message_body() == Some(checksum.as_str()) {
            Ok(())
        } else {
            Err(CallError::of_answer(OPERATION, "checksum mismatch: SQS stored different bytes"))
        }
    }
}
