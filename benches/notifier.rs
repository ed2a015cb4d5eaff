//! The built notifier under a Runtime API, among S3, SNS and EventBridge on loopback: `cargo bench --bench notifier`.
//! It prints how long an SQS event takes to its answer, its CPU time, also as a ratio to that of the webhook for a
//! delivery of the same log in the same build, and the calls that it makes. `NOTIFIER=FILE` measures another build. It
//! has no limits, because a busy machine is slow.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark stops where it is broken, and prints")]

use std::{
    env, fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tracebit_lake::core::{
    lake::{Batch, Prefix, ReceiveContext, Source},
    payload::elements,
    schema::{Schemas, probe},
    signature::Secret,
    time,
};
use tracebit_lake_harness::{
    eventbridge::EventBridge,
    function_url,
    runtime_api::{Function, InvocationResult},
    s3::{self, S3},
    sns::{Sns, TOPIC_ARN},
    sqs,
};

const BUCKET: &str = "lake";
const SECRET: &str = "a secret for benchmarks";
const ALERT: &str = include_str!("../events/logs/alert-aws.json");

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo bench` says so; `cargo test` only wants to know whether it works.
    let count = if env::args().any(|argument| argument == "--bench") { 500 } else { 3 };
    let stage = Stage::start().await;
    let first: Vec<_> = (0..count).map(|n| stage.store(&format!("log-{n}"), &format!("alert-{n}"))).collect();
    let later: Vec<_> = (0..count).map(|n| stage.store(&format!("later-{n}"), &format!("alert-{n}"))).collect();
    let rejected: Vec<_> = first.iter().map(|message| message.replace(BUCKET, "other")).collect();

    // The first invocation opens the connections.
    stage.notify(&[stage.store("warm-up", "warm-up")], 0).await;
    stage.deliver(&["warm-up delivery".to_owned()]).await;
    let deliveries: Vec<_> = (0..count).map(|n| format!("delivery-{n}")).collect();
    let floor = stage.deliver(&deliveries).await;
    println!("{count} each, one by one; the median, and the 10th and 90th percentile");
    println!("webhook, a delivery:             {}", floor.show(&floor));
    println!("notifier, rejected message:      {}", stage.notify(&rejected, 1).await.show(&floor));
    println!("notifier, first log of an alert: {}", stage.notify(&first, 0).await.show(&floor));
    println!("notifier, later log of an alert: {}", stage.notify(&later, 0).await.show(&floor));
    println!("peak memory: {} KB", peak_memory(stage.notifier.pid()));
}

struct Stage {
    s3: S3,
    sns: Sns,
    bus: EventBridge,
    notifier: Function,
    webhook: Function,
    schemas: Schemas,
}

impl Stage {
    async fn start() -> Self {
        let (s3, sns, bus) = (S3::start().await, Sns::start().await, EventBridge::start().await);
        s3.create_bucket(BUCKET);
        let started = Instant::now();
        let env = [
            ("LAKE_BUCKET", BUCKET),
            ("ALERT_TOPIC_ARN", TOPIC_ARN),
            ("AWS_ENDPOINT_URL_S3", &s3.endpoint()),
            ("AWS_ENDPOINT_URL_SNS", &sns.endpoint()),
            ("AWS_ENDPOINT_URL_EVENTBRIDGE", &bus.endpoint()),
        ];
        let built = env!("CARGO_BIN_EXE_tracebit-lake-notify");
        let notifier = Function::start(env::var("NOTIFIER").as_deref().unwrap_or(built), &env).await;
        notifier.ready().await.unwrap();
        println!("INIT: {:.2} ms", milliseconds(started.elapsed()));
        let env = [("LAKE_BUCKET", BUCKET), ("TRACEBIT_SECRET", SECRET), ("AWS_ENDPOINT_URL_S3", &s3.endpoint())];
        let webhook = Function::start(env!("CARGO_BIN_EXE_tracebit-lake"), &env).await;
        webhook.ready().await.unwrap();
        Self { s3, sns, bus, notifier, webhook, schemas: Schemas::embedded().unwrap() }
    }

    /// Puts the record of an alert into the lake. Returns S3's event about it.
    fn store(&self, log: &str, alert: &str) -> String {
        let body = log_of(log, alert);
        let source = Source { id: None, label: "tracebit".to_owned() };
        let context = ReceiveContext { received: time::parse("2026-11-20T03:04:05Z").unwrap(), source: &source };
        let batch = Batch::build(elements(body.as_bytes(), probe), &self.schemas, context);
        let prefix = Prefix::default();
        let object = batch.objects(&prefix).next().unwrap();
        let path = self.s3.folder().join(BUCKET).join(&object.key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, object.body()).unwrap();
        s3::created(BUCKET, &object.key, object.body().len())
    }

    /// Passes the messages to the notifier, one in each batch. So many of each batch must stay in the queue.
    async fn notify(&self, messages: &[String], failures: usize) -> Measured {
        let events = messages.iter().map(|message| sqs::event(std::slice::from_ref(message)));
        let left = |answer: &Value| answer.get("batchItemFailures").and_then(Value::as_array).map(Vec::len);
        self.measure(&self.notifier, events, |answer| left(answer) == Some(failures)).await
    }

    /// Delivers logs of these ids to the webhook.
    async fn deliver(&self, logs: &[String]) -> Measured {
        let secret = Secret::new(SECRET).unwrap();
        let events = logs.iter().map(|log| {
            let body = log_of(log, log);
            let signature = secret.sign(body.as_bytes()).to_hex();
            function_url::event("POST", &[("x-tracebit-signature-256", &signature)], body.as_bytes())
        });
        self.measure(&self.webhook, events, |answer| answer.get("statusCode") == Some(&json!(200))).await
    }

    async fn measure(
        &self,
        function: &Function,
        events: impl Iterator<Item = Value>,
        is_good: impl Fn(&Value) -> bool,
    ) -> Measured {
        let (calls, before) = (self.calls(), cpu(function.pid()));
        let mut times = Vec::new();
        for event in events {
            let started = Instant::now();
            let answer = function.invoke_within(&event, Duration::from_mins(1)).await;
            times.push(started.elapsed());
            let InvocationResult::Response(answer) = answer else { panic!("{answer:?}") };
            assert!(is_good(&answer), "{answer}");
        }
        times.sort();
        let calls = self.calls().into_iter().zip(calls).map(|((name, after), (_, before))| (name, after - before));
        let cpu = cpu(function.pid()).saturating_sub(before) / u32::try_from(times.len()).unwrap();
        Measured { times, cpu, calls: calls.collect() }
    }

    fn calls(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("GetObject and ListObjectsV2", self.s3.requests_of("GET")),
            ("PutObject", self.s3.requests_of("PUT")),
            ("Publish", self.sns.published().len()),
            ("PutEvents", self.bus.calls()),
        ]
    }
}

/// The sample with other ids.
fn log_of(id: &str, alert: &str) -> String {
    let mut log: Value = serde_json::from_str(ALERT).unwrap();
    for (member, value) in [("id", id), ("alert_id", alert)] {
        log.as_object_mut().unwrap().insert(member.to_owned(), json!(value));
    }
    log.to_string()
}

/// What a series of events took.
struct Measured {
    times: Vec<Duration>,
    cpu: Duration,
    calls: Vec<(&'static str, usize)>,
}

impl Measured {
    fn percentile(&self, percent: usize) -> f64 {
        let index = (self.times.len() * percent / 100).min(self.times.len() - 1);
        self.times.get(index).copied().map(milliseconds).unwrap()
    }

    fn show(&self, floor: &Self) -> String {
        let [low, median, high] = [10, 50, 90].map(|percent| self.percentile(percent));
        let ratio = self.cpu.as_secs_f64() / floor.cpu.as_secs_f64();
        let calls: Vec<_> =
            self.calls.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} {name}")).collect();
        let cpu = milliseconds(self.cpu);
        format!("{median:.2} ms ({low:.2} to {high:.2}); CPU {cpu:.2} ms, {ratio:.2} times; {}", calls.join(", "))
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The CPU time of a process so far, of the threads that still run. Zero where the system is not Linux.
fn cpu(pid: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let statistics = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    Duration::from_nanos(statistics.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum())
}

/// The most memory that was resident at any time, in kilobytes. Zero where the system is not Linux.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
