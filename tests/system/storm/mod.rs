//! A storm: thousands of deliveries while S3, SQS and Secrets Manager fail in every way at random, refuse connections for
//! a while, and the functions are killed at random. After it, every acknowledged log is in the lake exactly once and
//! readable, nothing else is, and every other delivery was not acknowledged.
//!
//! `STORM_SEED` repeats a storm. `STORM_DELIVERIES` makes it a soak: storms one after the other, of the seeds that follow,
//! until there were as many deliveries.

mod drain;
mod sender;
mod weather;

use std::{
    collections::BTreeMap,
    env,
    fmt::{self, Display},
    ops::AddAssign,
    str::FromStr,
};

use fastrand::Rng;
use futures_util::future::join_all;
use tokio::sync::watch;
use tracebit_lake_harness::{runtime_api::Function, secrets_manager::SecretsManager, sqs::Sqs};

use crate::lake::{BINARY, BUCKET, SECRET, bucket, env_of, secrets_manager_env, spill_env};
use weather::Weather;

/// Deliveries of one storm.
const STORM: usize = 2_000;
/// How many send at a time, each to an instance of its own, as Lambda would have it.
const SENDERS: usize = 8;

/// What happened in a storm, or in several.
#[derive(Default)]
struct Tally {
    deliveries: usize,
    logs: usize,
    faults: usize,
    outages: usize,
    kills: usize,
    late: usize,
    refused: usize,
    queued: usize,
    forgeries: usize,
}

#[tokio::test]
async fn after_a_storm_every_acknowledged_log_is_in_the_lake_exactly_once() {
    let first: u64 = setting("STORM_SEED", 20_261_123);
    let deliveries: usize = setting("STORM_DELIVERIES", STORM);
    let mut sum = Tally::default();
    for seed in first.. {
        println!("storm of seed {seed}");
        sum += storm(seed, STORM.min(deliveries - sum.deliveries)).await;
        println!("storms of seeds {first} to {seed}: {sum}");
        if sum.deliveries == deliveries {
            break;
        }
    }
    assert!(sum.faults > deliveries / 20 && sum.outages > 0 && sum.kills > 0, "no storm: {sum}");
    // A machine may halt a function for a while, but not often.
    assert!(sum.late <= sum.deliveries / 100, "answers past the deadline: {sum}");
    assert!(sum.refused > 0 && sum.queued > 0 && sum.forgeries > 0, "no storm: {sum}");
}

/// One storm. Panics, with the seed, if a log is lost, doubled or invented.
async fn storm(seed: u64, deliveries: usize) -> Tally {
    let weather = &Weather::new(bucket().await, Sqs::start().await, SecretsManager::start().await);
    weather.secrets.set(SECRET, None);
    let mut rng = Rng::with_seed(seed);
    let shares = (0..SENDERS).map(|n| (deliveries + n) / SENDERS);
    let senders = shares.enumerate().map(|(name, share)| sender::send_all(weather, rng.fork(), name, share));
    let senders: Vec<_> = senders.collect();

    let all_sent = watch::Sender::new(false);
    let sending = async {
        let sent = join_all(senders).await;
        weather.clear();
        all_sent.send_replace(true);
        sent
    };
    let draining = drain::until_empty(weather, rng.fork(), all_sent.subscribe());
    let (sent, mut tally) = tokio::join!(sending, draining);

    let mut in_lake = in_lake(weather);
    for (sender, acknowledged) in sent {
        tally += sender;
        for id in acknowledged {
            assert_eq!(in_lake.remove(&id), Some(1), "how often {id} is in the lake, seed {seed}");
        }
    }
    assert!(in_lake.is_empty(), "nobody sent, or had acknowledged, {in_lake:?}, seed {seed}");
    assert_eq!(tally.deliveries, deliveries, "seed {seed}");
    tally.faults = weather.faults();
    tally
}

/// An instance of the function that has asked for its first delivery.
async fn function(weather: &Weather, binary: &str) -> Function {
    let (s3, sqs, secrets) = (weather.s3.endpoint(), weather.sqs.endpoint(), weather.secrets.endpoint());
    let url = weather.sqs.queue_url();
    let env = [&env_of(&s3)[..], &spill_env(&sqs, &url), &secrets_manager_env(&secrets)].concat();
    let function = Function::start(binary, &env).await;
    function.ready().await.unwrap_or_else(|output| panic!("{output}"));
    function
}

/// How often each log's id is in the lake; every object must be readable to its end.
fn in_lake(weather: &Weather) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for (key, body) in weather.s3.objects(BUCKET) {
        assert!(key.starts_with("tracebit_alert/") && body.ends_with(b"\n"), "{key}");
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            let record: serde_json::Value =
                serde_json::from_slice(line).unwrap_or_else(|error| panic!("a line of {key} is no record: {error}"));
            *ids.entry(record["id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    ids
}

fn setting<T: FromStr<Err: Display>>(name: &str, otherwise: T) -> T {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{name}: {error}")),
        Err(_) => otherwise,
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.deliveries += other.deliveries;
        self.logs += other.logs;
        self.faults += other.faults;
        self.outages += other.outages;
        self.kills += other.kills;
        self.late += other.late;
        self.refused += other.refused;
        self.queued += other.queued;
        self.forgeries += other.forgeries;
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deliveries, logs, faults, outages, kills, late, refused, queued, forgeries } = self;
        write!(
            f,
            "{deliveries} deliveries of {logs} logs, each acknowledged and in the lake exactly once; {faults} requests met \
             a fault, {outages} times a service refused connections, {kills} kills; {queued} answers of 202, {refused} of \
             503, {late} past the deadline; {forgeries} forgeries, none accepted"
        )
    }
}
