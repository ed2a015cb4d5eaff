//! The notifier: built once at INIT, it publishes each object's alerts to people and its events to machines.
//!
//! The messages of a batch are published side by side, so that a slow call, or a message that can never be published,
//! costs no other message its turn. First messages go ahead of later ones, because each may be the only one that
//! somebody reads.

use std::{collections::BTreeMap, sync::Arc};

use aws_config::SdkConfig;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};

use super::{
    config::NotifyConfig,
    event::{CreatedObject, EventError, Place},
    facts::{Alert, Kind, Subject},
    flood::{Flood, Share},
    markers::{Before, Markers},
    message::{self, Writer},
    put::Events,
    quiet::Rules,
    quiet_file::QuietFile,
    record::{self, Records},
};
use crate::{
    aws::{
        self, CallError, Deadline,
        eventbridge::{Bus, Entry},
        s3::{Bucket, Read},
        sns::Topic,
    },
    config::InitError,
    core::{lake::Prefix, schema::Schemas, severity::Severity},
};

/// The message attribute of a message that is for chat alone. The e-mail subscription's filter wants it absent.
const CHAT_ALONE: (&str, &str) = ("form", "chat");

/// How many calls of one kind are on their way at once.
const CONCURRENCY: usize = 16;

/// The largest object that is published beside the others of its batch, in bytes. Ten of them fit into the memory of a
/// small function. Larger ones come after that, one by one.
const SMALL: usize = 1024 * 1024;

/// The largest object that is read, in bytes. The largest payload (`MAX_PAYLOAD_BYTES`) makes no larger log. A failure
/// can be larger, because JSON may write six bytes for one.
pub(crate) const LARGE: usize = 20 * 1024 * 1024;

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
#[derive(Debug)]
pub(super) struct Published {
    /// The key of its object.
    pub(super) key: Option<String>,
    /// The records of which people were notified.
    pub(super) alerts: usize,
    /// How many of these messages were the first of their subject and day, or of a higher severity.
    pub(super) first_messages: usize,
    /// The records that a rule kept quiet.
    pub(super) quieted: usize,
    /// The events that are on the bus.
    pub(super) events: usize,
    /// Whether the operator's rules could not be used. `None` if there are none.
    pub(super) has_void_rules: Option<bool>,
    /// Why the message stays in the queue, if it does.
    pub(super) error: Option<NotifyError>,
}

impl Published {
    fn fail(&mut self, error: impl Into<NotifyError>) {
        self.error.get_or_insert(error.into());
    }
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
    flood: Flood,
    quiet: Option<QuietFile>,
    topic: Topic,
    events: Events,
    writer: Writer,
    stack: Option<String>,
}

/// An SQS message that is about a new object of the lake.
#[derive(Debug, Clone, Copy)]
struct Message<'m> {
    /// Its place in the batch.
    index: usize,
    object: &'m CreatedObject,
    place: Place<'m>,
}

/// Something that an SQS message asks for.
#[derive(Debug)]
pub(super) struct Of<T> {
    /// The message's place in the batch.
    pub(super) index: usize,
    pub(super) item: T,
}

/// Which message people got of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivered {
    /// The first of its subject and day, or one of a higher severity: by every protocol.
    First,
    /// A later one: in chat alone, or as one of many.
    Later,
    /// One that a rule keeps quiet: the same, and it counts as no notification.
    Quiet,
}

type Outcome<T> = Of<Result<T, CallError>>;

impl Notifier {
    /// The notifier that the process's environment describes, with its connections open, because most alerts meet a new
    /// instance.
    ///
    /// # Errors
    /// [`InitError`] if the function cannot start.
    pub async fn from_env() -> Result<Self, InitError> {
        let config = NotifyConfig::from_env()?;
        let notifier = Self::init(config, &aws::load().await?)?;
        let deadline = Deadline::of_init();
        tokio::join!(notifier.bucket.warm(deadline), notifier.topic.warm(deadline), notifier.events.warm(deadline));
        Ok(notifier)
    }

