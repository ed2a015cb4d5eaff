//! Puts events on the bus, and remembers which ones are there.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use futures_util::{StreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::publish::Of;
use crate::aws::{
    CallError, Deadline,
    eventbridge::{self, Bus, Entry},
};

/// How many calls are on their way at once.
const CONCURRENCY: usize = 16;

/// How many events are remembered. When there are more, memory starts again.
const MAX_REMEMBERED: usize = 100_000;

/// The bus, and the digests of the events that this instance has put there. While SNS refuses a message, its object
/// comes back again and again, and its events must not.
#[derive(Debug)]
pub(super) struct Events {
    bus: Bus,
    put: Mutex<HashSet<[u8; 32]>>,
}

impl Events {
    pub(super) fn new(bus: Bus) -> Self {
        Self { bus, put: Mutex::default() }
    }

    /// Opens the connection to the bus.
    pub(super) async fn warm(&self, deadline: Deadline) {
        self.bus.warm(deadline).await;
    }

    /// Puts every event that is not there by the deadline. Returns what became of each one.
    pub(super) async fn put_all(
        &self,
        entries: Vec<Of<Entry<'_>>>,
        deadline: Deadline,
    ) -> Vec<Of<Result<(), CallError>>> {
        let (there, missing): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| self.is_put(&entry.item));
        let mut outcomes: Vec<_> = there.into_iter().map(|Of { index, .. }| Of { index, item: Ok(()) }).collect();
        let calls = eventbridge::calls(missing, |entry| &entry.item);
        let mut calls =
            std::pin::pin!(stream::iter(calls).map(|call| self.put(call, deadline)).buffer_unordered(CONCURRENCY));
        while let Some(put) = calls.next().await {
            outcomes.extend(put);
        }
        outcomes
    }

    async fn put(&self, call: Vec<Of<Entry<'_>>>, deadline: Deadline) -> Vec<Of<Result<(), CallError>>> {
        let entries: Vec<_> = call.iter().map(|entry| &entry.item).collect();
        let outcomes = self.bus.put(&entries, deadline).await;
        call.iter()
            .zip(outcomes)
            .map(|(Of { index, item }, outcome)| Of { index: *index, item: outcome.map(|()| self.remember(item)) })
            .collect()
    }

    fn is_put(&self, entry: &Entry<'_>) -> bool {
        self.put.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest(entry))
    }

    fn remember(&self, entry: &Entry<'_>) {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        if put.len() >= MAX_REMEMBERED {
            put.clear();
        }
        put.insert(digest(entry));
    }
}

fn digest(entry: &Entry<'_>) -> [u8; 32] {
    Sha256::digest(entry.detail.as_bytes()).into()
}
