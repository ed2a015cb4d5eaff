//! A storm: faults of all three services and kills of the notifier, while SQS hands out what is left again and again.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;
use tracebit_lake_harness::{Fault, runtime_api::InvocationResult, sqs};

use super::{
    alert_of,
    bell::{Bell, created},
};
use crate::support::{ALERTS, BUCKET};

/// The time of an invocation. A hang costs all of it.
pub(crate) const DEADLINE: Duration = Duration::from_millis(1_500);

pub(crate) const FAULTS: [Fault; 8] = [
    Fault::Status { status: 503, code: "ServiceUnavailable" },
    Fault::Status { status: 403, code: "AccessDenied" },
    Fault::ResetInRequest,
    Fault::Reset,
    Fault::Hang,
    Fault::ResetInAnswer,
    Fault::LoseAnswer,
    Fault::WrongChecksum,
];

#[tokio::test]
async fn whatever_fails_each_alert_is_told_at_least_once() {
    join_all((1..=3).map(storm)).await;
}

async fn storm(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bell = Bell::start().await;
    let logs: Vec<_> = (0..30).map(|log| alert_of(&format!("log-{log}"), &format!("alert-{}", log % 10))).collect();
    let mut queue: Vec<_> = bell.deliver(&logs).await.iter().map(|key| created(BUCKET, key)).collect();
    assert_eq!(queue.len(), 30);

    let mut round = 0;
    while !queue.is_empty() {
        round += 1;
        assert!(round < 200, "seed {seed}: {} messages are left: {}", queue.len(), bell.notifier.output());
        // The storm passes in the end, because no queue is worked off in a storm that does not.
        if round < 15 {
            break_something(&bell, &mut random);
        } else {
            heal(&bell);
        }
        random.shuffle(&mut queue);
        let batch: Vec<_> = queue.iter().take(5).cloned().collect();
        let is_killed = round < 15 && random.u8(..4) == 0;
        let pause = Duration::from_millis(random.u64(..60));
        let left = invoke(&bell, &batch, is_killed.then_some(pause)).await;
        if is_killed {
            heal(&bell);
            bell.restart().await;
        }
        queue = queue.split_off(batch.len());
        queue.extend(left);
    }
    assert_told(&bell, seed);
}

/// The messages that stay: all of them if the notifier is killed.
async fn invoke(bell: &Bell, batch: &[String], killed_after: Option<Duration>) -> Vec<String> {
    let event = sqs::event(batch);
    let invocation = bell.notifier.invoke_within(&event, DEADLINE);
    let answer = match killed_after {
        Some(pause) => tokio::select! {
            _ = invocation => return batch.to_vec(),
            () = sleep(pause) => return batch.to_vec(),
        },
        None => invocation.await,
    };
    let InvocationResult::Response(answer) = answer else { panic!("{answer:?}") };
    let failures = answer["batchItemFailures"].as_array().unwrap();
    let index = |failure: &Value| failure["itemIdentifier"].as_str().unwrap().parse::<usize>().unwrap();
    failures.iter().map(|failure| batch[index(failure)].clone()).collect()
}

fn break_something(bell: &Bell, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..3) {
        let (times, fault) = (random.usize(1..4), FAULTS[random.usize(..FAULTS.len())]);
        match random.u8(..5) {
            0 => bell.sns.fail_next(times, fault),
            1 => bell.bus.fail_next(times, fault),
            2 => bell.lake.s3.fail_reads(times, fault),
            3 => bell.lake.s3.fail_next(times, fault),
            _ => bell.bus.refuse_entries(times, "InternalFailure"),
        }
    }
}

fn heal(bell: &Bell) {
    bell.sns.heal();
    bell.bus.heal();
    bell.lake.s3.heal();
    bell.lake.s3.heal_reads();
}

fn assert_told(bell: &Bell, seed: u64) {
    let ids =
        |values: Vec<Value>| -> BTreeSet<String> { values.iter().map(|id| id.as_str().unwrap().to_owned()).collect() };
    let stored = ids(bell.lake.records(ALERTS).into_iter().map(|record| record["p_row_id"].clone()).collect());
    let chats = ids(bell.chats().into_iter().map(|chat| chat["id"].clone()).collect());
    let events = ids(bell.events().into_iter().map(|event| event.detail["p_row_id"].clone()).collect());
    assert_eq!((stored.len(), &stored, &stored), (30, &chats, &events), "seed {seed}");
    let e_mailed: BTreeSet<_> = bell
        .emails()
        .iter()
        .map(|email| serde_json::from_str::<Value>(&email.text("https")).unwrap())
        .map(|chat| chat["metadata"]["threadId"].to_string())
        .collect();
    let alerts: BTreeSet<_> = (0..10).map(|alert| json!(format!("alert-{alert}")).to_string()).collect();
    assert_eq!(e_mailed, alerts, "seed {seed}");
}
