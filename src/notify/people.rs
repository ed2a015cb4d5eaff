//! What people are notified of: the first message of each subject by every protocol, and later ones in chat.
//!
//! First messages go ahead of later ones, because each may be the only one that somebody reads.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};

use super::{
    facts::{Alert, Kind, Subject},
    flood::{Flood, Share},
    markers::{Before, Markers},
    message::{self, Writer},
    publish::Of,
};
use crate::aws::{CallError, Deadline, sns::Topic};

/// The message attribute of a message that is for chat alone. The e-mail subscription's filter wants it absent.
const CHAT_ALONE: (&str, &str) = ("form", "chat");

/// How many calls of one kind are on their way at once.
const CONCURRENCY: usize = 16;

/// Which message people got of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivered {
    /// The first of its subject and day, or one of a higher severity: by every protocol.
    First,
    /// A later one: in chat alone, or as one of many.
    Later,
    /// One that a rule keeps quiet: the same, and it counts as no notification.
    Quiet,
}

type Outcome<T> = Of<Result<T, CallError>>;

/// The topic for people, and what they know.
#[derive(Debug)]
pub(super) struct People {
    markers: Markers,
    flood: Flood,
    topic: Topic,
    writer: Writer,
}

impl People {
    pub(super) fn new(markers: Markers, topic: Topic, writer: Writer) -> Self {
        Self { markers, flood: Flood::default(), topic, writer }
    }

    /// Opens the connection to the topic.
    pub(super) async fn warm(&self, deadline: Deadline) {
        self.topic.warm(deadline).await;
    }

    /// Publishes the messages of alerts. Those that may be the first of their subject go ahead of all others.
    pub(super) async fn notify(&self, alerts: Vec<Of<Alert>>, deadline: Deadline) -> Vec<Outcome<Delivered>> {
        let now = Utc::now();
        let (quiet, alerts): (Vec<_>, Vec<_>) = alerts.into_iter().partition(|alert| alert.item.quiet.is_some());
        let subjects = by_subject(alerts);
        let first = stream::iter(subjects.into_values()).map(|alerts| self.publish_first(alerts, now, deadline));
        let first: Vec<_> = first.buffer_unordered(CONCURRENCY).collect().await;
        let (outcomes, later): (Vec<_>, Vec<_>) = first.into_iter().unzip();
        let later = later.into_iter().chain(by_subject(quiet).into_values());
        let later = stream::iter(later).map(|alerts| self.publish_later(alerts, now, deadline));
        let later: Vec<_> = later.buffer_unordered(CONCURRENCY).collect().await;
        outcomes.into_iter().chain(later).flatten().collect()
    }

