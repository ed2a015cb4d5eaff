//! The SQS event that Lambda hands the drain, and the drain's response.
//!
//! The types of the `aws_lambda_events` crate would do, but their `Debug` shows the messages' bodies.

use serde::{Deserialize, Serialize};

use super::invocation::Event;
use crate::core::redacted::Redacted;

/// An SQS event.
#[derive(Debug, Deserialize)]
pub struct SqsEvent {
    /// The messages.
    #[serde(rename = "Records")]
    pub messages: Vec<SqsMessage>,
}

impl Event for SqsEvent {
    const EXPECTED: &'static str = "this event is not a batch of SQS messages: expected Records, each with messageId and \
        body. Lambda makes such events of the messages in this function's queue; the function behind the URL is another";
}

/// A message of the queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsMessage {
    /// SQS's id of the message.
    pub message_id: String,
    /// The text, not yet verified.
    #[serde(deserialize_with = "redacted")]
    pub body: Redacted<String>,
}

/// The response: the messages that stay in the queue (Lambda's `ReportBatchItemFailures`).
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsBatchResponse {
    batch_item_failures: Vec<BatchItemFailure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

impl SqsBatchResponse {
    /// Keeps a message in the queue.
    pub fn keep(&mut self, message_id: String) {
        self.batch_item_failures.push(BatchItemFailure { item_identifier: message_id });
    }
}

fn redacted<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Redacted<String>, D::Error> {
    String::deserialize(deserializer).map(Redacted)
}
