//! SNS over its query protocol: one topic, whose messages a test can read.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::{
    fault::{ErrorReplies, Faults},
    front::Front,
    server::{LOOPBACK, Reply, is_signed, reply, unique_id},
};

/// The topic's ARN.
pub const TOPIC_ARN: &str = "arn:aws:sns:us-east-1:123456789012:alerts";

/// The ARN of the alarms' topic.
pub const ALARM_TOPIC_ARN: &str = "arn:aws:sns:us-east-1:123456789012:alarms";

/// The ARN of another stack's topic, which the server knows too.
pub const OTHER_TOPIC_ARN: &str = "arn:aws:sns:us-east-1:123456789012:alerts-of-another-stack";

/// The limit of a message with its attributes.
const MAX_BYTES: usize = 256 * 1024;

/// A message that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The subject, if the client set one.
    pub subject: Option<String>,
    /// The message: a text for all protocols, or with `MessageStructure: json` a JSON object of texts.
    pub message: String,
    /// Whether `MessageStructure` was `json`.
    pub is_structured: bool,
    /// The message attributes that are delivered. SNS drops those of a structured message.
    pub attributes: BTreeMap<String, String>,
}

impl Published {
    /// What a subscriber of this protocol gets.
    pub fn text(&self, protocol: &str) -> String {
        if !self.is_structured {
            return self.message.clone();
        }
        let texts: Map<String, Value> = serde_json::from_str(&self.message).expect("a JSON object of texts");
        let text = texts.get(protocol).unwrap_or_else(|| &texts["default"]);
        text.as_str().expect("a text").to_owned()
    }

    /// Whether the filter policy `{"form": [{"exists": false}]}` lets it through.
    pub fn has_no_form(&self) -> bool {
        !self.attributes.contains_key("form")
    }
}

/// A topic on loopback. Dropping it closes its port.
pub struct Sns {
    topic: Arc<Topic>,
    front: Front,
}

#[derive(Default)]
struct Topic {
    published: Mutex<Vec<Published>>,
    subscribers: AtomicUsize,
}

impl Sns {
    /// Starts with a topic that has no messages.
    pub async fn start() -> Self {
        let topic = Arc::<Topic>::default();
        let front = Front::start(LOOPBACK, Arc::clone(&topic), Topic::answer).await;
        Self { topic, front }
    }

    /// Sets how many subscriptions of every topic are confirmed.
    pub fn set_subscribers(&self, confirmed: usize) {
        self.topic.subscribers.store(confirmed, Ordering::Relaxed);
    }

    /// Every message that was published.
    pub fn published(&self) -> Vec<Published> {
        self.topic.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Deref for Sns {
    type Target = Front;

    fn deref(&self) -> &Front {
        &self.front
    }
}

/// Its replies have no checksum, so a body that is cut short replaces the wrong one.
const ERRORS: ErrorReplies =
    ErrorReplies { error: error_reply, wrong_checksum: || reply(200, "text/xml", "<PublishResponse><Publ") };

impl Topic {
    async fn answer(self: Arc<Self>, faults: Arc<Faults>, request: Request<Incoming>) -> Option<Reply> {
        faults.apply(request, &ERRORS, async |request| Some(self.perform(&request))).await
    }

    fn perform(&self, request: &Request<Bytes>) -> Reply {
        if !is_signed(request) {
            return error_reply(403, "InvalidClientTokenId");
        }
        let form = form(request.body());
        let is_known = |arn: &String| [TOPIC_ARN, ALARM_TOPIC_ARN, OTHER_TOPIC_ARN].contains(&arn.as_str());
        if !form.get("TopicArn").is_some_and(is_known) {
            return error_reply(404, "NotFound");
        }
        match form.get("Action").map(String::as_str) {
            Some("Publish") => self.publish(form),
            Some("GetTopicAttributes") => self.attributes(),
            _ => error_reply(400, "InvalidAction"),
        }
    }

    fn attributes(&self) -> Reply {
        let confirmed = self.subscribers.load(Ordering::Relaxed);
        let entries = [("SubscriptionsConfirmed", confirmed), ("SubscriptionsPending", 1), ("SubscriptionsDeleted", 0)]
            .map(|(name, count)| format!("<entry><key>{name}</key><value>{count}</value></entry>"))
            .concat();
        let body = format!(
            "<GetTopicAttributesResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><GetTopicAttributesResult>\
             <Attributes>{entries}</Attributes></GetTopicAttributesResult></GetTopicAttributesResponse>"
        );
        reply(200, "text/xml", body)
    }

    fn publish(&self, mut form: BTreeMap<String, String>) -> Reply {
        let attributes = attributes(&form);
        let message = form.remove("Message").unwrap_or_default();
        let is_structured = form.get("MessageStructure").is_some_and(|structure| structure == "json");
        let subject = form.remove("Subject");
        let is_good = !message.is_empty()
            && message.len() <= MAX_BYTES
            && subject.as_deref().is_none_or(is_subject)
            && (!is_structured || has_default(&message));
        if !is_good {
            return error_reply(400, "InvalidParameter");
        }
        let attributes = if is_structured { BTreeMap::new() } else { attributes };
        let message = Published { subject, message, is_structured, attributes };
        self.published.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        let id = unique_id();
        let body = format!(
            "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>{id}\
             </MessageId></PublishResult><ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></PublishResponse>"
        );
        reply(200, "text/xml", body)
    }
}

/// SNS's rule for subjects: fewer than 100 characters of printable ASCII.
fn is_subject(subject: &str) -> bool {
    (1..100).contains(&subject.len()) && subject.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

fn has_default(message: &str) -> bool {
    let texts: Map<String, Value> = serde_json::from_str(message).unwrap_or_default();
    texts.get("default").is_some_and(Value::is_string)
}

fn attributes(form: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let numbers = (1..=10).map_while(|number| {
        let entry = format!("MessageAttributes.entry.{number}");
        let name = form.get(&format!("{entry}.Name"))?.clone();
        Some((name, form.get(&format!("{entry}.Value.StringValue"))?.clone()))
    });
    numbers.collect()
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(body);
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

fn error_reply(status: u16, code: &str) -> Reply {
    let id = unique_id();
    let body = format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{code}, from the test harness</Message></Error><RequestId>{id}</RequestId></ErrorResponse>"
    );
    reply(status, "text/xml", body)
}
