//! The client of the EventBridge bus for machines.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_eventbridge::{
    Client,
    config::Builder,
    types::{PutEventsRequestEntry, PutEventsResultEntry},
};
use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use super::record::Record;
use crate::{
    aws::{
        self, Attempts,
        deadline::{CallPolicy, Deadline},
    },
    core::redacted::Redacted,
};

/// The source of every event.
const SOURCE: &str = "tracebit-lake";

/// EventBridge's quotas of one `PutEvents` call: entries, and bytes of all of them together.
const MAX_ENTRIES: usize = 10;
const MAX_BYTES: usize = 256 * 1024;

/// The wait before failed entries are sent again.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// Events could not be put.
#[derive(Debug, thiserror::Error)]
pub(super) enum BusError {
    /// The time for it ran out. The events may have been put.
    #[error("PutEvents {0}")]
    TimedOut(String),
    /// EventBridge refused the call, or could not be reached.
    #[error("PutEvents failed: {0}")]
    Failed(String),
    /// EventBridge refused single entries.
    #[error("PutEvents failed for {count} of the entries: {cause}")]
    Refused { count: usize, cause: String },
}

/// An event for machines.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    detail_type: String,
    detail: Redacted<String>,
}

impl Entry {
    /// The event of a record, or of its digest where the record is too large for an event.
    pub(super) fn of(record: &Record<'_>, key: &str) -> Self {
        let line = *record.line;
        let whole = Self { detail_type: record.detail_type.to_owned(), detail: Redacted(line.to_owned()) };
        if whole.size() <= MAX_BYTES {
            return whole;
        }
        let detail = json!({
            "key": key,
            "sha256": HEXLOWER.encode(&Sha256::digest(line)),
            "p_row_id": record.row_id,
            "log_type": record.detail_type,
            "size": line.len(),
        });
        Self { detail: Redacted(detail.to_string()), ..whole }
    }

    /// The event itself.
    pub(super) fn into_detail(self) -> Redacted<String> {
        self.detail
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
pub(super) fn calls(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
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

/// A client of the bus.
#[derive(Debug)]
pub(super) struct Bus {
    client: Client,
    name: String,
}

impl Bus {
    pub(super) fn new(sdk: &SdkConfig, name: String) -> Self {
        let config = Builder::from(sdk).retry_partition(aws::retry_partition()).build();
        Self { client: Client::from_conf(config), name }
    }

    /// Puts the entries of one call, and those again that failed, until the deadline. Returns how many are on the bus, and
    /// why others are not.
    pub(super) async fn put(&self, mut entries: Vec<Entry>, deadline: Deadline) -> (usize, Result<(), BusError>) {
        let mut done = 0;
        let mut refused: Option<BusError> = None;
        let mut backoff = FIRST_BACKOFF;
        loop {
            let results = match self.call(&entries, deadline).await {
                Ok(results) => results,
                Err(error) => return (done, Err(refused.unwrap_or(error))),
            };
            let sent = entries.len();
            let failed: Vec<_> =
                entries.into_iter().zip(&results).filter(|(_, result)| result.error_code.is_some()).collect();
            done += sent - failed.len();
            let Some((_, first)) = failed.first() else { return (done, Ok(())) };
            refused = Some(BusError::Refused { count: failed.len(), cause: describe(first) });
            // An entry that EventBridge will never take must not keep the others from being tried again.
            let (again, hopeless): (Vec<_>, Vec<_>) = failed.into_iter().partition(|(_, result)| is_transient(result));
            if again.is_empty() || deadline.bound(sleep(backoff)).await.is_none() {
                return (done, refused.map_or(Ok(()), Err));
            }
            if let Some((_, result)) = hopeless.first() {
                let error = BusError::Refused { count: hopeless.len(), cause: describe(result) };
                let rest = again.into_iter().map(|(entry, _)| entry).collect();
                let (more, _) = Box::pin(self.put(rest, deadline)).await;
                return (done + more, Err(error));
            }
            entries = again.into_iter().map(|(entry, _)| entry).collect();
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    async fn call(&self, entries: &[Entry], deadline: Deadline) -> Result<Vec<PutEventsResultEntry>, BusError> {
        let attempts = Attempts::default();
        let timed_out = || BusError::TimedOut(attempts.timed_out());
        let bytes = entries.iter().map(Entry::size).sum();
        let CallPolicy { timeouts, retries } = deadline.call(bytes).ok_or_else(timed_out)?;
        let put = self
            .client
            .put_events()
            .set_entries(Some(entries.iter().map(|entry| entry.to_request(&self.name)).collect()))
            .customize()
            .config_override(Builder::new().timeout_config(timeouts).retry_config(retries))
            .interceptor(attempts.clone());
        match deadline.bound(put.send()).await.ok_or_else(timed_out)? {
            // The results come in the order of the entries.
            Ok(output) if output.entries().len() == entries.len() => Ok(output.entries.unwrap_or_default()),
            Ok(_) => Err(BusError::Failed("the answer does not name every entry".to_owned())),
            Err(error) => Err(BusError::Failed(aws::service_error(&error))),
        }
    }
}

/// EventBridge's codes of an entry that a later attempt may save.
fn is_transient(result: &PutEventsResultEntry) -> bool {
    let code = result.error_code().unwrap_or_default();
    ["Internal", "Throttl", "ServiceUnavailable"].iter().any(|start| code.starts_with(start))
}

fn describe(result: &PutEventsResultEntry) -> String {
    let message = result.error_message().unwrap_or("no message");
    format!("{}: {message}", result.error_code().unwrap_or("no code"))
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
