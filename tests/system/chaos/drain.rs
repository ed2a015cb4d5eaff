//! The part of Lambda that passes the spill queue's messages to the drain, each at least once.

use std::time::Duration;

use fastrand::Rng;
use tokio::{sync::watch, time::sleep};
use tracebit_lake_harness::{runtime_api::InvocationResult, sqs};

use super::{FaultPlan, Role, Totals, function, replace_earlier};

const BATCH: usize = 10;
const DEADLINE: Duration = Duration::from_secs(5);

/// Passes every message to the drain until the queue stays empty. Sometimes it kills the drain or repeats a message.
pub(super) async fn until_empty(plan: &FaultPlan, mut rng: Rng, all_sent: watch::Receiver<bool>) -> Totals {
    let mut totals = Totals::default();
    let mut drain = function(plan, Role::Drain).await;
    let mut is_corrected = plan.is_corrected();
    let mut messages = Vec::new();
    loop {
        let is_last = *all_sent.borrow();
        messages.extend(plan.sqs.take_messages());
        if messages.is_empty() {
            if is_last {
                return totals;
            }
            sleep(Duration::from_millis(10)).await;
            continue;
        }
        replace_earlier(plan, Role::Drain, &mut drain, &mut is_corrected).await;
        rng.shuffle(&mut messages);
        let batch = &messages[..BATCH.min(messages.len())];
        let until_killed = if rng.f32() < 0.1 { Duration::from_micros(rng.u64(0..20_000)) } else { Duration::MAX };
        let event = sqs::event(batch);
        let answer = tokio::select! {
            answer = drain.invoke_within(&event, DEADLINE) => answer,
            () = sleep(until_killed) => {
                totals.kills += 1;
                drain.kill().await;
                plan.may_fail_a_start(&mut rng);
                drain = function(plan, Role::Drain).await;
                continue;
            }
        };
        let InvocationResult::Response(answer) = answer else { panic!("{answer:?}") };
        let left = answer["batchItemFailures"].as_array().unwrap();
        let left: Vec<usize> =
            left.iter().map(|one| one["itemIdentifier"].as_str().unwrap().parse().unwrap()).collect();
        // A stored message leaves the queue, but a few of them come a second time.
        let mut indexes = 0..batch.len();
        let comes_again =
            |rng: &mut Rng, index: Option<usize>| index.is_some_and(|index| left.contains(&index) || rng.f32() < 0.02);
        let passed = batch.len();
        let kept: Vec<_> = messages.drain(..passed).filter(|_| comes_again(&mut rng, indexes.next())).collect();
        messages.extend(kept);
    }
}
