//! Chaos: thousands of deliveries while S3, SQS and Secrets Manager fail at random in every way and refuse connections
//! for a while, and the functions are killed at random. Logs come again among others, and whole deliveries
//! come again. In the middle a release with a corrected schema replaces the functions. The failures of the earlier one
//! are delivered again at the end.
//!
//! Afterwards every acknowledged log must be in the lake exactly once, in an object of its own and readable, and no
//! other log may be there.
//!
//! `CHAOS_SEED` repeats a round. `CHAOS_DELIVERIES` runs rounds with consecutive seeds until that many deliveries are
//! acknowledged.

mod drain;
mod earlier;
mod fault_plan;
mod sender;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::{self, Display},
    ops::AddAssign,
    str::FromStr,
};

use fastrand::Rng;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::watch;
use tracebit_lake_harness::{runtime_api::Function, secrets_manager::SecretsManager, sqs::Sqs};

use crate::support::{
    ALERTS, BINARY, BUCKET, DRAIN, FAILURES, JSON, SECRET, counts, lake_env, secrets_manager_env, signed_event,
    spill_env, start_own_function, start_s3,
};
use fault_plan::FaultPlan;

/// Deliveries of one round.
const ROUND: usize = 2_000;
/// Simultaneous senders. Each has its own instance of the function, as in Lambda.
const SENDERS: usize = 8;

/// What happened in one round or several.
#[derive(Default)]
struct Totals {
    deliveries: usize,
    logs: usize,
    faults: usize,
    outages: usize,
    kills: usize,
    late: usize,
    unavailable: usize,
    queued: usize,
    forgeries: usize,
    mixed: usize,
    replays: usize,
    corrected: usize,
}

/// What a function does.
#[derive(Clone, Copy)]
enum Role {
    Webhook,
    Drain,
}

#[tokio::test]
async fn every_acknowledged_log_is_stored_exactly_once() {
    let first: u64 = setting("CHAOS_SEED", 20_261_123);
    let deliveries: usize = setting("CHAOS_DELIVERIES", ROUND);
    let mut sum = Totals::default();
    for seed in first.. {
        println!("chaos, seed {seed}");
        sum += round(seed, ROUND.min(deliveries - sum.deliveries)).await;
        println!("chaos, seeds {first} to {seed}: {sum}");
        if sum.deliveries == deliveries {
            break;
        }
    }
    assert!(sum.faults > deliveries / 20 && sum.outages > 0 && sum.kills > 0, "too little chaos: {sum}");
    // A busy machine delays some answers, but few.
    assert!(sum.late <= sum.deliveries / 100, "answers past the deadline: {sum}");
    assert!(sum.unavailable > 0 && sum.queued > 0 && sum.forgeries > 0, "too little chaos: {sum}");
    assert!(sum.mixed > deliveries / 10 && sum.replays > deliveries / 50, "too little chaos: {sum}");
    assert!(sum.corrected > deliveries / 100, "too little chaos: {sum}");
}

/// One round. Panics, with the seed, if a log is lost, doubled or invented.
async fn round(seed: u64, deliveries: usize) -> Totals {
    let plan = &FaultPlan::new(start_s3().await, Sqs::start().await, SecretsManager::start().await);
    plan.secrets.set(SECRET, None);
    let mut rng = Rng::with_seed(seed);
    let shares = (0..SENDERS).map(|n| (deliveries + n) / SENDERS);
    let senders = shares.enumerate().map(|(name, share)| sender::send_all(plan, rng.fork(), name, share));
    let senders: Vec<_> = senders.collect();

    let all_sent = watch::Sender::new(false);
    let sending = async {
        let sent = join_all(senders).await;
        plan.heal();
        all_sent.send_replace(true);
        sent
    };
    let draining = drain::until_empty(plan, rng.fork(), all_sent.subscribe());
    let (sent, mut totals) = tokio::join!(sending, draining);

    totals.corrected = redeliver_failures(plan).await;
    let mut in_lake = in_lake(plan);
    for (sender, acknowledged) in sent {
        totals += sender;
        for id in acknowledged {
            assert_eq!(in_lake.remove(&id), Some(1), "copies of {id} in the lake, seed {seed}");
        }
    }
    assert!(in_lake.is_empty(), "not acknowledged, and yet in the lake: {in_lake:?}, seed {seed}");
    assert_eq!(totals.deliveries, deliveries, "seed {seed}");
    totals.faults = plan.faults();
    totals
}

