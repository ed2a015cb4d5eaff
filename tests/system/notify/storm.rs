//! A storm: faults of all three services and kills of the notifier, while SQS hands out what is left again and again.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;
use tracebit_lake_harness::{Fault, runtime_api::InvocationResult, sqs};

use super::{
    alert_of,
    setup::{Setup, created},
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
async fn whatever_fails_each_alert_is_published_at_least_once() {
    join_all((1..=3).map(storm)).await;
}

async fn storm(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut setup = Setup::start().await;
    let logs: Vec<_> = (0..30).map(|log| alert_of(&format!("log-{log}"), &format!("alert-{}", log % 10))).collect();
    let mut queue: Vec<_> = setup.deliver(&logs).await.iter().map(|key| created(BUCKET, key)).collect();
    assert_eq!(queue.len(), 30);

    let mut round = 0;
    while !queue.is_empty() {
        round += 1;
        assert!(round < 200, "seed {seed}: {} messages are left: {}", queue.len(), setup.notifier.output());
        // The storm passes in the end, because no queue is worked off in a storm that does not.
        if round < 15 {
            break_something(&setup, &mut random);
        } else {
            heal(&setup);
        }
        random.shuffle(&mut queue);
        let batch: Vec<_> = queue.iter().take(5).cloned().collect();
        let is_killed = round < 15 && random.u8(..4) == 0;
        let pause = Duration::from_millis(random.u64(..60));
        let left = invoke(&setup, &batch, is_killed.then_some(pause)).await;
        if is_killed {
            heal(&setup);
            setup.restart().await;
        }
        queue = queue.split_off(batch.len());
        queue.extend(left);
    }
    assert_all_are_published(&setup, seed);
}

/// The messages that stay: all of them if the notifier is killed.
async fn invoke(setup: &Setup, batch: &[String], killed_after: Option<Duration>) -> Vec<String> {
    let event = sqs::event(batch);
    let invocation = setup.notifier.invoke_within(&event, DEADLINE);
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

fn break_something(setup: &Setup, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..3) {
        let (times, fault) = (random.usize(1..4), FAULTS[random.usize(..FAULTS.len())]);
        match random.u8(..5) {
            0 => setup.sns.fail_next(times, fault),
            1 => setup.bus.fail_next(times, fault),
            2 => setup.lake.s3.fail_reads(times, fault),
            3 => setup.lake.s3.fail_next(times, fault),
            _ => setup.bus.refuse_entries(times, "InternalFailure"),
        }
    }
}

fn heal(setup: &Setup) {
    setup.sns.heal();
    setup.bus.heal();
    setup.lake.s3.heal();
    setup.lake.s3.heal_reads();
}

fn assert_all_are_published(setup: &Setup, seed: u64) {
    let ids =
        |values: Vec<Value>| -> BTreeSet<String> { values.iter().map(|id| id.as_str().unwrap().to_owned()).collect() };
    let stored = ids(setup.lake.records(ALERTS).into_iter().map(|record| record["p_row_id"].clone()).collect());
    let chats = ids(setup.chats().into_iter().map(|chat| chat["id"].clone()).collect());
    let events = ids(setup.events().into_iter().map(|event| event.detail["p_row_id"].clone()).collect());
    assert_eq!((stored.len(), &stored, &stored), (30, &chats, &events), "seed {seed}");
    let e_mailed: BTreeSet<_> = setup
        .emails()
        .iter()
        .map(|email| serde_json::from_str::<Value>(&email.text("https")).unwrap())
        .map(|chat| chat["metadata"]["threadId"].to_string())
        .collect();
    let alerts: BTreeSet<_> = (0..10).map(|alert| json!(format!("alert-{alert}")).to_string()).collect();
    assert_eq!(e_mailed, alerts, "seed {seed}");
}
