//! A storm: thousands of deliveries while S3 fails in every way at random and the function is killed at random. After it,
//! every acknowledged log is in the lake exactly once and readable, and every other delivery was not acknowledged.
//!
//! `STORM_SEED` repeats a storm; `STORM_DELIVERIES` makes it a soak.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Display,
    str::FromStr,
    time::Duration,
};

use fastrand::Rng;
use futures_util::future::join_all;
use tokio::time::sleep;
use tracebit_lake_harness::{
    Fault, function_url,
    runtime_api::{Function, Invocation},
    s3::S3,
};

use crate::{
    lake::{BUCKET, JSON, SIGNATURE, bucket, function, sign},
    samples::alert_with,
};

const INSTANCES: usize = 4;
/// Short, so that a fault that lasts costs little.
const DEADLINE: Duration = Duration::from_secs(2);

const FAULTS: [Fault; 9] = [
    Fault::Status { code: 500, s3_code: "InternalError" },
    Fault::Status { code: 503, s3_code: "SlowDown" },
    Fault::Status { code: 403, s3_code: "AccessDenied" },
    Fault::Status { code: 404, s3_code: "NoSuchBucket" },
    Fault::Status { code: 409, s3_code: "ConditionalRequestConflict" },
    Fault::Status { code: 400, s3_code: "RequestTimeTooSkewed" },
    Fault::Reset,
    Fault::LoseAnswer,
    Fault::SlowAnswer(Duration::from_millis(300)),
];

#[derive(Default)]
struct Tally {
    acknowledged: BTreeSet<String>,
    refused: usize,
    faults: usize,
    kills: usize,
}

#[tokio::test]
async fn after_a_storm_every_acknowledged_log_is_in_the_lake_exactly_once() {
    let seed = setting("STORM_SEED", 20_261_122);
    let deliveries: usize = setting("STORM_DELIVERIES", 2_000);
    let s3 = bucket().await;
    let mut rng = Rng::with_seed(seed);
    let instances = (0..INSTANCES).map(|instance| {
        let ids = (0..deliveries / INSTANCES).map(|n| format!("{instance}-{n}")).collect();
        deliver_all(&s3, rng.fork(), ids)
    });
    let tallies = join_all(instances).await;

    let sum = |of: fn(&Tally) -> usize| tallies.iter().map(of).sum::<usize>();
    let (refused, faults, kills) = (sum(|tally| tally.refused), sum(|tally| tally.faults), sum(|tally| tally.kills));
    let stored = stored(&s3);
    for id in tallies.iter().flat_map(|tally| &tally.acknowledged) {
        assert_eq!(stored.get(id), Some(&1), "{id}, of seed {seed}");
    }
    for (id, times) in &stored {
        assert_eq!(*times, 1, "{id}, of seed {seed}");
    }
    let acknowledged = sum(|tally| tally.acknowledged.len());
    println!(
        "storm of seed {seed}: {deliveries} logs, {faults} faults, {kills} kills, {refused} answers of 503; \
         {acknowledged} acknowledged, {} in the lake",
        stored.len()
    );
    assert_eq!(acknowledged, deliveries, "of seed {seed}");
    assert!(faults > deliveries / 20 && kills > 0 && refused > 0, "the storm was none; seed {seed}");
}

/// One instance, which is started again when it was killed; each log is sent until it is acknowledged.
async fn deliver_all(s3: &S3, mut rng: Rng, ids: Vec<String>) -> Tally {
    let mut tally = Tally::default();
    let mut instance = start(s3).await;
    for id in ids {
        let body = alert_with(&id).to_string();
        let event = function_url::event("POST", &[JSON, (SIGNATURE, &sign(&body))], body.as_bytes());
        loop {
            if rng.f32() < 0.1 {
                // Up to three in a row; with four instances, they can hit another's delivery as well.
                s3.fail_next(rng.usize(1..4), FAULTS[rng.usize(0..FAULTS.len())]);
                tally.faults += 1;
            }
            let patience = if rng.f32() < 0.01 { Duration::from_millis(rng.u64(0..8)) } else { DEADLINE * 5 };
            let answer = tokio::select! {
                answer = instance.invoke_within(&event, DEADLINE) => answer,
                () = sleep(patience) => {
                    instance.kill().await;
                    instance = start(s3).await;
                    tally.kills += 1;
                    continue;
                }
            };
            let Invocation::Response(answer) = answer else { panic!("{answer:?}, for {id}") };
            match answer["statusCode"].as_u64() {
                Some(200) => break,
                Some(503) => tally.refused += 1,
                other => panic!("{other:?}, for {id}"),
            }
        }
        tally.acknowledged.insert(id);
    }
    tally
}

async fn start(s3: &S3) -> Function {
    let instance = function(s3, &[]).await;
    instance.ready().await.unwrap_or_else(|output| panic!("{output}"));
    instance
}

/// How often each log's id is in the lake; every record must be readable and lie in an object by itself.
fn stored(s3: &S3) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for (key, body) in s3.objects(BUCKET) {
        let record: serde_json::Value =
            serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{key} is not one record: {error}"));
        *ids.entry(record["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    ids
}

fn setting<T: FromStr<Err: Display>>(name: &str, otherwise: T) -> T {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{name}: {error}")),
        Err(_) => otherwise,
    }
}
