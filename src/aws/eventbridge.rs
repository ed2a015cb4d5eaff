//! A bus of EventBridge.

use std::{borrow::Cow, fmt, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_eventbridge::{
    Client,
    config::{Builder, retry::RetryConfig},
    types::{PutEventsRequestEntry, PutEventsResultEntry},
};
use tokio::time::sleep;

use super::{
    call::{CallError, call},
    client::{preflight, retry_partition, warm},
    deadline::Deadline,
};

const OPERATION: &str = "PutEvents";

/// The source of every event.
const SOURCE: &str = "tracebit-lake";

/// EventBridge's quotas of one `PutEvents` call: entries, and bytes of all of them together.
const MAX_ENTRIES: usize = 10;
const MAX_BYTES: usize = 256 * 1024;

/// The wait before failed entries are sent again.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// An event. Its `Debug` shows the size of the detail alone.
#[derive(Clone)]
pub struct Entry<'t> {
    /// Its detail type.
    pub detail_type: Cow<'t, str>,
    /// Its detail, as JSON.
    pub detail: Cow<'t, str>,
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, {} bytes)", self.detail_type, self.detail.len())
    }
}

impl Entry<'_> {
    /// Whether it fits into a call.
    pub(crate) fn fits(&self) -> bool {
        self.size() <= MAX_BYTES
    }

    /// The size as EventBridge counts it.
    fn size(&self) -> usize {
        SOURCE.len() + self.detail_type.len() + self.detail.len()
    }

    fn to_request(&self, bus: &str) -> PutEventsRequestEntry {
        PutEventsRequestEntry::builder()
            .event_bus_name(bus)
            .source(SOURCE)
            .detail_type(self.detail_type.as_ref())
            .detail(self.detail.as_ref())
            .build()
    }
}

/// The entries of each call. `entry` finds the entry in an item.
pub(crate) fn calls<T>(items: Vec<T>, entry: impl Fn(&T) -> &Entry<'_>) -> Vec<Vec<T>> {
    let mut calls: Vec<Vec<T>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        let size = entry(&item).size();
        match calls.last_mut().filter(|call| call.len() < MAX_ENTRIES && bytes + size <= MAX_BYTES) {
            Some(call) => {
                bytes += size;
                call.push(item);
            }
            None => {
                bytes = size;
                calls.push(vec![item]);
            }
        }
    }
    calls
}

/// A client of one bus.
#[derive(Debug)]
pub struct Bus {
    client: Client,
    name: String,
}

impl Bus {
    /// A client of the bus with this name or ARN.
    #[must_use]
    pub fn new(sdk: &SdkConfig, name: String) -> Self {
        let config = Builder::from(sdk).retry_partition(retry_partition()).build();
        Self { client: Client::from_conf(config), name }
    }

    /// Opens the connection that the first `PutEvents` will use, as `Bucket::warm` does. If EventBridge ignored the
    /// method, the request would put nothing on a bus, because it has no entries.
    pub async fn warm(&self, deadline: Deadline) {
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let put = self.client.put_events().set_entries(Some(Vec::new())).customize();
        let put = put.mutate_request(|request| preflight(request, "POST")).config_override(once);
        warm("EventBridge", deadline, put.send()).await;
    }

    /// Puts the entries of one call, and those again that EventBridge may take later, until the deadline. Returns what
    /// became of each entry, in their order.
    pub(crate) async fn put(&self, entries: &[&Entry<'_>], deadline: Deadline) -> Vec<Result<(), CallError>> {
        let mut outcomes = vec![Ok(()); entries.len()];
        let mut waiting: Vec<_> = entries.iter().zip(&mut outcomes).collect();
        let mut backoff = FIRST_BACKOFF;
        while !waiting.is_empty() {
            let sent: Vec<_> = waiting.iter().map(|(entry, _)| **entry).collect();
            let results = match self.call(&sent, deadline).await {
                Ok(results) => results,
                Err(error) => {
                    // The reason of an entry that was refused before says more.
                    waiting.into_iter().filter(|(_, outcome)| outcome.is_ok()).for_each(|(_, outcome)| {
                        *outcome = Err(error.clone());
                    });
                    break;
                }
            };
            let mut again = Vec::new();
            for ((entry, outcome), result) in waiting.into_iter().zip(&results) {
                *outcome = answer(result);
                if outcome.is_err() && is_transient(result) {
                    again.push((entry, outcome));
                }
            }
            waiting = again;
            if !waiting.is_empty() && deadline.bound(sleep(backoff)).await.is_none() {
                break;
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
        outcomes
    }

    async fn call(&self, entries: &[&Entry<'_>], deadline: Deadline) -> Result<Vec<PutEventsResultEntry>, CallError> {
        let bytes = entries.iter().map(|entry| entry.size()).sum();
        let requests = entries.iter().map(|entry| entry.to_request(&self.name)).collect();
        let put = self.client.put_events().set_entries(Some(requests));
        let output = call(OPERATION, deadline, bytes, |attempts| put.customize().interceptor(attempts).send()).await?;
        // The results come in the order of the entries.
        if output.entries().len() == entries.len() {
            Ok(output.entries.unwrap_or_default())
        } else {
            Err(CallError::of_answer(OPERATION, "the answer does not name every entry"))
        }
    }
}

/// EventBridge's codes of an entry that a later attempt may save.
fn is_transient(result: &PutEventsResultEntry) -> bool {
    let code = result.error_code().unwrap_or_default();
    ["Internal", "Throttl", "ServiceUnavailable"].iter().any(|start| code.starts_with(start))
}

/// What EventBridge says of one entry.
fn answer(result: &PutEventsResultEntry) -> Result<(), CallError> {
    match result.error_code() {
        None => Ok(()),
        Some(code) => {
            let message = result.error_message().unwrap_or("no message");
            Err(CallError::new(OPERATION, format!("failed for an entry: {code}: {message}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: usize) -> Entry<'static> {
        Entry { detail_type: Cow::Borrowed(""), detail: Cow::Owned("x".repeat(bytes - SOURCE.len())) }
    }

    #[test]
    fn a_call_keeps_to_both_quotas() {
        let sizes =
            |entries: Vec<Entry<'static>>| calls(entries, |entry| entry).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![]), [0; 0]);
        assert_eq!(sizes(vec![entry(100); 25]), [10, 10, 5]);
        assert_eq!(sizes(vec![entry(MAX_BYTES / 3); 7]), [3, 3, 1]);
        assert_eq!(sizes(vec![entry(MAX_BYTES), entry(100), entry(MAX_BYTES), entry(100)]), [1, 1, 1, 1]);
    }
}
