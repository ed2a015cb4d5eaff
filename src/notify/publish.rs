//! The notifier: built once at INIT, it publishes each object's alerts to people and its events to machines.
//!
//! The messages of a batch are published side by side, so that a slow call, or a message that can never be published,
//! costs no other message its turn.

use std::sync::Arc;

use aws_config::SdkConfig;
use chrono::Utc;
use futures_util::{StreamExt as _, stream};

use super::{
    config::NotifyConfig,
    event::{CreatedObject, EventError, Place},
    facts::Alert,
    markers::Markers,
    message::Writer,
    people::{Delivered, People},
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
    quiet: Option<QuietFile>,
    people: People,
    events: Events,
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
        tokio::join!(notifier.bucket.warm(deadline), notifier.people.warm(deadline), notifier.events.warm(deadline));
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
            people: People::new(
                Markers::new(bucket.clone(), &config.prefix, &config.topic_arn),
                Topic::new(sdk, config.topic_arn),
                Writer::new(sdk.region().map(AsRef::as_ref), config.places),
            ),
            events: Events::new(Bus::new(sdk, config.bus)),
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
            tokio::join!(self.people.notify(alerts, deadline), self.events.put_all(entries, deadline));
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

/// Records something about the message at this place of the batch.
fn record(published: &mut [Published], index: usize, change: impl FnOnce(&mut Published)) {
    if let Some(published) = published.get_mut(index) {
        change(published);
    }
}