    /// Builds the clients.
    ///
    /// # Errors
    /// As [`Notifier::from_env`].
    pub fn init(config: NotifyConfig, sdk: &SdkConfig) -> Result<Self, InitError> {
        let bucket = Bucket::new(sdk, config.bucket.clone(), config.path_style);
        Ok(Self {
            quiet: config.has_quiet_rules.then(|| QuietFile::new(bucket.clone(), &config.prefix)),
            schemas: Schemas::embedded()?,
            markers: Markers::new(bucket.clone(), &config.prefix, &config.topic_arn),
            flood: Flood::default(),
            topic: Topic::new(sdk, config.topic_arn),
            events: Events::new(Bus::new(sdk, config.bus)),
            writer: Writer::new(sdk.region().map(AsRef::as_ref), config.places),
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

    /// Publishes what the objects of a batch of SQS messages hold, by the deadline. The results come in the order of
    /// the messages.
    pub(super) async fn notify(&self, bodies: &[&str], deadline: Deadline) -> Vec<Published> {
        let objects: Vec<_> = bodies.iter().map(|body| CreatedObject::open(body)).collect();
        let mut published: Vec<_> = objects.iter().map(Published::of).collect();
        let rules = match &self.quiet {
            Some(file) => {
                let current = file.current(Utc::now(), deadline).await;
                for message in &mut published {
                    message.has_void_rules = Some(current.is_void);
                }
                current.rules
            }
            None => Arc::default(),
        };
        let mut small = Vec::new();
        let mut large = Vec::new();
        for (index, object) in objects.iter().enumerate() {
            let Some(object) = object.as_ref().ok().filter(|object| object.is_new) else { continue };
            match object.place(&self.bucket_name, &self.prefix, &self.schemas) {
                Ok(place) if object.size <= SMALL => small.push(Message { index, object, place }),
                Ok(place) => large.push(Message { index, object, place }),
                Err(error) => record(&mut published, index, |published| published.fail(error)),
            }
        }
        let share = deadline.share_of(1 + large.len());
        large.extend(self.publish_together(small, SMALL, &rules, &mut published, share).await);
        let mut waiting = large.len();
        for message in large {
            let share = deadline.share_of(waiting);
            waiting -= 1;
            for message in self.publish_together(vec![message], LARGE, &rules, &mut published, share).await {
                self.publish_digest(message, &mut published, share).await;
            }
        }
        published
    }

    /// Publishes objects of at most `limit` bytes, side by side. Returns those that are larger.
    async fn publish_together<'m>(
        &self,
        messages: Vec<Message<'m>>,
        limit: usize,
        rules: &Rules,
        published: &mut [Published],
        deadline: Deadline,
    ) -> Vec<Message<'m>> {
        let today = Utc::now().date_naive();
        // An object that cannot be read leaves the others half of the time.
        let half = deadline.share_of(2);
        let read = async |message: Message<'m>| (message, self.bucket.read(&message.object.key, limit, half).await);
        let reads: Vec<_> = stream::iter(messages).map(read).buffered(CONCURRENCY).collect().await;
        let (mut objects, mut too_large) = (Vec::new(), Vec::new());
        for (message, read) in reads {
            match read {
                Ok(Read::Whole { is_quiet: true, .. }) => {}
                Ok(Read::Whole { bytes, .. }) => objects.push((message, bytes)),
                Ok(Read::TooLarge) => too_large.push(message),
                Err(error) => record(published, message.index, |published| published.fail(error)),
            }
        }
        let (mut alerts, mut entries, mut bad_lines) = (Vec::new(), Vec::new(), Vec::new());
        for (Message { index, object, place }, bytes) in &objects {
            let (index, Records { records, bad_line }) = (*index, Records::of(bytes, *place));
            for record in records {
                let quiet = record.quiet_reason(rules, today);
                let alert = record.alert(self.threshold);
                let alert = alert.map(|alert| Alert { quiet: quiet.map(str::to_owned), ..alert });
                alerts.extend(alert.map(|item| Of { index, item }));
                entries.push(Of { index, item: record.entry(&object.key, quiet) });
            }
            bad_lines.extend(bad_line.map(|line| (index, NotifyError::BadLine(line))));
        }
        self.publish(alerts, entries, published, deadline).await;
        for (index, error) in bad_lines {
            record(published, index, |published| published.fail(error));
        }
        too_large
    }

    /// Publishes what stands for an object that is too large to be read.
    async fn publish_digest(&self, message: Message<'_>, published: &mut [Published], deadline: Deadline) {
        let Message { index, object, place } = message;
        match self.bucket.digest(&object.key, deadline).await {
            Ok(digest) if digest.is_quiet => {}
            Ok(digest) => {
                let alert = Alert::of_large(place, digest.bytes).map(|item| Of { index, item });
                let entry = Of { index, item: record::entry_of_large(&object.key, place, &digest) };
                self.publish(alert.into_iter().collect(), vec![entry], published, deadline).await;
            }
            Err(error) => record(published, index, |published| published.fail(error)),
        }
    }

    /// Publishes alerts to people and events to machines, at once, so that an outage of one does not silence the other.
    async fn publish(
        &self,
        alerts: Vec<Of<Alert>>,
        entries: Vec<Of<Entry<'_>>>,
        published: &mut [Published],
        deadline: Deadline,
    ) {
        let (people, machines) =
            tokio::join!(self.notify_people(alerts, deadline), self.events.put_all(entries, deadline));
        for Of { index, item } in people {
            record(published, index, |published| match item {
                Ok(Delivered::Quiet) => published.quieted += 1,
                Ok(delivered) => {
                    published.alerts += 1;
                    published.first_messages += usize::from(delivered == Delivered::First);
                }
                Err(error) => published.fail(error),
            });
        }
        for Of { index, item } in machines {
            record(published, index, |published| match item {
                Ok(()) => published.events += 1,
                Err(error) => published.fail(error),
            });
        }
    }

    /// Publishes the messages of alerts. Those that may be the first of their subject go ahead of all others.
    async fn notify_people(&self, alerts: Vec<Of<Alert>>, deadline: Deadline) -> Vec<Outcome<Delivered>> {
        let now = Utc::now();
        let (quiet, alerts): (Vec<_>, Vec<_>) = alerts.into_iter().partition(|alert| alert.item.quiet.is_some());
        let subjects = by_subject(alerts);
        let first = stream::iter(subjects.into_values()).map(|alerts| self.publish_first(alerts, now, deadline));
        let first: Vec<_> = first.buffer_unordered(CONCURRENCY).collect().await;
        let (outcomes, later): (Vec<_>, Vec<_>) = first.into_iter().unzip();
        let later = later.into_iter().chain(by_subject(quiet).into_values());
        let later = stream::iter(later).map(|alerts| self.publish_later(alerts, now, deadline));
        let later: Vec<_> = later.buffer_unordered(CONCURRENCY).collect().await;
        outcomes.into_iter().chain(later).flatten().collect()
    }

    /// Publishes the most severe of a subject's alerts by every protocol, unless people know enough. Returns what was
    /// done, and the alerts that are later ones.
    async fn publish_first(
        &self,
        mut alerts: Vec<Of<Alert>>,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> (Vec<Outcome<Delivered>>, Vec<Of<Alert>>) {
        // Of equals, the one that came first is published first.
        alerts.sort_by_key(|alert| std::cmp::Reverse(alert.item.severity));
        let mut outcomes = Vec::new();
        let mut alerts = alerts.into_iter();
        while let Some(Of { index, item: alert }) = alerts.next() {
            let before = self.markers.before(&alert, now, deadline).await;
            if before == Before::Enough {
                return (outcomes, std::iter::once(Of { index, item: alert }).chain(alerts).collect());
            }
            let message = self.writer.first(&alert, before);
            match self.topic.publish_by_protocol(message.subject.0, message.texts.0, deadline).await {
                Ok(()) => {
                    self.markers.done(&alert);
                    self.markers.mark(&alert, now, deadline).await;
                    outcomes.push(Of { index, item: Ok(Delivered::First) });
                }
                // SNS refuses this very message, so the next one must be the first.
                Err(error) if error.status() == Some(400) => outcomes.push(Of { index, item: Err(error) }),
                Err(error) => {
                    let failed = std::iter::once(index).chain(alerts.map(|alert| alert.index));
                    outcomes.extend(failed.map(|index| Of { index, item: Err(error.clone()) }));
                    return (outcomes, Vec::new());
                }
            }
        }
        (outcomes, Vec::new())
    }

    /// Publishes later alerts of one subject in chat, and of many only their number. What this instance has published
    /// before, it does not repeat.
    async fn publish_later(
        &self,
        alerts: Vec<Of<Alert>>,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Vec<Outcome<Delivered>> {
        let (done, new): (Vec<_>, Vec<_>) = alerts.into_iter().partition(|alert| self.is_done(&alert.item));
        let delivered = |alert: &Alert| if alert.quiet.is_some() { Delivered::Quiet } else { Delivered::Later };
        let mut outcomes: Vec<_> =
            done.iter().map(|Of { index, item }| Of { index: *index, item: Ok(delivered(item)) }).collect();
        let quiet: Vec<_> = done.iter().filter(|alert| alert.item.quiet.is_some()).collect();
        self.mark_quiet(&quiet, now, deadline).await;
        let Some(Of { item: any, .. }) = new.first() else { return outcomes };
        let Share { one_by_one, total } = self.flood.share(any.subject.digest(), new.len(), now);
        let (single, many) = new.split_at(one_by_one.min(new.len()));
        let chat = async |Of { index, item }: &Of<Alert>| {
            let text = message::later(item);
            let result = self.topic.publish_with_attribute(text, CHAT_ALONE, deadline).await;
            Of { index: *index, item: result.map(|()| self.markers.done(item)) }
        };
        let mut sent: Vec<_> = stream::iter(single).map(chat).buffered(CONCURRENCY).collect().await;
        if let Some(last) = many.last() {
            let result = match total {
                Some(total) => {
                    let text = message::many(&last.item, many.len(), total);
                    self.topic.publish_with_attribute(text, CHAT_ALONE, deadline).await
                }
                None => Ok(()),
            };
            if result.is_ok() {
                for alert in many {
                    self.markers.done(&alert.item);
                }
            }
            sent.extend(many.iter().map(|Of { index, .. }| Of { index: *index, item: result.clone() }));
        }
        let is_quiet = |(alert, sent): &(&Of<Alert>, &Outcome<()>)| alert.item.quiet.is_some() && sent.item.is_ok();
        let quiet: Vec<_> = new.iter().zip(&sent).filter(is_quiet).map(|(alert, _)| alert).collect();
        self.mark_quiet(&quiet, now, deadline).await;
        outcomes.extend(
            new.iter()
                .zip(sent)
                .map(|(alert, Of { index, item })| Of { index, item: item.map(|()| delivered(&alert.item)) }),
        );
        outcomes
    }

    /// Records that rules kept these quiet, side by side.
    async fn mark_quiet(&self, alerts: &[&Of<Alert>], now: DateTime<Utc>, deadline: Deadline) {
        let mark = async |alert: &Of<Alert>| self.markers.mark_quiet(&alert.item, now, deadline).await;
        stream::iter(alerts.iter().copied()).map(mark).buffer_unordered(CONCURRENCY).collect::<Vec<()>>().await;
    }

    /// Whether nothing is left to publish of an alert that is not the first of its subject. Of what nobody can read,
    /// people are notified once a day.
    fn is_done(&self, alert: &Alert) -> bool {
        alert.subject.kind == Kind::Unreadable || self.markers.is_done(alert)
    }
}

impl Published {
    fn of(object: &Result<CreatedObject, EventError>) -> Self {
        let (key, error) = match object {
            Ok(object) => (Some(object.key.clone()), None),
            Err(error) => (None, Some((*error).into())),
        };
        Self { key, alerts: 0, first_messages: 0, quieted: 0, events: 0, has_void_rules: None, error }
    }
}

/// The alerts of each subject.
fn by_subject(alerts: Vec<Of<Alert>>) -> BTreeMap<Subject, Vec<Of<Alert>>> {
    let mut subjects: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for alert in alerts {
        subjects.entry(alert.item.subject.clone()).or_default().push(alert);
    }
    subjects
}

/// Records something about the message at this place of the batch.
fn record(published: &mut [Published], index: usize, change: impl FnOnce(&mut Published)) {
    if let Some(published) = published.get_mut(index) {
        change(published);
    }
}
