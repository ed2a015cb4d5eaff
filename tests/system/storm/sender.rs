//! A sender with its instance of the function: sends each delivery until it is acknowledged, and kills the function now and
//! then.

use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::json;
use tokio::time::sleep;
use tracebit_lake_harness::runtime_api::{Function, Invocation};

use super::{BINARY, SECRET, Tally, Weather, function};
use crate::{
    lake::{JSON, signed_event_under},
    payloads::{GZIP, gzip},
    samples::alert_with,
};

const DEADLINE: Duration = Duration::from_secs(2);
const FORGED: &str = "a-secret-of-somebody-else";

/// Sends this many deliveries. What happened, and the ids of the logs that were acknowledged.
pub(super) async fn send_all(weather: &Weather, mut rng: Rng, name: usize, deliveries: usize) -> (Tally, Vec<String>) {
    let (mut tally, mut acknowledged) = (Tally::default(), Vec::new());
    let mut instance = function(weather, BINARY).await;
    for n in 0..deliveries {
        let batch = if rng.f32() < 0.05 { rng.usize(2..12) } else { 1 };
        let ids: Vec<_> = (0..batch).map(|k| format!("{name}-{n}-{k}")).collect();
        let (headers, body) = delivery(&mut rng, &ids);
        if rng.f32() < 0.02 {
            let forged = signed_event_under(FORGED, &headers, payload(&["forged".to_owned()]).as_bytes());
            let answer = instance.invoke_within(&forged, DEADLINE).await.response();
            // 503 where the function cannot know: the secret is not at hand.
            assert!([401, 503].contains(&answer.status), "{answer:?}");
            tally.forgeries += 1;
        }
        let event = signed_event_under(SECRET, &headers, &body);
        while !try_once(weather, &mut rng, &mut tally, &mut instance, &event).await {}
        tally.deliveries += 1;
        tally.logs += batch;
        acknowledged.extend(ids);
    }
    (tally, acknowledged)
}

/// Sends a delivery; whether it was acknowledged.
async fn try_once(
    weather: &Weather,
    rng: &mut Rng,
    tally: &mut Tally,
    instance: &mut Function,
    event: &serde_json::Value,
) -> bool {
    weather.may_worsen(rng);
    tally.outages += usize::from(weather.may_break_down(rng).await);
    let deadline = if rng.f32() < 0.02 { Duration::from_millis(rng.u64(100..500)) } else { DEADLINE };
    let until_killed = if rng.f32() < 0.02 { Duration::from_micros(rng.u64(0..8_000)) } else { Duration::MAX };

    let sent = Instant::now();
    let answer = tokio::select! {
        answer = instance.invoke_within(event, deadline) => answer,
        () = sleep(until_killed) => {
            tally.kills += 1;
            restart(weather, rng, instance).await;
            return false;
        }
    };
    if sent.elapsed() >= deadline {
        // Lambda would have ended it: whatever it said, nobody heard.
        tally.late += 1;
        restart(weather, rng, instance).await;
        return false;
    }
    let Invocation::Response(answer) = answer else { panic!("{answer:?}") };
    match answer["statusCode"].as_u64() {
        Some(200) => true,
        Some(202) => {
            tally.queued += 1;
            true
        }
        Some(503) => {
            tally.refused += 1;
            sleep(Duration::from_millis(rng.u64(0..200))).await;
            false
        }
        other => panic!("{other:?}"),
    }
}

async fn restart(weather: &Weather, rng: &mut Rng, instance: &mut Function) {
    instance.kill().await;
    weather.may_worsen_for_a_start(rng);
    *instance = function(weather, BINARY).await;
}

/// Logs on a line each, sometimes compressed.
fn delivery(rng: &mut Rng, ids: &[String]) -> (Vec<(&'static str, &'static str)>, Vec<u8>) {
    let payload = payload(ids);
    if rng.f32() < 0.1 { (vec![JSON, GZIP], gzip(payload)) } else { (vec![JSON], payload.into_bytes()) }
}

/// The logs alternate between two hours, and so become two objects.
fn payload(ids: &[String]) -> String {
    let logs = ids.iter().enumerate().map(|(n, id)| {
        let mut log = alert_with(id);
        log["timestamp"] = json!(format!("2026-11-22T{:02}:59:59Z", 8 + n % 2));
        format!("{log}\n")
    });
    logs.collect()
}
