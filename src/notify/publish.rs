//! The notifier: built once at INIT, it publishes each object's alerts to people and its events to machines.

use std::collections::HashSet;

use aws_config::SdkConfig;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};

use super::{
    config::NotifyConfig,
    event::{CreatedObject, EventError},
    facts::Alert,
    markers::Markers,
    message::Writer,
    record::Records,
};
use crate::{
    aws::{
        self, CallError, Deadline,
        eventbridge::{self, Bus, Entry},
        s3::Bucket,
        sns::Topic,
    },
    config::InitError,
    core::{lake::Prefix, schema::Schemas, severity::Severity},
};

/// The message attribute of a message that is for chat alone. The e-mail subscription's filter wants it absent.
const CHAT_ALONE: (&str, &str) = ("form", "chat");

/// How many calls of one kind are on their way at once.
const CONCURRENCY: usize = 16;

/// Why an SQS message stays in the queue.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotifyError {
    /// A later attempt does not change it.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The object has lines that are not records.
    #[error("line {0} of the object is not a JSON object; the other lines were published")]
    BadLine(usize),
    /// A call to AWS failed: the object could not be read, or something of it was not published.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl NotifyError {
    /// Whether a later attempt is in vain.
    pub(super) fn is_rejection(&self) -> bool {
        matches!(self, Self::Event(_) | Self::BadLine(_))
    }
}

/// What was done about one SQS message.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// The key of its object.
    pub(super) key: Option<String>,
    /// The records of which people were notified.
    pub(super) alerts: usize,
    /// How many of these messages were the first of their alert and day.
    pub(super) first_messages: usize,
    /// The events that are on the bus.
    pub(super) events: usize,
}

/// Everything that serves all messages.
#[derive(Debug)]
pub struct Notifier {
    schemas: Schemas,
    bucket_name: String,
    bucket: Bucket,
    prefix: Prefix,
    threshold: Severity,
    markers: Markers,
    topic: Topic,
    bus: Bus,
    writer: Writer,
    stack: Option<String>,
}

/// Which message of its alert and day a record got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivered {
    /// The first: by every protocol.
    First,
    /// A later one: in chat alone.
    Later,
}

impl Notifier {
    /// The notifier that the process's environment describes.
    ///
    /// # Errors
    /// [`InitError`] if the function cannot start.
    pub async fn from_env() -> Result<Self, InitError> {
        let config = NotifyConfig::from_env()?;
        Self::init(config, &aws::load().await)
    }

    /// Builds the clients.
    ///
    /// # Errors
    /// As [`Notifier::from_env`].
    pub fn init(config: NotifyConfig, sdk: &SdkConfig) -> Result<Self, InitError> {
        let bucket = Bucket::new(sdk, config.bucket.clone(), config.path_style);
        Ok(Self {
            schemas: Schemas::embedded()?,
            markers: Markers::new(bucket.clone(), &config.prefix),
            topic: Topic::new(sdk, config.topic_arn),
            bus: Bus::new(sdk, config.bus),
            writer: Writer::new(sdk.region().map(AsRef::as_ref)),
            bucket_name: config.bucket,
            bucket,
            prefix: config.prefix,
            threshold: config.threshold,
            stack: config.stack,
        })
    }

    /// The stack's name, by which metrics of several stacks are kept apart.
    pub(super) fn stack(&self) -> Option<&str> {
        self.stack.as_deref()
    }

    /// Publishes what the object of an SQS message holds, by the deadline.
    pub(super) async fn notify(&self, body: &str, deadline: Deadline) -> (Published, Result<(), NotifyError>) {
        let mut counts = Published::default();
        let result = self.publish(body, &mut counts, deadline).await;
        (counts, result)
    }

    async fn publish(&self, body: &str, counts: &mut Published, deadline: Deadline) -> Result<(), NotifyError> {
        let object = CreatedObject::open(body)?;
        counts.key = Some(object.key.clone());
        let place = object.place(&self.bucket_name, &self.prefix, &self.schemas)?;
        let bytes = self.bucket.read(&object.key, object.size, deadline).await?;
        let Records { records, bad_line } = Records::of(&bytes, place);
        let alerts: Vec<_> = records.iter().filter_map(|record| record.alert(self.threshold)).collect();
        let entries = records.iter().map(|record| record.entry(&object.key)).collect();
        // At once, so that an outage of one does not silence the other.
        let (people, machines) =
            tokio::join!(self.publish_all(&alerts, counts, deadline), self.put_all(entries, deadline));
        let (events, machines) = machines;
        counts.events = events;
        people?;
        machines?;
        bad_line.map_or(Ok(()), |line| Err(NotifyError::BadLine(line)))
    }

    /// Publishes a message for every alert. The first log of each alert goes ahead of the others, because it may be the one
    /// that is e-mailed.
    async fn publish_all(&self, alerts: &[Alert], counts: &mut Published, deadline: Deadline) -> Result<(), CallError> {
        let now = Utc::now();
        let mut met = HashSet::new();
        let (first, later): (Vec<_>, Vec<_>) = alerts.iter().partition(|alert| met.insert(&alert.id));
        let first = stream::iter(first).map(|alert| self.publish_first(alert, now, deadline));
        let later = stream::iter(later).map(|alert| self.publish_later(alert, deadline));
        let published = first.buffer_unordered(CONCURRENCY).chain(later.buffer_unordered(CONCURRENCY));
        let mut published = std::pin::pin!(published);
        let mut result = Ok(());
        while let Some(outcome) = published.next().await {
            match outcome {
                Ok(delivered) => {
                    counts.alerts += 1;
                    counts.first_messages += usize::from(delivered == Delivered::First);
                }
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    /// Publishes by every protocol if people were not notified of the alert today, and in chat alone if they were.
    async fn publish_first(
        &self,
        alert: &Alert,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Delivered, CallError> {
        if self.markers.was_notified(alert, now, deadline).await {
            return self.publish_later(alert, deadline).await;
        }
        let message = self.writer.first(alert);
        self.topic.publish_by_protocol(message.subject.0, message.texts.0, deadline).await?;
        self.markers.remember(alert);
        self.markers.mark(alert, now, deadline).await;
        Ok(Delivered::First)
    }

    /// Publishes in chat, unless this instance has done it for this very record.
    async fn publish_later(&self, alert: &Alert, deadline: Deadline) -> Result<Delivered, CallError> {
        if !self.markers.has_published(alert) {
            self.topic.publish_with_attribute(self.writer.chat(alert), CHAT_ALONE, deadline).await?;
            self.markers.remember(alert);
        }
        Ok(Delivered::Later)
    }

    /// Puts the events on the bus. Returns how many are there, and why others are not.
    async fn put_all(&self, entries: Vec<Entry>, deadline: Deadline) -> (usize, Result<(), CallError>) {
        let calls = stream::iter(eventbridge::calls(entries)).map(|call| self.bus.put(call, deadline));
        let mut calls = std::pin::pin!(calls.buffer_unordered(CONCURRENCY));
        let (mut events, mut result) = (0, Ok(()));
        while let Some((put, outcome)) = calls.next().await {
            events += put;
            result = result.and(outcome);
        }
        (events, result)
    }
}
