//! The application: built once at INIT, it turns each delivery into an [`Ingested`]. It knows nothing of HTTP or SQS.

use std::time::{Duration, Instant, SystemTime};

use aws_config::SdkConfig;
use futures_util::StreamExt as _;

use super::{
    outcome::{Ingested, NotStored, Outcome, PayloadReport},
    store::store,
};
use crate::{
    aws::{
        self, CallError, Deadline,
        s3::Bucket,
        secrets::{Authorized, Secrets},
        sqs::{self, Queue},
    },
    config::{Config, InitError},
    core::{
        delivery::Delivery,
        envelope::Envelope,
        lake::{Batch, Failure, Prefix, ReceiveContext, Source},
        payload,
        redacted::Redacted,
        schema::{self, Schemas},
        severity::Severity,
        signature::{Signature, Verified},
    },
};

/// How long a payload that becomes a classification failure, because it takes too long to read, was read at least. With
/// less time than this, even a good one may not be read, and the next attempt may have more.
const FAIR_READING_TIME: Duration = Duration::from_secs(2);

const TOO_LONG_TO_READ: &str = "payload: takes longer to read than the function may (MemorySize)";

/// Everything that serves all deliveries.
#[derive(Debug)]
pub struct App {
    schemas: Schemas,
    prefix: Prefix,
    source: Source,
    max_payload_bytes: usize,
    secrets: Secrets,
    bucket: Bucket,
    queue: Option<Queue>,
    threshold: Severity,
    stack: Option<String>,
    reads_slowly: bool,
}

impl App {
    /// The application that the process's environment describes.
    ///
    /// # Errors
    /// [`InitError`] if the function cannot start. A service that cannot be reached is not an error, because the first
    /// delivery tries again.
    pub async fn from_env() -> Result<Self, InitError> {
        let config = Config::from_env()?;
        Self::init(config, &aws::load().await?).await
    }

    /// Builds the clients, fetches the secret and opens the connection to S3.
    ///
    /// # Errors
    /// As [`App::from_env`].
    pub async fn init(config: Config, sdk: &SdkConfig) -> Result<Self, InitError> {
        let bucket = Bucket::new(sdk, config.bucket, config.path_style);
        let queue = config.spill_queue_url.map(|url| Queue::new(sdk, url));
        let secrets = Secrets::new(sdk, config.secret);
        let schemas = Schemas::embedded()?;
        let deadline = Deadline::of_init();
        let (secret, ()) = tokio::join!(secrets.warm(deadline), bucket.warm(deadline));
        secret?;
        Ok(Self {
            schemas,
            prefix: config.prefix,
            source: config.source,
            max_payload_bytes: config.max_payload_bytes,
            secrets,
            bucket,
            queue,
            threshold: config.threshold,
            stack: config.stack,
            reads_slowly: false,
        })
    }

    /// The same application without the spill queue: the drain uses it, so that no message returns to the queue as a
    /// new one.
    #[must_use]
    pub fn without_queue(self) -> Self {
        Self { queue: None, ..self }
    }

    /// The same application with other schemas than those that are embedded: tests use it as an earlier release.
    #[must_use]
    pub fn with_schemas(self, schemas: Schemas) -> Self {
        Self { schemas, ..self }
    }

