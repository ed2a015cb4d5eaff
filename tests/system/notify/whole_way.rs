//! The whole way, in a storm: webhook and drain store logs, S3 sends an event for each new object, and the notifier
//! publishes it to people and machines. S3, SQS, SNS and EventBridge fail at random, all three functions are killed at
//! random, and S3's events come in no order and sometimes twice. Afterwards every acknowledged log must be on the bus,
//! every one of sufficient severity on the topic, every alert in an e-mail, and nothing anywhere that is not in the
//! lake.
//!
//! `STORM_SEED` repeats a run.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    env,
    time::{Duration, Instant},
};

use fastrand::Rng;
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tokio::time::sleep;
use tracebit_lake_harness::{
    Fault,
    eventbridge::EventBridge,
    runtime_api::{Function, InvocationResult},
    s3::S3,
    sns::Sns,
    sqs::{self, Sqs},
};

use super::{
    alert_of, schema,
    setup::{created, notifier},
};
use crate::support::{
    ALERTS, BINARY, BUCKET, DRAIN, FAILURES, JSON, lake_env, signed_event, signed_event_with, spill_env, start_s3,
};

/// Simultaneous senders, each with its own instance of the webhook.
const SENDERS: usize = 4;
/// Deliveries of each sender.
const DELIVERIES: usize = 50;
/// Logs of the largest delivery, which share objects.
const MANY: usize = 600;
/// Different alerts.
const ALERT_IDS: usize = 40;
/// Instances of the notifier, and messages of a batch, as in `template.yaml`.
const NOTIFIERS: usize = 2;
const BATCH: usize = 10;
/// The storm lasts for so many batches of the notifier at least.
const STORMY_BATCHES: usize = 80;

/// The deadline of an invocation in the storm. A hang costs all of it.
const DEADLINE: Duration = Duration::from_secs(2);
/// Afterwards no invocation may need it.
const CALM_DEADLINE: Duration = Duration::from_mins(2);

const FAULTS: [Fault; 8] = [
    Fault::Status { status: 500, code: "InternalError" },
    Fault::Status { status: 503, code: "ServiceUnavailable" },
    Fault::Status { status: 403, code: "AccessDenied" },
    Fault::ResetInRequest,
    Fault::Reset,
    Fault::ResetInAnswer,
    Fault::LoseAnswer,
    Fault::WrongChecksum,
];

#[tokio::test]
async fn each_acknowledged_log_of_sufficient_severity_is_published() {
    let seed = env::var("STORM_SEED").map_or(20_261_124, |seed| seed.parse().unwrap());
    println!("the whole way, seed {seed}");
    let storm = Storm::start().await;
    let mut rng = Rng::with_seed(seed);

    let senders: Vec<_> = (0..SENDERS).map(|name| storm.send_all(rng.fork(), name)).collect();
    let sending = async {
        let acknowledged = join_all(senders).await.concat();
        storm.is_sent.set(true);
        acknowledged
    };
    let storing = join(sending, storm.drain_all(rng.fork()));
    let posting = storm.post_all(rng.fork());
    let notifying = join_all((0..NOTIFIERS).map(|_| storm.notify_all(rng.fork())).collect::<Vec<_>>());
    let ((acknowledged, ()), (), _) = tokio::join!(storing, posting, notifying);

    println!("{}", storm.figures());
    storm.assert_all_are_published(&acknowledged);
    storm.assert_was_one();
}

/// A log, and whether people must hear of it.
#[derive(Clone)]
struct Log {
    id: String,
    alert_id: String,
    json: Value,
    must_notify: bool,
}

impl Log {
    fn random(rng: &mut Rng, id: String) -> Self {
        let alert_id = format!("alert-{}", rng.usize(..ALERT_IDS));
        let severities = [
            (json!("Info"), false),
            (json!("Low"), false),
            (json!("Medium"), true),
            (json!("High"), true),
            (json!("Critical"), true),
            (json!("Urgent"), true),
            (json!(null), true),
        ];
        let (severity, mut must_notify) = severities[rng.usize(..severities.len())].clone();
        let mut json = alert_of(&id, &alert_id);
        json["severity"] = severity;
        if rng.f32() < 0.1 {
            // Becomes a classification failure, whose severity nobody knows.
            json["canary"]["name"] = json!(["no text"]);
            must_notify = true;
        }
        Self { id, alert_id, json, must_notify }
    }
}

