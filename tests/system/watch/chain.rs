//! The whole chain on loopback: Tracebit's API, the lake with its notifier, the notifier's queue, and the watcher.

use std::{
    fs::File,
    time::{Duration, Instant, SystemTime},
};

use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use tracebit_lake_harness::{
    runtime_api::{Function, InvocationResult},
    sns::{ALARM_TOPIC_ARN, TOPIC_ARN},
    sqs::Sqs,
    tracebit_api::{TOKEN, TracebitApi},
};

use crate::{
    notify::setup::Setup,
    support::{BUCKET, TestLake, WATCH, alert},
};

/// The time of an invocation: longer than any round here should take.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// Everything from Tracebit's list to the people who are notified.
pub(super) struct Chain {
    pub(super) api: TracebitApi,
    pub(super) setup: Setup,
    pub(super) queue: Sqs,
    pub(super) watcher: Function,
    env: Vec<(String, String)>,
}

impl Chain {
    pub(super) async fn start() -> Self {
        Self::with_env(&[]).await
    }

    /// With these variables for the watcher, which override the usual ones.
    pub(super) async fn with_env(env: &[(&str, &str)]) -> Self {
        Self::on(TestLake::start().await, env).await
    }

    /// The same on this lake.
    pub(super) async fn on(lake: TestLake, env: &[(&str, &str)]) -> Self {
        let (api, setup, queue) = (TracebitApi::start().await, Setup::on(lake, &[]).await, Sqs::start().await);
        setup.sns.set_subscribers(1);
        let (s3, sns, sqs) = (setup.lake.s3.endpoint(), setup.sns.endpoint(), queue.endpoint());
        let (queue_url, api_url) = (queue.queue_url(), api.endpoint());
        let usual = [
            ("LAKE_BUCKET", BUCKET),
            ("ALERT_TOPIC_ARN", TOPIC_ARN),
            ("ALARM_TOPIC_ARN", ALARM_TOPIC_ARN),
            ("NOTIFY_QUEUE_URL", &queue_url),
            ("TRACEBIT_API_URL", &api_url),
            ("TRACEBIT_API_TOKEN", TOKEN),
            ("AWS_ENDPOINT_URL_S3", &s3),
            ("AWS_ENDPOINT_URL_SNS", &sns),
            ("AWS_ENDPOINT_URL_SQS", &sqs),
        ];
        let env: Vec<_> =
            usual.iter().chain(env).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let watcher = watcher(&env).await;
        Self { api, setup, queue, watcher, env }
    }

    /// Kills the watcher and starts another.
    pub(super) async fn restart(&mut self) {
        self.watcher.kill().await;
        self.watcher = watcher(&self.env).await;
    }

    /// One round: its answer.
    pub(super) async fn round(&self) -> Value {
        self.round_within(DEADLINE).await
    }

    /// One round, which must be answered before the deadline.
    pub(super) async fn round_within(&self, deadline: Duration) -> Value {
        let sent = Instant::now();
        let invocation = self.watcher.invoke_within(&json!({"source": "aws.scheduler"}), deadline).await;
        assert!(sent.elapsed() < deadline, "the answer came after the deadline: {invocation:?}");
        let InvocationResult::Response(answer) = invocation else { panic!("{invocation:?}") };
        answer
    }

    /// One round without problems: listed, missing, stored, unpublished.
    pub(super) async fn good_round(&self) -> [u64; 4] {
        let answer = self.round().await;
        assert_eq!(answer["problems"], json!([]), "{answer}");
        ["listed", "missing", "stored", "unpublished"].map(|name| answer[name].as_u64().unwrap())
    }

    /// Hands the notifier what is in its queue.
    pub(super) async fn notify(&self) {
        let messages = self.queue.take_messages();
        assert_eq!(self.setup.left_of(&messages).await, [""; 0], "{}", self.setup.notifier.output());
    }

    /// Makes an object so old.
    pub(super) fn age(&self, key: &str, age: TimeDelta) {
        let path = self.setup.lake.s3.folder().join(BUCKET).join(key);
        let modified = SystemTime::now() - age.to_std().unwrap();
        File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
    }

    /// Delivers logs of which nobody is notified, and makes their objects so old.
    pub(super) async fn deliver_unheard(&self, logs: &[Value], age: TimeDelta) -> Vec<String> {
        let keys = self.setup.deliver(logs).await;
        for key in &keys {
            self.age(key, age);
        }
        keys
    }
}

async fn watcher(env: &[(String, String)]) -> Function {
    let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let watcher = Function::start(WATCH, &env).await;
    watcher.ready().await.unwrap_or_else(|output| panic!("{output}"));
    watcher
}

/// A time so long ago, as Tracebit writes it.
pub(super) fn ago(age: TimeDelta) -> String {
    (Utc::now() - age).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// An alert as the API lists it, which began so long ago.
pub(super) fn listed(id: &str, age: TimeDelta) -> Value {
    json!({
        "id": id,
        "start_time": ago(age),
        "end_time": null,
        "classification": "Unclassified",
        "severity": "High",
        "provider": "aws",
        "provider_account_id": "123456789012",
        "title": format!("Canary of {id} was touched"),
        "tracebit_portal_url": format!("https://acme.tracebit.com/alerts/{id}"),
        "indicators": [],
    })
}

/// A log of an alert, as the API has it.
pub(super) fn api_log(id: &str, alert_id: &str, age: TimeDelta) -> Value {
    let mut log = delivered_log(id, alert_id, age);
    let members = log.as_object_mut().unwrap();
    for name in ["discriminator", "provider", "message", "tracebit_portal_url"] {
        members.remove(name);
    }
    members.insert("a_new_member".to_owned(), json!({"nested": [1, null]}));
    log
}

/// The same log, as the webhook delivers it.
pub(super) fn delivered_log(id: &str, alert_id: &str, age: TimeDelta) -> Value {
    let mut log = alert();
    log["id"] = json!(id);
    log["alert_id"] = json!(alert_id);
    log["timestamp"] = json!(ago(age));
    log
}
