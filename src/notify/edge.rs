//! The SQS edge: each message names an object. A message whose object was not told of stays in the queue.

use std::time::Instant;

use super::publish::{Notifier, NotifyError};
use crate::{
    aws::{
        invocation::Invocation,
        sqs_event::{SqsBatchResponse, SqsEvent},
    },
    metrics::{self, NotifyReport},
};

/// Tells people and machines about the objects of a batch.
pub async fn handle(notifier: &Notifier, event: SqsEvent, invocation: &Invocation) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    let deadline = invocation.deadline();
    let mut waiting = event.messages.len();
    for message in event.messages {
        let started = Instant::now();
        let share = deadline.share_of(waiting);
        waiting -= 1;
        let (done, result) = notifier.notify(&message.body, share).await;
        if let Err(error) = &result {
            log(error, &message.message_id, done.key.as_deref());
        }
        let report = NotifyReport {
            request_id: &invocation.request_id,
            message_id: &message.message_id,
            outcome: outcome(&result),
            duration: started.elapsed(),
            key: done.key.as_deref(),
            alerts: done.alerts,
            firsts: done.firsts,
            events: done.events,
            has_failed: result.is_err(),
        };
        metrics::write_notified(&report, notifier.stack());
        if result.is_err() {
            response.keep(message.message_id);
        }
    }
    response
}

fn outcome(result: &Result<(), NotifyError>) -> &'static str {
    match result {
        Ok(()) => "notified",
        Err(error) if error.is_rejection() => "message rejected",
        Err(_) => "not notified",
    }
}

/// The key as `Debug` shows it, because a message may name any key.
fn log(error: &NotifyError, id: &str, key: Option<&str>) {
    let rejected = if error.is_rejection() { " rejected" } else { "" };
    match key {
        Some(key) => tracing::error!("notify queue message {id}{rejected}, object {key:?}: {error}"),
        None => tracing::error!("notify queue message {id}{rejected}: {error}"),
    }
}