#[derive(Clone, Copy)]
enum Role {
    Webhook,
    Drain,
    Notifier,
}

/// The services, the queue of the notifier, and what happened.
struct Storm {
    s3: S3,
    spill: Sqs,
    sns: Sns,
    bus: EventBridge,
    /// S3's events that wait for the notifier.
    queue: RefCell<Vec<String>>,
    /// Every delivery is acknowledged.
    is_sent: Cell<bool>,
    /// The spill queue is empty, too.
    is_stored: Cell<bool>,
    /// S3 has sent an event for every object.
    is_posted: Cell<bool>,
    kills: [Cell<usize>; 3],
    batches: Cell<usize>,
    queued: Cell<usize>,
    doubled: Cell<usize>,
    failed: Cell<usize>,
}

fn add(counter: &Cell<usize>, count: usize) {
    counter.set(counter.get() + count);
}

impl Storm {
    async fn start() -> Self {
        Self {
            s3: start_s3().await,
            spill: Sqs::start().await,
            sns: Sns::start().await,
            bus: EventBridge::start().await,
            queue: RefCell::default(),
            is_sent: Cell::default(),
            is_stored: Cell::default(),
            is_posted: Cell::default(),
            kills: Default::default(),
            batches: Cell::default(),
            queued: Cell::default(),
            doubled: Cell::default(),
            failed: Cell::default(),
        }
    }

    /// Sends deliveries, each until it is acknowledged. Returns the logs.
    async fn send_all(&self, mut rng: Rng, name: usize) -> Vec<Log> {
        let mut webhook = self.function(Role::Webhook).await;
        let mut acknowledged = Vec::new();
        for n in 0..DELIVERIES {
            let count = if name == 0 && n == DELIVERIES / 2 { MANY } else { rng.usize(1..5) };
            let logs: Vec<_> = (0..count).map(|log| Log::random(&mut rng, format!("{name}-{n}-{log}"))).collect();
            if rng.f32() < 0.05 {
                let forged = alert_of("forged", "forged").to_string();
                let forged = signed_event_with("another-secret-than-tracebits", &[JSON], forged.as_bytes());
                let answer = webhook.invoke_within(&forged, CALM_DEADLINE).await.response();
                assert_eq!(answer.status, 401, "{answer:?}");
            }
            let body: Vec<_> = logs.iter().map(|log| &log.json).collect();
            let event = signed_event(&[JSON], json!(body).to_string().as_bytes());
            while !self.is_acknowledged(&mut rng, &mut webhook, &event).await {}
            acknowledged.extend(logs);
        }
        acknowledged
    }

    async fn is_acknowledged(&self, rng: &mut Rng, webhook: &mut Function, event: &Value) -> bool {
        if rng.f32() < 0.2 {
            self.s3.fail_next(rng.usize(1..4), any(rng));
        }
        if rng.f32() < 0.05 {
            self.spill.fail_next(1, any(rng));
        }
        let Some(answer) = self.invoke(rng, Role::Webhook, webhook, event).await else { return false };
        let status = answer["statusCode"].as_u64().unwrap();
        assert!([200, 202, 503].contains(&status), "{answer}");
        add(&self.queued, usize::from(status == 202));
        status != 503
    }

    /// Passes the messages of the spill queue to the drain until no more can come.
    async fn drain_all(&self, mut rng: Rng) {
        let mut drain = self.function(Role::Drain).await;
        let mut messages = Vec::new();
        loop {
            let is_last = self.is_sent.get();
            messages.extend(self.spill.take_messages());
            if messages.is_empty() && is_last {
                return self.is_stored.set(true);
            }
            let batch = take(&mut rng, &mut messages);
            if batch.is_empty() {
                sleep(Duration::from_millis(10)).await;
                continue;
            }
            self.break_or_heal(&mut rng);
            messages.extend(self.left_of(&mut rng, Role::Drain, &mut drain, batch).await);
        }
    }

