//! A bus of EventBridge.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_eventbridge::{
    Client,
    config::Builder,
    types::{PutEventsRequestEntry, PutEventsResultEntry},
};
use tokio::time::sleep;

use super::{
    call::{CallError, call},
    client::retry_partition,
    deadline::Deadline,
};
use crate::core::redacted::Redacted;

const OPERATION: &str = "PutEvents";

/// The source of every event.
const SOURCE: &str = "tracebit-lake";

/// EventBridge's quotas of one `PutEvents` call: entries, and bytes of all of them together.
const MAX_ENTRIES: usize = 10;
const MAX_BYTES: usize = 256 * 1024;

/// The wait before failed entries are sent again.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// An event.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its detail type.
    pub detail_type: String,
    /// Its detail, as JSON.
    pub detail: Redacted<String>,
}

impl Entry {
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
            .detail_type(&self.detail_type)
            .detail(self.detail.as_str())
            .build()
    }
}

/// The entries of each call.
pub(crate) fn calls(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let mut calls: Vec<Vec<Entry>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        let size = entry.size();
        match calls.last_mut().filter(|call| call.len() < MAX_ENTRIES && bytes + size <= MAX_BYTES) {
            Some(call) => {
                bytes += size;
                call.push(entry);
            }
            None => {
                bytes = size;
                calls.push(vec![entry]);
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

    /// Puts the entries of one call, and those again that EventBridge may take later, until the deadline. Returns how many
    /// are on the bus, and why others are not.
    pub(crate) async fn put(&self, mut entries: Vec<Entry>, deadline: Deadline) -> (usize, Result<(), CallError>) {
        let (mut done, mut backoff) = (0, FIRST_BACKOFF);
        // Why entries were refused for good, and why the last answer refused those that are put again.
        let (mut hopeless, mut transient) = (None, None);
        while !entries.is_empty() {
            let results = match self.call(&entries, deadline).await {
                Ok(results) => results,
                Err(error) => return (done, Err(hopeless.or(transient).unwrap_or(error))),
            };
            done += results.iter().filter(|result| result.error_code.is_none()).count();
            let refused = entries.into_iter().zip(results).filter(|(_, result)| result.error_code.is_some());
            let (again, lost): (Vec<_>, Vec<_>) = refused.partition(|(_, result)| is_transient(result));
            (hopeless, transient) = (refusal(&lost).or(hopeless), refusal(&again));
            entries = again.into_iter().map(|(entry, _)| entry).collect();
            if !entries.is_empty() && deadline.bound(sleep(backoff)).await.is_none() {
                break;
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
        (done, hopeless.or(transient).map_or(Ok(()), Err))
    }

    async fn call(&self, entries: &[Entry], deadline: Deadline) -> Result<Vec<PutEventsResultEntry>, CallError> {
        let bytes = entries.iter().map(Entry::size).sum();
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

/// Why entries were refused, if any were.
fn refusal(entries: &[(Entry, PutEventsResultEntry)]) -> Option<CallError> {
    let (_, first) = entries.first()?;
    let (code, message) = (first.error_code().unwrap_or("no code"), first.error_message().unwrap_or("no message"));
    Some(CallError::new(OPERATION, format!("failed for {} of the entries: {code}: {message}", entries.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: usize) -> Entry {
        Entry { detail_type: String::new(), detail: Redacted("x".repeat(bytes - SOURCE.len())) }
    }

    #[test]
    fn a_call_keeps_to_both_quotas() {
        let sizes = |entries: Vec<Entry>| calls(entries).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![]), [0; 0]);
        assert_eq!(sizes(vec![entry(100); 25]), [10, 10, 5]);
        assert_eq!(sizes(vec![entry(MAX_BYTES / 3); 7]), [3, 3, 1]);
        assert_eq!(sizes(vec![entry(MAX_BYTES), entry(100), entry(MAX_BYTES), entry(100)]), [1, 1, 1, 1]);
    }
}
