//! The edge: any event begins a round, and its answer is what the round found.

use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::round::{Round, Watcher};
use crate::{
    aws::Invocation,
    metrics::{self, Line, milliseconds},
};

/// An event whose content does not matter: the schedule's, or a test event.
#[derive(Debug)]
pub struct AnyEvent;

impl<'de> Deserialize<'de> for AnyEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// Makes one round.
pub async fn handle(watcher: &Watcher, _: AnyEvent, invocation: &Invocation) -> Round {
    let started = Instant::now();
    let round = watcher.round(invocation.deadline()).await;
    let line = Line::of(watcher.stack()).property("RequestId", &invocation.request_id);
    metrics::write(&report(line, &round, started.elapsed()).finish(SystemTime::now()));
    round
}

fn report<'a>(line: Line<'a>, round: &Round, duration: Duration) -> Line<'a> {
    let Round { listed, missing, stored, unpublished, alert_subscribers, alarm_subscribers, problems, .. } = round;
    let outcome = if problems.is_empty() { "watched" } else { "watched in part" };
    let wide = |count: Option<usize>| count.map(|count| count as u64);
    let counts = [
        ("AlertsListed", wide(*listed)),
        ("AlertsMissing", wide(*missing)),
        ("LogsRecovered", wide(*stored)),
        ("AlertsUnpublished", wide(*unpublished)),
        ("AlertSubscribers", *alert_subscribers),
        ("AlarmSubscribers", *alarm_subscribers),
        ("WatchProblems", Some(problems.len() as u64)),
    ];
    let line = line.property("Outcome", outcome).property("Duration", milliseconds(duration));
    counts.into_iter().fold(line, |line, (name, count)| match count {
        Some(count) => line.count(name, count),
        None => line,
    })
}
