//! The notifier: built once at INIT, it tells people and machines about each object.

use std::collections::HashSet;

use aws_config::SdkConfig;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};

use super::{
    bus::{self, Bus, BusError, Entry},
    config::NotifyConfig,
    event::{CreatedObject, EventError},
    facts::Alert,
    markers::Markers,
    message::Writer,
    reader::{self, ReadError, Reader},
    record::Records,
    sns::{Topic, TopicError},
};
use crate::core::severity::Severity;
use crate::{
    aws::{self, deadline::Deadline},
    core::{lake::Prefix, schema::Schemas},
    ingest::app::InitError,
};

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
    /// The object could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// People were not told.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// Machines were not told.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl NotifyError {
    /// Whether a later attempt is in vain.
    pub(super) fn is_rejection(&self) -> bool {
        matches!(self, Self::Event(_) | Self::BadLine(_))
    }
}

/// What was done about one SQS message.
#[derive(Debug, Default)]
pub(super) struct Notified {
    /// The key of its object.
    pub(super) key: Option<String>,
    /// The records that ring and of which people were told.
    pub(super) alerts: usize,
    /// How many of these messages were the first of their alert and day.
    pub(super) firsts: usize,
    /// The events that are on the bus.
    pub(super) events: usize,
}

/// Everything that serves all messages.
#[derive(Debug)]
pub struct Notifier {
    schemas: Schemas,
    bucket: String,
    prefix: Prefix,
    threshold: Severity,
    reader: Reader,
    markers: Markers,
    topic: Topic,
    bus: Bus,
    writer: Writer,
    stack: Option<String>,
}

/// Whether a message was the first of its alert and day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    First,
    Again,
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
        let s3 = reader::client(sdk, config.path_style);
        Ok(Self {
            schemas: Schemas::embedded()?,
            reader: Reader::new(s3.clone(), config.bucket.clone()),
            markers: Markers::new(s3, config.bucket.clone(), &config.prefix),
            topic: Topic::new(sdk, config.topic_arn),
            bus: Bus::new(sdk, config.bus),
            writer: Writer::new(sdk.region().map(AsRef::as_ref)),
            bucket: config.bucket,
            prefix: config.prefix,
            threshold: config.threshold,
            stack: config.stack,
        })
    }

    /// The stack's name, by which metrics of several stacks are kept apart.
    pub(super) fn stack(&self) -> Option<&str> {
        self.stack.as_deref()
    }

    /// Tells people and machines about the object of an SQS message by the deadline.
    pub(super) async fn notify(&self, body: &str, deadline: Deadline) -> (Notified, Result<(), NotifyError>) {
        let mut notified = Notified::default();
        let result = self.tell(body, &mut notified, deadline).await;
        (notified, result)
    }

    async fn tell(&self, body: &str, notified: &mut Notified, deadline: Deadline) -> Result<(), NotifyError> {
        let object = CreatedObject::open(body)?;
        notified.key = Some(object.key.clone());
        let place = object.place(&self.bucket, &self.prefix, &self.schemas)?;
        let bytes = self.reader.read(&object, deadline).await?;
        let Records { records, bad_line } = Records::of(&bytes, place);
        let alerts: Vec<_> = records.iter().filter_map(|record| record.alert(self.threshold)).collect();
        let entries = records.iter().map(|record| Entry::of(record, &object.key)).collect();
        // At once, so that an outage of one does not silence the other.
        let (people, machines) =
            tokio::join!(self.ring_all(&alerts, notified, deadline), self.put_all(entries, deadline));
        let (events, machines) = machines;
        notified.events = events;
        people?;
        machines?;
        bad_line.map_or(Ok(()), |line| Err(NotifyError::BadLine(line)))
    }

    /// Rings for every alert. The first log of each goes ahead of the others, because it may be the one that e-mails.
    async fn ring_all(&self, alerts: &[Alert], notified: &mut Notified, deadline: Deadline) -> Result<(), TopicError> {
        let now = Utc::now();
        let mut met = HashSet::new();
        let (leaders, followers): (Vec<_>, Vec<_>) = alerts.iter().partition(|alert| met.insert(&alert.id));
        let leaders = stream::iter(leaders).map(|alert| self.lead(alert, now, deadline)).buffer_unordered(CONCURRENCY);
        let followers = stream::iter(followers).map(|alert| self.follow(alert, deadline)).buffer_unordered(CONCURRENCY);
        let mut rung = std::pin::pin!(leaders.chain(followers));
        let mut result = Ok(());
        while let Some(outcome) = rung.next().await {
            match outcome {
                Ok(rung) => {
                    notified.alerts += 1;
                    notified.firsts += usize::from(rung == Rung::First);
                }
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    /// Rings by every protocol if the alert has not rung today, and in chat alone if it has.
    async fn lead(&self, alert: &Alert, now: DateTime<Utc>, deadline: Deadline) -> Result<Rung, TopicError> {
        if self.markers.has_rung(alert, now, deadline).await {
            return self.follow(alert, deadline).await;
        }
        self.topic.publish_first(self.writer.first(alert), deadline).await?;
        self.markers.say(alert);
        self.markers.ring(alert, now, deadline).await;
        Ok(Rung::First)
    }

    /// Rings in chat, unless this instance has done it for this very record.
    async fn follow(&self, alert: &Alert, deadline: Deadline) -> Result<Rung, TopicError> {
        if !self.markers.has_said(alert) {
            self.topic.publish_chat(self.writer.chat(alert), deadline).await?;
            self.markers.say(alert);
        }
        Ok(Rung::Again)
    }

    async fn put_all(&self, entries: Vec<Entry>, deadline: Deadline) -> (usize, Result<(), BusError>) {
        let calls = stream::iter(bus::calls(entries)).map(|call| self.bus.put(call, deadline));
        let mut calls = std::pin::pin!(calls.buffer_unordered(CONCURRENCY));
        let (mut events, mut result) = (0, Ok(()));
        while let Some((put, outcome)) = calls.next().await {
            events += put;
            result = result.and(outcome);
        }
        (events, result)
    }
}
