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
    let started = Instant::now();
    let bodies: Vec<_> = event.messages.iter().map(|message| message.body.as_str()).collect();
    let published = notifier.notify(&bodies, invocation.deadline()).await;
    let mut response = SqsBatchResponse::default();
    for (message, published) in event.messages.into_iter().zip(&published) {
        if let Some(error) = &published.error {
            log(error, &message.message_id, published.key.as_deref());
        }
        let line = Line::of(notifier.stack())
            .property("RequestId", &invocation.request_id)
            .property("MessageId", &message.message_id);
        metrics::write(&report(line, published, started.elapsed()).finish(SystemTime::now()));
        if published.error.is_some() {
            response.keep(message.message_id);
        }
    }
    response
}

fn report<'a>(line: Line<'a>, published: &Published, duration: Duration) -> Line<'a> {
    let line = match published.has_void_rules {
        Some(is_void) => line.count("VoidQuietRules", u64::from(is_void)),
        None => line,
    };
    line.property("Outcome", outcome(published.error.as_ref()))
        .property("Duration", milliseconds(duration))
        .optional("Key", published.key.as_deref())
        .property("FirstMessages", published.first_messages)
        .count("AlertsNotified", published.alerts)
        .count("AlertsQuieted", published.quieted)
        .count("EventsPublished", published.events)
        .count("NotifyFailures", u64::from(published.error.is_some()))
}

fn outcome(error: Option<&NotifyError>) -> &'static str {
    match error {
        None => "notified",
        Some(error) if error.is_rejection() => "message rejected",
        Some(_) => "not notified",
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