    /// Publishes the most severe of a subject's alerts by every protocol, unless people know enough. Returns what was
    /// done, and the alerts that are later ones.
    async fn publish_first(
        &self,
        mut alerts: Vec<Of<Alert>>,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> (Vec<Outcome<Delivered>>, Vec<Of<Alert>>) {
        // Of equals, the one that came first is published first.
        alerts.sort_by_key(|alert| std::cmp::Reverse(alert.item.severity));
        let mut outcomes = Vec::new();
        let mut alerts = alerts.into_iter();
        while let Some(Of { index, item: alert }) = alerts.next() {
            let before = self.markers.before(&alert, now, deadline).await;
            if before == Before::Enough {
                return (outcomes, std::iter::once(Of { index, item: alert }).chain(alerts).collect());
            }
            let message = self.writer.first(&alert, before);
            match self.topic.publish_by_protocol(message.subject.0, message.texts.0, deadline).await {
                Ok(()) => {
                    self.markers.done(&alert);
                    self.markers.mark(&alert, now, deadline).await;
                    outcomes.push(Of { index, item: Ok(Delivered::First) });
                }
                // SNS refuses this very message, so the next one must be the first.
                Err(error) if error.status() == Some(400) => outcomes.push(Of { index, item: Err(error) }),
                Err(error) => {
                    let failed = std::iter::once(index).chain(alerts.map(|alert| alert.index));
                    outcomes.extend(failed.map(|index| Of { index, item: Err(error.clone()) }));
                    return (outcomes, Vec::new());
                }
            }
        }
        (outcomes, Vec::new())
    }

    /// Publishes later alerts of one subject in chat, and of many only their number. What this instance has published
    /// before, it does not repeat.
    async fn publish_later(
        &self,
        alerts: Vec<Of<Alert>>,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Vec<Outcome<Delivered>> {
        let (done, new): (Vec<_>, Vec<_>) = alerts.into_iter().partition(|alert| self.is_done(&alert.item));
        let delivered = |alert: &Alert| if alert.quiet.is_some() { Delivered::Quiet } else { Delivered::Later };
        let mut outcomes: Vec<_> =
            done.iter().map(|Of { index, item }| Of { index: *index, item: Ok(delivered(item)) }).collect();
        let quiet: Vec<_> = done.iter().filter(|alert| alert.item.quiet.is_some()).collect();
        self.mark_quiet(&quiet, now, deadline).await;
        let Some(Of { item: any, .. }) = new.first() else { return outcomes };
        let Share { one_by_one, total } = self.flood.share(any.subject.digest(), new.len(), now);
        let (single, many) = new.split_at(one_by_one.min(new.len()));
        let chat = async |Of { index, item }: &Of<Alert>| {
            let text = message::later(item);
            let result = self.topic.publish_with_attribute(text, CHAT_ALONE, deadline).await;
            Of { index: *index, item: result.map(|()| self.markers.done(item)) }
        };
        let mut sent: Vec<_> = stream::iter(single).map(chat).buffered(CONCURRENCY).collect().await;
        if let Some(last) = many.last() {
            let result = match total {
                Some(total) => {
                    let text = message::many(&last.item, many.len(), total);
                    self.topic.publish_with_attribute(text, CHAT_ALONE, deadline).await
                }
                None => Ok(()),
            };
            if result.is_ok() {
                for alert in many {
                    self.markers.done(&alert.item);
                }
            }
            sent.extend(many.iter().map(|Of { index, .. }| Of { index: *index, item: result.clone() }));
        }
        let is_quiet = |(alert, sent): &(&Of<Alert>, &Outcome<()>)| alert.item.quiet.is_some() && sent.item.is_ok();
        let quiet: Vec<_> = new.iter().zip(&sent).filter(is_quiet).map(|(alert, _)| alert).collect();
        self.mark_quiet(&quiet, now, deadline).await;
        outcomes.extend(
            new.iter()
                .zip(sent)
                .map(|(alert, Of { index, item })| Of { index, item: item.map(|()| delivered(&alert.item)) }),
        );
        outcomes
    }

    /// Records that rules kept these quiet, side by side.
    async fn mark_quiet(&self, alerts: &[&Of<Alert>], now: DateTime<Utc>, deadline: Deadline) {
        let mark = async |alert: &Of<Alert>| self.markers.mark_quiet(&alert.item, now, deadline).await;
        stream::iter(alerts.iter().copied()).map(mark).buffer_unordered(CONCURRENCY).collect::<Vec<()>>().await;
    }

    /// Whether nothing is left to publish of an alert that is not the first of its subject. Of what nobody can read,
    /// people are notified once a day.
    fn is_done(&self, alert: &Alert) -> bool {
        alert.subject.kind == Kind::Unreadable || self.markers.is_done(alert)
    }
}

/// The alerts of each subject.
fn by_subject(alerts: Vec<Of<Alert>>) -> BTreeMap<Subject, Vec<Of<Alert>>> {
    let mut subjects: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for alert in alerts {
        subjects.entry(alert.item.subject.clone()).or_default().push(alert);
    }
    subjects
}
