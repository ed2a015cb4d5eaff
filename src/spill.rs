//! The spill queue: where a verified delivery waits when S3 does not take it in time.
//!
//! A message holds what the sender sent, signature included, so that the drain checks it again and files it through the
//! same pipeline, as if it had just been received.

use aws_config::SdkConfig;
use aws_sdk_sqs::{Client, config::Builder};
use chrono::{DateTime, SecondsFormat, Utc};
use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::{
    sdk::{self, Patience},
    signature::{Signature, Verified},
    time,
};

/// The most that a message may hold, in bytes (SQS's quota of 1 MiB).
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// What a message holds beside the body, in bytes, at most.
const ENVELOPE_BYTES: usize = 1024;

/// A delivery could not be put into the queue.
#[derive(Debug, thiserror::Error)]
pub enum SpillError {
    /// The time that the invocation had left ran out.
    #[error("SQS did not take the delivery in the time that was left")]
    Deadline,
    /// SQS refused it, or could not be reached.
    #[error("SendMessage failed: {0}")]
    Failed(String),
    /// SQS says that it has something else than was sent.
    #[error("SQS answered with the checksum of another message, so nothing is known of this one")]
    Checksum,
}

/// A message of the queue is none of ours.
#[derive(Debug, thiserror::Error)]
#[error("the message is no spilled delivery")]
pub struct NotSpilled;

/// A delivery as the queue holds it. Nothing in it has been checked when it comes out again.
#[derive(Serialize, Deserialize)]
pub struct Spilled {
    received: String,
    signature: String,
    content_encoding: Option<String>,
    body: String,
}

impl Spilled {
    /// What has to be kept of a delivery to file it later.
    #[must_use]
    pub fn new(body: Verified<'_>, signature: &Signature, headers: &HeaderMap, received: DateTime<Utc>) -> Self {
        let content_encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        Self {
            received: received.to_rfc3339_opts(SecondsFormat::Millis, true),
            signature: signature.to_hex(),
            content_encoding: content_encoding.map(str::to_owned),
            body: BASE64.encode(body.bytes()),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When the message is not what [`Spilled::new`] made.
    pub fn read(message: &str) -> Result<Delivery, NotSpilled> {
        let spilled: Self = serde_json::from_str(message).map_err(|_| NotSpilled)?;
        let mut headers = HeaderMap::new();
        if let Some(encoding) = spilled.content_encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::try_from(encoding).map_err(|_| NotSpilled)?);
        }
        Ok(Delivery {
            received: time::parse(&spilled.received).map_err(|_| NotSpilled)?,
            signature: Signature::parse(&spilled.signature).ok_or(NotSpilled)?,
            headers,
            body: BASE64.decode(spilled.body.as_bytes()).map_err(|_| NotSpilled)?,
        })
    }
}

/// A delivery that came out of the queue.
#[derive(Debug)]
pub struct Delivery {
    /// When it was received from the sender.
    pub received: DateTime<Utc>,
    /// Its signature, to be checked again.
    pub signature: Signature,
    /// `Content-Encoding`, where it had one.
    pub headers: HeaderMap,
    /// The body as it was sent.
    pub body: Vec<u8>,
}

/// A client of the spill queue.
#[derive(Debug, Clone)]
pub struct SpillQueue {
    client: Client,
    url: String,
}

impl SpillQueue {
    /// A client with this project's time-outs and retries.
    #[must_use]
    pub fn new(sdk: &SdkConfig, url: String) -> Self {
        let config = Builder::from(sdk).retry_partition(sdk::retry_partition()).build();
        Self { client: Client::from_conf(config), url }
    }

    /// Whether the delivery of this body fits a message.
    #[must_use]
    pub fn fits(&self, body: Verified<'_>) -> bool {
        BASE64.encode_len(body.bytes().len()) <= MAX_MESSAGE_BYTES - ENVELOPE_BYTES
    }

    /// Puts a delivery into the queue, or fails by `until`.
    ///
    /// # Errors
    /// [`SpillError`]; whether SQS has the message then is not known, which is no matter: what is filed twice is stored
    /// once.
    pub async fn send(&self, spilled: &Spilled, until: Instant) -> Result<(), SpillError> {
        let message = serde_json::to_string(spilled).map_err(|error| SpillError::Failed(error.to_string()))?;
        let Patience { timeouts, retries } = Patience::until(until, message.len()).ok_or(SpillError::Deadline)?;
        let checksum = HEXLOWER.encode(&Md5::digest(&message));
        let send = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_body(message)
            .customize()
            .config_override(Builder::new().timeout_config(timeouts).retry_config(retries));
        match timeout_at(until, send.send()).await {
            Ok(Ok(output)) if output.md5_of_message_body() != Some(checksum.as_str()) => Err(SpillError::Checksum),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(SpillError::Failed(sdk::told_by_service(&error))),
            Err(_) => Err(SpillError::Deadline),
        }
    }
}

/// What Lambda hands the drain: an SQS event.
#[derive(Debug, Deserialize)]
pub struct Batch {
    /// The messages.
    #[serde(rename = "Records")]
    pub messages: Vec<Message>,
}

/// A message of the queue.
#[derive(Debug, Deserialize)]
pub struct Message {
    /// SQS's id of it.
    #[serde(rename = "messageId")]
    pub id: String,
    /// A [`Spilled`] delivery as JSON, if it is one of ours.
    pub body: String,
}

/// The drain's answer: the messages that stay in the queue (Lambda's `ReportBatchItemFailures`).
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Undrained {
    batch_item_failures: Vec<ItemFailure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    item_identifier: String,
}

impl Undrained {
    /// Keeps a message in the queue.
    pub fn add(&mut self, id: String) {
        self.batch_item_failures.push(ItemFailure { item_identifier: id });
    }
}
