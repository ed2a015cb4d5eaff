//! The SQS edge: each message names an object. A message whose object was not published stays in the queue.

use std::time::{Duration, Instant, SystemTime};

use super::publish::{Notifier, NotifyError, Published};
use crate::{
    aws::{
        Invocation,
        sqs_event::{SqsBatchResponse, SqsEvent},
    },
    metrics::{self, Line, milliseconds},
};

/// Publishes the objects of a batch.
pub async fn handle(notifier: &Notifier, event: SqsEvent, invocation: &Invocation) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    let deadline = invocation.deadline();
    let mut waiting = event.messages.len();
    for message in event.messages {
        let started = Instant::now();
        let share = deadline.share_of(waiting);
        waiting -= 1;
        let (published, result) = notifier.notify(&message.body, share).await;
        if let Err(error) = &result {
            log(error, &message.message_id, published.key.as_deref());
        }
        let line = Line::of(notifier.stack())
            .property("RequestId", &invocation.request_id)
            .property("MessageId", &message.message_id);
        metrics::write(&report(line, &published, &result, started.elapsed()).finish(SystemTime::now()));
        if result.is_err() {
            response.keep(message.message_id);
        }
    }
    response
}

fn report<'a>(line: Line<'a>, published: &Published, result: &Result<(), NotifyError>, duration: Duration) -> Line<'a> {
    line.property("Outcome", outcome(result))
        .property("Duration", milliseconds(duration))
        .optional("Key", published.key.as_deref())
        .property("FirstMessages", published.first_messages)
        .count("AlertsNotified", published.alerts)
        .count("EventsPublished", published.events)
        .count("NotifyFailures", u64::from(result.is_err()))
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
