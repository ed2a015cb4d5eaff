//! SQS over AWS JSON 1.0: one queue, whose messages a test can read.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::Request;
use hyper::body::Incoming;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use crate::{
    fault::{ErrorReplies, Faults},
    front::Front,
    server::{LOOPBACK, Reply, error_reply, header, is_signed, json_reply, unique_id},
};

/// The maximum size of a message.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// A queue on loopback. Dropping it closes its port.
pub struct Sqs {
    queue: Arc<Queue>,
    front: Front,
}

#[derive(Default)]
struct Queue {
    messages: Mutex<Vec<String>>,
}

impl Sqs {
    /// Starts with an empty queue.
    pub async fn start() -> Self {
        let queue = Arc::<Queue>::default();
        let front = Front::start(LOOPBACK, Arc::clone(&queue), Queue::answer).await;
        Self { queue, front }
    }

    /// The queue's URL.
    pub fn queue_url(&self) -> String {
        format!("{}/123456789012/spill", self.endpoint())
    }

    /// The bodies of all messages in the queue.
    pub fn messages(&self) -> Vec<String> {
        self.queue.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes all messages from the queue and returns them.
    pub fn take_messages(&self) -> Vec<String> {
        std::mem::take(&mut *self.queue.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Deref for Sqs {
    type Target = Front;

    fn deref(&self) -> &Front {
        &self.front
    }
}

/// The event that Lambda passes to the function for a batch of messages. A message's id is its index.
pub fn event(messages: &[String]) -> Value {
    let records: Vec<_> = messages
        .iter()
        .enumerate()
        .map(|(index, body)| {
            json!({
                "messageId": index.to_string(),
                "receiptHandle": unique_id(),
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1795390474694"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:spill",
                "awsRegion": "us-east-1",
            })
        })
        .collect();
    json!({ "Records": records })
}

const ERRORS: ErrorReplies = ErrorReplies { error: error_reply, wrong_checksum: || accepted("another message") };

/// The reply to a message that the queue has accepted.
fn accepted(message: &str) -> Reply {
    let md5 = HEXLOWER.encode(&Md5::digest(message));
    json_reply(200, &json!({ "MessageId": unique_id(), "MD5OfMessageBody": md5 }))
}

impl Queue {
    async fn answer(self: Arc<Self>, faults: Arc<Faults>, request: Request<Incoming>) -> Option<Reply> {
        if header(&request, "x-amz-target") != "AmazonSQS.SendMessage" {
            return Some(error_reply(400, "UnsupportedOperation"));
        }
        faults.apply(request, &ERRORS, async |request| Some(self.accept(&request))).await
    }

    fn accept(&self, request: &Request<Bytes>) -> Reply {
        if !is_signed(request) {
            return error_reply(403, "InvalidClientTokenId");
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        match (body["QueueUrl"].as_str(), body["MessageBody"].as_str()) {
            (Some(url), Some(message)) if url.ends_with("/spill") && message.len() <= MAX_MESSAGE_BYTES => {
                self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message.to_owned());
                accepted(message)
            }
            _ => error_reply(400, "InvalidParameterValue"),
        }
    }
}