/// A function of the release that is deployed, ready for its first invocation.
async fn function(plan: &FaultPlan, role: Role) -> Function {
    let (s3, sqs, secrets) = (plan.s3.endpoint(), plan.sqs.endpoint(), plan.secrets.endpoint());
    let url = plan.sqs.queue_url();
    let env = [&lake_env(&s3)[..], &spill_env(&sqs, &url), &secrets_manager_env(&secrets)].concat();
    let (binary, of_earlier) = match role {
        Role::Webhook => (BINARY, earlier::WEBHOOK),
        Role::Drain => (DRAIN, earlier::DRAIN),
    };
    if !plan.is_corrected() {
        return start_own_function(of_earlier, &env).await;
    }
    let function = Function::start(binary, &env).await;
    function.ready().await.unwrap_or_else(|output| panic!("{output}"));
    function
}

/// Replaces an instance of the earlier release once the corrected one is deployed.
async fn replace_earlier(plan: &FaultPlan, role: Role, instance: &mut Function, is_corrected: &mut bool) {
    if plan.is_corrected() && !*is_corrected {
        *is_corrected = true;
        instance.kill().await;
        *instance = function(plan, role).await;
    }
}

/// Delivers the failures of the earlier release again, as they are in the lake. Returns how many logs they are.
///
/// Each must be a log that the earlier schema refuses, and be there once for each hour in which it was received.
async fn redeliver_failures(plan: &FaultPlan) -> usize {
    let (mut logs, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for (key, record) in records(plan, FAILURES) {
        let payload = record["payload"].as_str().unwrap().to_owned();
        let log: Value = serde_json::from_str(&payload).unwrap();
        assert_eq!(log["severity"], earlier::REFUSED_SEVERITY, "{record}");
        let (hour, _) = key.rsplit_once('/').unwrap();
        assert!(seen.insert((hour.to_owned(), payload.clone())), "twice in its hour: {key}");
        logs.insert(payload);
    }
    let function = function(plan, Role::Webhook).await;
    for batch in logs.iter().collect::<Vec<_>>().chunks(100) {
        let payload: String = batch.iter().flat_map(|log| [log, "\n"]).collect();
        let answer = function.invoke(&signed_event(&[JSON], payload.as_bytes())).await.response();
        let [stored, duplicates, failures] = counts(&answer);
        assert_eq!((stored + duplicates, failures), (batch.len() as u64, 0));
    }
    logs.len()
}

/// How many copies of each log are in the lake, by id.
fn in_lake(plan: &FaultPlan) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for (_, record) in records(plan, ALERTS) {
        *ids.entry(record["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    ids
}

/// The records of a table, each with its key. Every object of the lake must be one record of a table that is expected.
fn records(plan: &FaultPlan, table: &str) -> Vec<(String, Value)> {
    let mut records = Vec::new();
    for (key, body) in plan.s3.objects(BUCKET) {
        assert!(key.starts_with(ALERTS) || key.starts_with(FAILURES), "{key}");
        assert!(body.ends_with(b"\n"), "{key}");
        let record = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{key} is not one record: {error}"));
        if key.starts_with(table) {
            records.push((key, record));
        }
    }
    records
}

fn setting<T: FromStr<Err: Display>>(name: &str, default: T) -> T {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{name}: {error}")),
        Err(_) => default,
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.deliveries += other.deliveries;
        self.logs += other.logs;
        self.faults += other.faults;
        self.outages += other.outages;
        self.kills += other.kills;
        self.late += other.late;
        self.unavailable += other.unavailable;
        self.queued += other.queued;
        self.forgeries += other.forgeries;
        self.mixed += other.mixed;
        self.replays += other.replays;
        self.corrected += other.corrected;
    }
}

impl Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            deliveries,
            logs,
            faults,
            outages,
            kills,
            late,
            unavailable,
            queued,
            forgeries,
            mixed,
            replays,
            corrected,
        } = self;
        write!(
            f,
            "{deliveries} deliveries of {logs} logs, all acknowledged and stored exactly once, though {mixed} deliveries \
             held old logs too, {replays} came a second time, and an earlier schema refused {corrected} logs; {faults} \
             requests met a fault, {outages} outages, {kills} kills; answers: {queued} with 202, {unavailable} with 503, \
             {late} after the deadline; {forgeries} forgeries, none accepted"
        )
    }
}