    /// Does what S3 and EventBridge do: an event for each new object of the tables that the stack's rule names.
    async fn post_all(&self, mut rng: Rng) {
        let mut posted = BTreeSet::new();
        loop {
            let is_last = self.is_stored.get();
            for key in self.s3.keys(BUCKET) {
                if !key.starts_with("notified/") && posted.insert(key.clone()) {
                    let times = if rng.f32() < 0.1 { 2 } else { 1 };
                    add(&self.doubled, times - 1);
                    self.queue.borrow_mut().extend(std::iter::repeat_n(created(BUCKET, &key), times));
                }
            }
            if is_last {
                return self.is_posted.set(true);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Passes the messages of the notifier's queue to an instance of it until no more can come.
    async fn notify_all(&self, mut rng: Rng) {
        let mut notifier = self.function(Role::Notifier).await;
        loop {
            let is_last = self.is_posted.get();
            let batch = take(&mut rng, &mut self.queue.borrow_mut());
            if batch.is_empty() {
                if is_last {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
                continue;
            }
            self.break_or_heal(&mut rng);
            let is_calm = !self.is_stormy();
            let left = self.left_of(&mut rng, Role::Notifier, &mut notifier, batch).await;
            assert!(!is_calm || left.is_empty(), "after the storm: {left:?} {}", notifier.output());
            add(&self.batches, 1);
            add(&self.failed, left.len());
            self.queue.borrow_mut().extend(left);
        }
    }

    /// The messages of a batch that stay in their queue: all of them if the function does not answer.
    async fn left_of(&self, rng: &mut Rng, role: Role, function: &mut Function, batch: Vec<String>) -> Vec<String> {
        let Some(answer) = self.invoke(rng, role, function, &sqs::event(&batch)).await else { return batch };
        let failures = answer["batchItemFailures"].as_array().unwrap();
        let index = |failure: &Value| failure["itemIdentifier"].as_str().unwrap().parse::<usize>().unwrap();
        failures.iter().map(|failure| batch[index(failure)].clone()).collect()
    }

    /// The answer. It is none if the function was killed or was too late, and then another one stands in its place.
    async fn invoke(&self, rng: &mut Rng, role: Role, function: &mut Function, event: &Value) -> Option<Value> {
        let is_stormy = self.is_stormy();
        let deadline = if is_stormy { DEADLINE } else { CALM_DEADLINE };
        let until_killed =
            if is_stormy && rng.f32() < 0.08 { Duration::from_micros(rng.u64(..20_000)) } else { Duration::MAX };
        let sent = Instant::now();
        let answer = tokio::select! {
            answer = function.invoke_within(event, deadline) => Some(answer),
            () = sleep(until_killed) => None,
        };
        match answer {
            Some(InvocationResult::Response(answer)) if sent.elapsed() < deadline => Some(answer),
            // Lambda kills a function at its deadline, and then its answer does not count.
            None | Some(InvocationResult::Response(_) | InvocationResult::TimedOut(_)) => {
                add(&self.kills[role as usize], 1);
                function.kill().await;
                *function = self.function(role).await;
                None
            }
            other => panic!("{other:?}"),
        }
    }

    async fn function(&self, role: Role) -> Function {
        let binary = match role {
            Role::Webhook => BINARY,
            Role::Drain => DRAIN,
            Role::Notifier => return notifier(&self.s3, &self.sns, &self.bus, &[]).await,
        };
        let (s3, spill, url) = (self.s3.endpoint(), self.spill.endpoint(), self.spill.queue_url());
        let function = Function::start(binary, &[&lake_env(&s3)[..], &spill_env(&spill, &url)].concat()).await;
        function.ready().await.unwrap_or_else(|output| panic!("{output}"));
        function
    }

    fn is_stormy(&self) -> bool {
        !self.is_sent.get() || self.batches.get() < STORMY_BATCHES
    }

    fn break_or_heal(&self, rng: &mut Rng) {
        if !self.is_stormy() {
            self.sns.heal();
            self.bus.heal();
            self.spill.heal();
            self.s3.heal();
            self.s3.heal_reads();
            return;
        }
        let (times, fault) = (rng.usize(1..5), any(rng));
        match rng.u8(..6) {
            0 => self.sns.fail_next(times, fault),
            1 => self.bus.fail_next(times, fault),
            2 => self.s3.fail_reads(times, fault),
            3 => self.s3.fail_next(times, fault),
            4 => self.bus.refuse_entries(times, "InternalFailure"),
            _ => {}
        }
    }

    fn assert_all_are_published(&self, acknowledged: &[Log]) {
        let lake = self.lake();
        let ids: BTreeSet<_> = lake.values().map(|(log, _)| log.as_str()).collect();
        let expected: BTreeSet<_> = acknowledged.iter().map(|log| log.id.as_str()).collect();
        assert_eq!(ids, expected, "what is in the lake, and what was acknowledged");

        let mut heard = BTreeSet::new();
        for event in self.bus.events() {
            let row_id = event.detail["p_row_id"].as_str().unwrap().to_owned();
            let (_, record) =
                lake.get(&row_id).unwrap_or_else(|| panic!("an event that is not in the lake: {event:?}"));
            assert_eq!(*record, event.detail);
            heard.insert(row_id);
        }
        assert!(heard.iter().eq(lake.keys()), "{} of {} records are on the bus", heard.len(), lake.len());

        let must_notify: BTreeSet<_> =
            acknowledged.iter().filter(|log| log.must_notify).map(|log| log.id.as_str()).collect();
        let (mut notified, mut e_mailed) = (BTreeSet::new(), BTreeSet::new());
        for message in self.sns.published() {
            let chat: Value = serde_json::from_str(&message.text("https")).unwrap();
            schema::assert_is_custom_notification(&chat);
            let row_id = chat["id"].as_str().unwrap();
            let (log, _) = lake.get(row_id).unwrap_or_else(|| panic!("a message that is not in the lake: {chat}"));
            notified.insert(log.as_str());
            if message.has_no_form() {
                assert!(message.text("email").contains("\nDo now\n1. "), "{message:?}");
                e_mailed.insert(chat["metadata"]["threadId"].as_str().unwrap().to_owned());
            }
        }
        assert!(notified.is_subset(&must_notify), "only what must notify is on the topic");
        let alerts: BTreeSet<_> =
            acknowledged.iter().filter(|log| log.must_notify).map(|log| log.alert_id.clone()).collect();
        assert_eq!(e_mailed, alerts, "the alerts in e-mails, and those that must notify");
    }

    /// The id of the log in each record, and the record, by row id.
    fn lake(&self) -> BTreeMap<String, (String, Value)> {
        let mut records = BTreeMap::new();
        for (key, body) in self.s3.objects(BUCKET) {
            if key.starts_with("notified/") {
                continue;
            }
            for line in std::str::from_utf8(&body).unwrap().lines() {
                let record: Value = serde_json::from_str(line).unwrap();
                let log = match key.split('/').next() {
                    Some(ALERTS) => record["id"].clone(),
                    Some(FAILURES) => {
                        serde_json::from_str::<Value>(record["payload"].as_str().unwrap()).unwrap()["id"].clone()
                    }
                    _ => panic!("{key}"),
                };
                let row_id = record["p_row_id"].as_str().unwrap().to_owned();
                records.insert(row_id, (log.as_str().unwrap().to_owned(), record));
            }
        }
        records
    }

    /// A quiet day proves nothing.
    fn assert_was_one(&self) {
        let faults = [self.s3.faults(), self.sns.faults(), self.bus.faults()];
        let kills: usize = self.kills.iter().map(Cell::get).sum();
        let rest = [self.queued.get(), self.doubled.get(), self.failed.get(), kills];
        assert!(faults.iter().chain(&rest).all(|count| *count > 0), "{}", self.figures());
    }

    fn figures(&self) -> String {
        let [webhook, drain, notifier] = self.kills.each_ref().map(Cell::get);
        format!(
            "{} messages and {} events of {} records; faults: {} of S3 on writes, {} of SNS, {} of EventBridge; kills: \
             {webhook} of the webhook, {drain} of the drain, {notifier} of the notifier; {} deliveries were queued, {} \
             of S3's events came twice, {} messages came again after a failure",
            self.sns.published().len(),
            self.bus.events().len(),
            self.lake().len(),
            self.s3.faults(),
            self.sns.faults(),
            self.bus.faults(),
            self.queued.get(),
            self.doubled.get(),
            self.failed.get(),
        )
    }
}

/// A hang lasts until the deadline, so it is rare.
fn any(rng: &mut Rng) -> Fault {
    if rng.f32() < 0.03 { Fault::Hang } else { FAULTS[rng.usize(..FAULTS.len())] }
}

/// A batch of any messages.
fn take(rng: &mut Rng, messages: &mut Vec<String>) -> Vec<String> {
    rng.shuffle(messages);
    let kept = messages.len().saturating_sub(BATCH);
    messages.split_off(kept)
}
