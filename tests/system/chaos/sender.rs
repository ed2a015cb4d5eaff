//! A sender with its own instance of the function. It sends each delivery until it is acknowledged, and sometimes kills
//! the function.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use fastrand::Rng;
use serde_json::json;
use tokio::time::sleep;
use tracebit_lake_harness::runtime_api::{Function, InvocationResult};

use super::{FaultPlan, Role, SECRET, Totals, earlier, function, replace_earlier};
use crate::support::{GZIP, JSON, alert_with_id, gzip, signed_event_with};

const DEADLINE: Duration = Duration::from_secs(2);
const FORGED: &str = "another-secret-than-tracebits";

/// The end of the id of a log that the earlier schema refuses.
const REFUSED: &str = "-refused";

/// How many of its last deliveries a sender can replay.
const REPLAYABLE: usize = 50;

/// Sends this many deliveries. Returns what happened, and the ids of the acknowledged logs.
///
/// Logs that were acknowledged come again, alone or among others, new and old. Whole deliveries come again,
/// too.
pub(super) async fn send_all(plan: &FaultPlan, mut rng: Rng, name: usize, deliveries: usize) -> (Totals, Vec<String>) {
    let (mut totals, mut acknowledged) = (Totals::default(), Vec::<String>::new());
    let mut sent = VecDeque::with_capacity(REPLAYABLE);
    let mut instance = function(plan, Role::Webhook).await;
    let mut is_corrected = plan.is_corrected();
    for n in 0..deliveries {
        if n == deliveries / 2 {
            plan.correct_schema();
        }
        replace_earlier(plan, Role::Webhook, &mut instance, &mut is_corrected).await;
        let batch = if rng.f32() < 0.05 { rng.usize(2..12) } else { 1 };
        let new: Vec<_> = (0..batch).map(|k| id(&mut rng, &format!("{name}-{n}-{k}"))).collect();
        let mut ids = new.clone();
        if rng.f32() < 0.2 && !acknowledged.is_empty() {
            let old = (0..rng.usize(1..12)).map(|_| acknowledged[rng.usize(0..acknowledged.len())].clone());
            ids.extend(old);
            rng.shuffle(&mut ids);
            totals.mixed += 1;
        }
        let (headers, body) = delivery(&mut rng, &ids);
        if rng.f32() < 0.02 {
            let forged = signed_event_with(FORGED, &headers, payload(&["forged".to_owned()]).as_bytes());
            let answer = instance.invoke_within(&forged, DEADLINE).await.response();
            // The answer is 503 while the function cannot fetch the secret.
            assert!([401, 503].contains(&answer.status), "{answer:?}");
            totals.forgeries += 1;
        }
        let event = signed_event_with(SECRET, &headers, &body);
        while !try_once(plan, &mut rng, &mut totals, &mut instance, &event).await {}
        totals.deliveries += 1;
        totals.logs += batch;
        acknowledged.extend(new);
        if rng.f32() < 0.05 && !sent.is_empty() {
            let old = &sent[rng.usize(0..sent.len())];
            while !try_once(plan, &mut rng, &mut totals, &mut instance, old).await {}
            totals.replays += 1;
        }
        if sent.len() == REPLAYABLE {
            sent.pop_front();
        }
        sent.push_back(event);
    }
    (totals, acknowledged)
}

/// The id of a new log. One in ten is a log that the earlier schema refuses.
fn id(rng: &mut Rng, name: &str) -> String {
    let mark = if rng.f32() < 0.1 { REFUSED } else { "" };
    format!("{name}{mark}")
}

/// Sends a delivery once. Returns whether it was acknowledged.
async fn try_once(
    plan: &FaultPlan,
    rng: &mut Rng,
    totals: &mut Totals,
    instance: &mut Function,
    event: &serde_json::Value,
) -> bool {
    plan.may_fail_a_delivery(rng);
    totals.outages += usize::from(plan.may_stop_a_service(rng).await);
    let deadline = if rng.f32() < 0.02 { Duration::from_millis(rng.u64(100..500)) } else { DEADLINE };
    let until_killed = if rng.f32() < 0.02 { Duration::from_micros(rng.u64(0..8_000)) } else { Duration::MAX };

    let sent = Instant::now();
    let answer = tokio::select! {
        answer = instance.invoke_within(event, deadline) => answer,
        () = sleep(until_killed) => {
            totals.kills += 1;
            restart(plan, rng, instance).await;
            return false;
        }
    };
    if sent.elapsed() >= deadline {
        // Lambda would have killed the function, so its answer does not count.
        totals.late += 1;
        restart(plan, rng, instance).await;
        return false;
    }
    let InvocationResult::Response(answer) = answer else { panic!("{answer:?}") };
    match answer["statusCode"].as_u64() {
        Some(200) => true,
        Some(202) => {
            totals.queued += 1;
            true
        }
        Some(503) => {
            totals.unavailable += 1;
            sleep(Duration::from_millis(rng.u64(0..200))).await;
            false
        }
        other => panic!("{other:?}"),
    }
}

async fn restart(plan: &FaultPlan, rng: &mut Rng, instance: &mut Function) {
    instance.kill().await;
    plan.may_fail_a_start(rng);
    *instance = function(plan, Role::Webhook).await;
}

/// Headers and body of a delivery, which is sometimes compressed, and sometimes an array.
fn delivery(rng: &mut Rng, ids: &[String]) -> (Vec<(&'static str, &'static str)>, Vec<u8>) {
    let lines = payload(ids);
    let payload = match rng.f32() {
        ..0.2 => format!("[{}]", lines.trim_end().replace('\n', ",")),
        ..0.3 => format!("[\n{}\n]", lines.trim_end().replace('\n', ",\n")),
        _ => lines,
    };
    if rng.f32() < 0.1 { (vec![JSON, GZIP], gzip(payload)) } else { (vec![JSON], payload.into_bytes()) }
}

/// One log a line, of two hours. The same id is the same log.
fn payload(ids: &[String]) -> String {
    let logs = ids.iter().map(|id| {
        let mut log = alert_with_id(id);
        log["timestamp"] = json!(format!("2026-11-22T{:02}:59:59Z", 8 + id.len() % 2));
        if id.ends_with(REFUSED) {
            log["severity"] = json!(earlier::REFUSED_SEVERITY);
        }
        format!("{log}\n")
    });
    logs.collect()
}
