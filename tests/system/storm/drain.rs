//! Whoever takes the spill queue's messages to the drain: Lambda, in at least one delivery each.

use std::time::Duration;

use fastrand::Rng;
use tokio::{sync::watch, time::sleep};
use tracebit_lake_harness::{runtime_api::Invocation, sqs};

use super::{Tally, Weather, function};
use crate::spill::DRAIN;

const BATCH: usize = 10;
const DEADLINE: Duration = Duration::from_secs(5);

/// Hands the drain every message until there are no more to come. It is killed now and then, and some messages come twice.
pub(super) async fn until_empty(weather: &Weather, mut rng: Rng, all_sent: watch::Receiver<bool>) -> Tally {
    let mut tally = Tally::default();
    let mut drain = function(weather, DRAIN).await;
    let mut messages = Vec::new();
    loop {
        let is_last = *all_sent.borrow();
        messages.extend(weather.sqs.take_messages());
        if messages.is_empty() {
            if is_last {
                return tally;
            }
            sleep(Duration::from_millis(10)).await;
            continue;
        }
        rng.shuffle(&mut messages);
        let batch = &messages[..BATCH.min(messages.len())];
        let until_killed = if rng.f32() < 0.1 { Duration::from_micros(rng.u64(0..20_000)) } else { Duration::MAX };
        let event = sqs::event(batch);
        let answer = tokio::select! {
            answer = drain.invoke_within(&event, DEADLINE) => answer,
            () = sleep(until_killed) => {
                tally.kills += 1;
                drain.kill().await;
                weather.may_worsen_for_a_start(&mut rng);
                drain = function(weather, DRAIN).await;
                continue;
            }
        };
        let Invocation::Response(answer) = answer else { panic!("{answer:?}") };
        let left = answer["batchItemFailures"].as_array().unwrap();
        let left: Vec<usize> =
            left.iter().map(|one| one["itemIdentifier"].as_str().unwrap().parse().unwrap()).collect();
        // Those that were filed leave the queue, but for some that come a second time.
        let mut place = 0..batch.len();
        let comes_again =
            |rng: &mut Rng, place: Option<usize>| place.is_some_and(|place| left.contains(&place) || rng.f32() < 0.02);
        let filed = batch.len();
        let kept: Vec<_> = messages.drain(..filed).filter(|_| comes_again(&mut rng, place.next())).collect();
        messages.extend(kept);
    }
}
