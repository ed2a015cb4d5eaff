//! A storm over the whole chain: deliveries are lost, late and doubled, every service fails at random, and the
//! functions are killed. When it is over, each alert that Tracebit lists is in the lake and was published, and every
//! number that alarms is zero.

use std::{collections::BTreeSet, time::Duration};

use fastrand::Rng;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::sleep;
use tracebit_lake_harness::{
    runtime_api::InvocationResult,
    sqs::{self, Sqs},
};

use super::{
    HOURS, MINUTES,
    chain::{Chain, api_log, delivered_log, listed},
};
use crate::{
    notify::{
        setup::created,
        storm::{DEADLINE, FAULTS},
    },
    support::{ALERTS, BUCKET, DRAIN_DEADLINE, Drain, lake_with_queue, spill_env, start_function},
};

const ALERT_COUNT: usize = 24;

#[tokio::test]
async fn whatever_fails_each_listed_alert_is_stored_and_published() {
    join_all((1..=3).map(storm)).await;
}

async fn storm(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let (spill, lake) = lake_with_queue().await;
    let mut chain = Chain::on(lake, &[]).await;
    let mut drain = Drain::of(&chain.setup.lake).await;
    let (mut lost, mut unheard, mut kills) = (0, 0, 0);
    for n in 0..ALERT_COUNT {
        break_something(&chain, &mut random);
        let (alert, log) = (format!("alert-{n}"), format!("log-{n}"));
        chain.api.add(listed(&alert, HOURS), vec![api_log(&log, &alert, HOURS)]);
        let delivered = delivered_log(&log, &alert, HOURS).to_string();
        match random.u8(..4) {
            // Tracebit does not deliver it, or only a request that is not stored.
            0 => lost += 1,
            // It delivers it twice.
            1 => {
                chain.setup.lake.deliver_within(DEADLINE, &delivered).await;
                chain.setup.lake.deliver_within(DEADLINE, &delivered).await;
            }
            _ => drop(chain.setup.lake.deliver_within(DEADLINE, &delivered).await),
        }
        // Of half of the objects, S3's event never arrives.
        for key in chain.setup.keys() {
            if random.bool() {
                invoke_notifier(&chain, &[created(BUCKET, &key)]).await;
            } else {
                unheard += 1;
            }
            chain.age(&key, MINUTES);
        }
        if random.u8(..3) == 0 {
            kills += 1;
            kill_in_a_round(&mut chain, &spill, &mut random).await;
            // What the drain held comes back, as it does in SQS.
            kill_drain(&mut drain, &chain, &spill.messages(), &mut random).await;
        }
    }
    assert!(lost > 0 && unheard > 0 && kills > 0, "seed {seed}: too little storm");

    heal(&chain);
    let _drained = drain.0.invoke_within(&sqs::event(&spill.take_messages()), DRAIN_DEADLINE).await;
    let mut rounds = 0;
    loop {
        rounds += 1;
        assert!(rounds < 20, "seed {seed}: {}", chain.watcher.output());
        let answer = chain.round().await;
        for batch in chain.queue.take_messages().chunks(10) {
            invoke_notifier(&chain, batch).await;
        }
        for key in chain.setup.keys() {
            chain.age(&key, MINUTES);
        }
        if answer["missing"] == 0 && answer["unpublished"] == 0 && answer["problems"].as_array().unwrap().is_empty() {
            break;
        }
    }
    assert_whole(&chain, seed);
    // People get one e-mail for each alert and day, but for a kill or a lost answer of SNS between message and marker.
    let (e_mails, doubled) = (chain.setup.emails().len(), kills + chain.setup.sns.faults());
    assert!(e_mails <= ALERT_COUNT + doubled, "seed {seed}: {e_mails} e-mails, {doubled} could be doubled");
}

/// Each alert that is listed is in the lake, and people got a message about it.
fn assert_whole(chain: &Chain, seed: u64) {
    let expected: BTreeSet<_> = (0..ALERT_COUNT).map(|n| format!("alert-{n}")).collect();
    let records = chain.setup.lake.records(ALERTS);
    let stored: BTreeSet<_> = records.iter().map(|record| record["alert_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(stored, expected, "seed {seed}");
    let chats: Vec<_> = chain.setup.emails().iter().map(|email| email.text("https")).collect();
    let chats = chats.iter().map(|chat| serde_json::from_str::<Value>(chat).unwrap());
    let published: BTreeSet<_> = chats.map(|chat| chat["metadata"]["threadId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(published, expected, "seed {seed}");
}

async fn invoke_notifier(chain: &Chain, bodies: &[String]) {
    let invocation = chain.setup.notifier.invoke_within(&sqs::event(bodies), DEADLINE).await;
    assert!(matches!(invocation, InvocationResult::Response(_)), "{invocation:?}");
}

/// Kills the watcher in the middle of a round, and perhaps the notifier and the webhook.
async fn kill_in_a_round(chain: &mut Chain, spill: &Sqs, random: &mut Rng) {
    let pause = Duration::from_millis(random.u64(..80));
    tokio::select! {
        _ = chain.watcher.invoke_within(&Value::Null, DEADLINE) => (),
        () = sleep(pause) => (),
    }
    heal(chain);
    chain.restart().await;
    if random.bool() {
        chain.setup.restart().await;
    }
    if random.bool() {
        let (endpoint, url) = (spill.endpoint(), spill.queue_url());
        chain.setup.lake.function.kill().await;
        chain.setup.lake.function = start_function(&chain.setup.lake.s3, &spill_env(&endpoint, &url)).await;
        chain.setup.lake.function.ready().await.unwrap();
    }
}

/// Kills the drain while it stores what waits in the spill queue.
async fn kill_drain(drain: &mut Drain, chain: &Chain, waiting: &[String], random: &mut Rng) {
    let (pause, event) = (Duration::from_millis(random.u64(..80)), sqs::event(waiting));
    tokio::select! {
        _ = drain.0.invoke_within(&event, DRAIN_DEADLINE) => (),
        () = sleep(pause) => (),
    }
    drain.0.kill().await;
    *drain = Drain::of(&chain.setup.lake).await;
}

fn break_something(chain: &Chain, random: &mut Rng) {
    for _ in 0..random.usize(..3) {
        let (times, fault) = (random.usize(1..4), FAULTS[random.usize(..FAULTS.len())]);
        match random.u8(..6) {
            0 => chain.setup.sns.fail_next(times, fault),
            1 => chain.setup.bus.fail_next(times, fault),
            2 => chain.setup.lake.s3.fail_reads(times, fault),
            3 => chain.setup.lake.s3.fail_next(times, fault),
            4 => chain.queue.fail_next(times, fault),
            _ => chain.api.fail_next(times, fault),
        }
    }
}

fn heal(chain: &Chain) {
    chain.setup.sns.heal();
    chain.setup.bus.heal();
    chain.setup.lake.s3.heal();
    chain.setup.lake.s3.heal_reads();
    chain.queue.heal();
    chain.api.heal();
}