    /// The same application with another clock for the age of its secrets: tests use it to let a day pass.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> SystemTime) -> Self {
        Self { secrets: self.secrets.with_clock(clock), ..self }
    }

    /// The same application, for which every payload takes too long to read: tests use it, because no payload is slow
    /// on every machine.
    #[must_use]
    pub fn with_slow_reading(self) -> Self {
        Self { reads_slowly: true, ..self }
    }

    /// The log types that it knows.
    #[must_use]
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// The lowest severity of which people are notified.
    pub(super) fn threshold(&self) -> Severity {
        self.threshold
    }

    /// The stack's name, by which metrics of several stacks are kept apart.
    #[must_use]
    pub fn stack(&self) -> Option<&str> {
        self.stack.as_deref()
    }

    /// Verifies, decodes, classifies and stores a delivery by the deadline.
    pub async fn ingest(&self, delivery: &Delivery, deadline: Deadline) -> Ingested<'_> {
        let authorized = match self.secrets.verify(&delivery.body, delivery.signature, deadline).await {
            Ok(authorized) => authorized,
            Err(refused) => return Ingested { outcome: Outcome::Refused(refused), payload: None },
        };
        let Authorized { body, signature, .. } = authorized;
        let queue = self.queue.as_ref().filter(|_| Envelope::max_bytes(body) <= sqs::MAX_MESSAGE_BYTES);
        let (payload, stored) = self.store_delivery(authorized, delivery, queue.is_some(), deadline).await;
        let outcome = match (stored, queue) {
            (Ok(()), _) => Outcome::Stored,
            (Err(cause), None) => Outcome::StoreUnavailable(cause),
            (Err(cause), Some(queue)) => match spill(queue, delivery, body, &signature, deadline).await {
                Ok(()) => Outcome::Queued(cause),
                Err(queue) => Outcome::QueueUnavailable(cause, queue),
            },
        };
        Ingested { outcome, payload: Some(payload) }
    }

    /// Decodes a verified delivery and stores its records. The S3 deadline is computed after decoding, so that decoding
    /// is not charged to the upload.
    ///
    /// A payload that takes too long to read goes to the queue, because the drain may have more time or memory. Without
    /// a queue it is stored as it was sent.
    async fn store_delivery(
        &self,
        Authorized { body, has_stale_secret, has_earlier_secret, .. }: Authorized<'_>,
        delivery: &Delivery,
        has_queue: bool,
        deadline: Deadline,
    ) -> (PayloadReport<'_>, Result<(), NotStored>) {
        let report = PayloadReport { has_earlier_secret, ..PayloadReport::new(body.bytes().len(), has_stale_secret) };
        let context = ReceiveContext { received: delivery.received, source: &self.source };
        let as_sent = |error: String| {
            let payload = Redacted(body.bytes().into());
            Batch::of_failure(Failure { error: Redacted(error), payload, log_type: None }, context)
        };
        let reading = deadline.for_reading();
        let has_fair_time = reading.left() >= FAIR_READING_TIME;
        let decoded = payload::decode(body, self.max_payload_bytes);
        let batch = match &decoded {
            Ok(payload) => {
                let elements = payload::elements(payload, schema::probe);
                Batch::build_in_time(elements, &self.schemas, context, &|| {
                    self.reads_slowly || reading.left().is_zero()
                })
            }
            Err(error) => Some(as_sent(error.to_string())),
        };
        let batch = match batch {
            Some(batch) => batch,
            None if !has_queue && has_fair_time => as_sent(TOO_LONG_TO_READ.to_owned()),
            None => return (report, Err(NotStored::Unread)),
        };
        let deadline = if has_queue { deadline.for_store_before_queue() } else { deadline };
        let (report, stored) = self.store_all(&batch, report, deadline).await;
        (report, stored.map_err(NotStored::S3))
    }

    /// Stores the objects of a batch, and records each one that is in the lake, even if others fail. A later delivery
    /// counts it as a duplicate.
    async fn store_all<'s>(
        &'s self,
        batch: &Batch<'s, '_>,
        mut report: PayloadReport<'s>,
        deadline: Deadline,
    ) -> (PayloadReport<'s>, Result<(), CallError>) {
        let mut result = Ok(());
        let started = Instant::now();
        let mut stored = store(&self.bucket, batch.objects(&self.prefix), deadline);
        while let Some(object) = stored.next().await {
            match object.result {
                Ok(outcome) => report.record(object.key, object.summary, outcome),
                Err(error) => result = result.and(Err(error)),
            }
        }
        report.store_latency = started.elapsed();
        if result.is_ok() {
            report.duplicates += batch.repeats;
        }
        (report, result)
    }
}

/// Puts a delivery into the spill queue. Storing a delivery twice has no effect, so an answer that is lost does no
/// harm.
async fn spill(
    queue: &Queue,
    delivery: &Delivery,
    body: Verified<'_>,
    signature: &Signature,
    deadline: Deadline,
) -> Result<(), CallError> {
    queue.send(Envelope::seal(delivery, body, signature).to_message(), deadline.for_queue()).await
}
