//! What the lake's objects hold, as far as the watcher must know. An object never changes, so each is read once by an
//! instance.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, stream};

use super::{
    SOURCE_LABEL,
    view::{self, Bounds, Days, Entry, Id, Since, View},
};
use crate::{
    aws::{
        CallError, Deadline,
        s3::{Bucket, Listed, Read},
    },
    core::{
        lake::{FAILURES_TABLE, Prefix},
        schema::{ALERT, Schemas},
        severity::Severity,
    },
    notify::{self, Duty, Inspected},
};

/// How many objects are read at once.
const CONCURRENCY: usize = 16;

/// The largest object that is read beside others, in bytes. Sixteen of them fit into the memory of a small function.
const SMALL: usize = 1024 * 1024;

/// How many objects and alerts are remembered. When there are more, memory starts again.
const MAX_REMEMBERED: usize = 100_000;

/// How the lake knows an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// Not at all.
    Absent,
    /// By logs that came from Tracebit's API alone.
    Recovered,
    /// By a log that Tracebit delivered.
    Delivered,
}

/// The lake.
#[derive(Debug)]
pub struct Lake {
    bucket: Bucket,
    prefix: Prefix,
    schemas: Schemas,
    threshold: Severity,
    days: Days,
    duties: Mutex<HashMap<Id, Arc<[Duty]>>>,
    alerts: Mutex<HashMap<Id, Presence>>,
}

/// Why nobody knows whether an alert is in the lake.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unknown {
    /// Too much is there.
    #[error("there are too many objects to look through in one round; the next round goes on")]
    TooMany,
    /// S3 does not answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Lake {
    /// The lake in this bucket.
    #[must_use]
    pub fn new(bucket: Bucket, prefix: Prefix, schemas: Schemas, threshold: Severity) -> Self {
        let (duties, alerts) = (Mutex::default(), Mutex::default());
        Self { bucket, prefix, schemas, threshold, days: Days::default(), duties, alerts }
    }

    /// The bucket.
    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The prefix.
    #[must_use]
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// The schemas.
    #[must_use]
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// The objects of alerts and failures that count.
    ///
    /// # Errors
    /// [`CallError`] if S3 does not list them.
    pub async fn view(&self, since: Since, bounds: Bounds, deadline: Deadline) -> Result<View, CallError> {
        let tables = self.schemas.iter().filter(|schema| schema.log_type == ALERT).map(|schema| &*schema.table);
        let folders: Vec<_> = tables.chain([FAILURES_TABLE]).map(|table| self.prefix.folder(table)).collect();
        self.days.view(&self.bucket, &folders, since, bounds, deadline).await
    }

    /// How the lake knows an alert that began at `start`. Reads the objects whose time is nearest to that first.
    ///
    /// # Errors
    /// [`Unknown`] if not every object could be looked through.
    pub async fn presence(
        &self,
        id: &str,
        start: DateTime<Utc>,
        view: &View,
        deadline: Deadline,
    ) -> Result<Presence, Unknown> {
        let alert = view::id(id);
        if let Some(Presence::Delivered) = self.known(alert) {
            return Ok(Presence::Delivered);
        }
        // No record of the alert is older than the alert. A day covers clocks that differ.
        let first = start - TimeDelta::days(1);
        let mut objects: Vec<_> = {
            let read = get(&self.duties);
            let is_candidate = |object: &&Entry| object.listed.modified >= first && !read.contains_key(&object.id);
            view.objects.iter().filter(is_candidate).collect()
        };
        objects.sort_by_key(|object| (object.time - start).abs());
        for some in objects.chunks(CONCURRENCY) {
            self.duties(some, view, deadline).await?;
            if let Some(Presence::Delivered) = self.known(alert) {
                return Ok(Presence::Delivered);
            }
        }
        if view.is_cut {
            return Err(Unknown::TooMany);
        }
        Ok(self.known(alert).unwrap_or(Presence::Absent))
    }

    fn known(&self, alert: Id) -> Option<Presence> {
        get(&self.alerts).get(&alert).copied()
    }

    /// Remembers that an alert's logs were stored.
    pub(super) fn recovered(&self, id: &str) {
        get(&self.alerts).entry(view::id(id)).or_insert(Presence::Recovered);
    }

    /// The objects of `view` that were put there from `from` to `to`, each with its duties.
    ///
    /// # Errors
    /// [`Unknown`] if not all of them could be read.
    pub(super) async fn duties_between<'v>(
        &self,
        view: &'v View,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Vec<(&'v Listed, Arc<[Duty]>)>, Unknown> {
        let is_watched = |object: &&Entry| (from..=to).contains(&object.listed.modified);
        let objects: Vec<_> = view.objects.iter().filter(is_watched).collect();
        let duties = self.duties(&objects, view, deadline).await?;
        Ok(objects.into_iter().map(|object| &object.listed).zip(duties).collect())
    }

    /// The duties of objects, in their order. Small ones are read side by side.
    async fn duties(&self, objects: &[&Entry], view: &View, deadline: Deadline) -> Result<Vec<Arc<[Duty]>>, Unknown> {
        let is_small = |object: &Entry| object.listed.bytes <= SMALL;
        let read = async |concurrency: usize, objects: Vec<Entry>| {
            let reads = stream::iter(objects).map(|object| self.read(object, view, deadline));
            reads.buffered(concurrency).collect::<Vec<_>>().await
        };
        let (small, large): (Vec<_>, Vec<_>) = objects.iter().map(|object| (*object).clone()).partition(is_small);
        let mut small = read(CONCURRENCY, small).await.into_iter();
        let mut large = read(1, large).await.into_iter();
        let in_order = objects.iter().filter_map(|object| if is_small(object) { small.next() } else { large.next() });
        in_order.collect()
    }

    /// The duties of one object. What it says of alerts is remembered.
    async fn read(
        &self,
        Entry { listed: object, id, .. }: Entry,
        view: &View,
        deadline: Deadline,
    ) -> Result<Arc<[Duty]>, Unknown> {
        if let Some(known) = get(&self.duties).get(&id) {
            return Ok(Arc::clone(known));
        }
        if !view.may_read() {
            return Err(Unknown::TooMany);
        }
        let (bytes, is_quiet, size) = match self.bucket.read(&object.key, notify::LARGE, deadline).await? {
            Read::Whole { bytes, is_quiet } => (Some(bytes), is_quiet, object.bytes),
            Read::TooLarge => {
                let digest = self.bucket.digest(&object.key, deadline).await?;
                (None, digest.is_quiet, digest.bytes)
            }
        };
        let Inspected { alerts, duties } =
            notify::inspect((&object.key, size, bytes.as_deref()), &self.prefix, &self.schemas, self.threshold);
        let mut known = get(&self.alerts);
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        for (alert, label) in alerts {
            let is_recovered = label.as_deref() == Some(SOURCE_LABEL);
            let presence = if is_recovered { Presence::Recovered } else { Presence::Delivered };
            let known = known.entry(view::id(&alert)).or_insert(presence);
            *known = presence.max(*known);
        }
        drop(known);
        let duties: Arc<[Duty]> = if is_quiet { Arc::default() } else { duties.into() };
        let mut known = get(&self.duties);
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        known.insert(id, Arc::clone(&duties));
        Ok(duties)
    }
}

fn get<T>(memory: &Mutex<T>) -> MutexGuard<'_, T> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivered_log_says_more_than_a_recovered_one() {
        assert!(Presence::Absent < Presence::Recovered && Presence::Recovered < Presence::Delivered);
    }
}
