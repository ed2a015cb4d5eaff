//! SQS: the wire (JSON 1.0) of one queue that takes messages, and keeps them for a test to look at.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::Request;
use hyper::body::Incoming;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use crate::{
    fault::{Excuses, Fault, Faults},
    json_service::{header, is_signed, json_reply, refuse},
    server::{LOOPBACK, Reply, Server, unique_id},
};

/// The most that a message may hold, in bytes.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// A queue on loopback. Dropping it closes its port.
pub struct Sqs {
    queue: Arc<Queue>,
    server: Server,
}

#[derive(Default)]
struct Queue {
    messages: Mutex<Vec<String>>,
    faults: Faults,
}

impl Sqs {
    /// Starts with an empty queue.
    pub async fn start() -> Self {
        let queue = Arc::new(Queue::default());
        let shared = Arc::clone(&queue);
        let server = Server::start(LOOPBACK, move |request| Arc::clone(&shared).answer(request)).await;
        Self { queue, server }
    }

    /// The URL to point an SDK at.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// The queue's URL.
    pub fn queue_url(&self) -> String {
        format!("{}/123456789012/spill", self.endpoint())
    }

    /// The bodies of all messages taken so far.
    pub fn messages(&self) -> Vec<String> {
        self.queue.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the messages out, as whoever drains the queue does.
    pub fn take_messages(&self) -> Vec<String> {
        std::mem::take(&mut *self.queue.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fails the next `n` calls, after those already due to fail.
    pub fn fail_next(&self, n: usize, fault: Fault) {
        self.queue.faults.fail_next(n, fault);
    }

    /// How many requests met a fault so far.
    pub fn faults(&self) -> usize {
        self.queue.faults.met()
    }

    /// Closes all connections; from then on the endpoint refuses them.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Serves again.
    pub fn resume(&self) {
        self.server.resume();
    }

    /// Fails every call from here on, or none.
    pub fn fail(&self, fault: Option<Fault>) {
        self.queue.faults.heal();
        if let Some(fault) = fault {
            self.queue.faults.fail_always(fault);
        }
    }
}

/// The event that Lambda hands the function behind the queue for these messages, whose ids are their places.
pub fn event(messages: &[String]) -> Value {
    let records: Vec<_> = messages
        .iter()
        .enumerate()
        .map(|(place, body)| {
            json!({
                "messageId": place.to_string(),
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

const EXCUSES: Excuses = Excuses { refusal: refuse, mistake: || taken("another message") };

/// The answer to a message that was taken.
fn taken(message: &str) -> Reply {
    let md5 = HEXLOWER.encode(&Md5::digest(message));
    json_reply(200, &json!({ "MessageId": unique_id(), "MD5OfMessageBody": md5 }))
}

impl Queue {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Option<Reply> {
        if header(&request, "x-amz-target") != "AmazonSQS.SendMessage" {
            return Some(refuse(400, "UnsupportedOperation"));
        }
        self.faults.apply(request, &EXCUSES, async |request| Some(self.take(&request))).await
    }

    fn take(&self, request: &Request<Bytes>) -> Reply {
        if !is_signed(request) {
            return refuse(403, "InvalidClientTokenId");
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        match (body["QueueUrl"].as_str(), body["MessageBody"].as_str()) {
            (Some(url), Some(message)) if url.ends_with("/spill") && message.len() <= MAX_MESSAGE_BYTES => {
                self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message.to_owned());
                taken(message)
            }
            _ => refuse(400, "InvalidParameterValue"),
        }
    }
}
