//! A lake with the notifier behind it, and what its subscribers get.

use std::{
    fs,
    time::{Duration, Instant},
};

use aws_sdk_s3::{
    Client,
    config::{Builder, Credentials, SharedCredentialsProvider},
    primitives::ByteStream,
};
use serde_json::{Value, json};
use tracebit_lake::aws;
use tracebit_lake_harness::{
    eventbridge::{Event, EventBridge},
    runtime_api::{Function, InvocationResult},
    s3::{self, ACCESS_KEY, S3, SECRET_KEY},
    sns::{Published, Sns, TOPIC_ARN},
    sqs,
};

use super::schema;
use crate::support::{BUCKET, NOTIFY, TestLake};

/// The default deadline of an invocation: longer than any invocation here should take.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// A lake, its notifier, the topic for people and the bus for machines.
pub(crate) struct Setup {
    pub(crate) lake: TestLake,
    pub(crate) sns: Sns,
    pub(crate) bus: EventBridge,
    pub(crate) notifier: Function,
}

impl Setup {
    /// With the usual environment.
    pub(crate) async fn start() -> Self {
        Self::with_env(&[]).await
    }

    /// With these variables for the notifier too.
    pub(crate) async fn with_env(env: &[(&str, &str)]) -> Self {
        Self::on(TestLake::start().await, env).await
    }

    /// On this lake.
    pub(crate) async fn on(lake: TestLake, env: &[(&str, &str)]) -> Self {
        let (sns, bus) = (Sns::start().await, EventBridge::start().await);
        let notifier = notifier(&lake.s3, &sns, &bus, env).await;
        Self { lake, sns, bus, notifier }
    }

    /// Kills the notifier and starts another.
    pub(crate) async fn restart(&mut self) {
        self.notifier.kill().await;
        self.notifier = notifier(&self.lake.s3, &self.sns, &self.bus, &[]).await;
    }

    /// Delivers logs to the lake, and returns the keys of the new objects.
    pub(crate) async fn deliver(&self, logs: &[Value]) -> Vec<String> {
        let before = self.keys();
        let response = self.lake.deliver(json!(logs).to_string()).await;
        assert_eq!(response.status, 200, "{response:?}");
        self.keys().into_iter().filter(|key| !before.contains(key)).collect()
    }

    /// Puts an object of these bytes into the lake, as only somebody else's program would.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.lake.s3.folder().join(BUCKET).join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Puts an object into the lake that must notify nobody: imported history, or a copy of another lake's record.
    pub(crate) async fn put_quiet(&self, key: &str, bytes: Vec<u8>) {
        let credentials = SharedCredentialsProvider::new(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"));
        let sdk = aws::load_for(&self.lake.s3.endpoint(), "us-east-1", credentials).await;
        let s3 = Client::from_conf(Builder::from(&sdk).force_path_style(true).build());
        let put = s3.put_object().bucket(BUCKET).key(key).body(ByteStream::from(bytes));
        put.metadata("quiet", "true").send().await.unwrap();
    }

    /// Delivers logs and passes S3's events about their objects to the notifier, which must succeed.
    pub(crate) async fn publish(&self, logs: &[Value]) {
        let bodies: Vec<_> = self.deliver(logs).await.iter().map(|key| created(BUCKET, key)).collect();
        assert_eq!(self.left_of(&bodies).await, [""; 0], "{}", self.notifier.output());
    }

    /// The ids of the messages that the notifier leaves in the queue.
    pub(crate) async fn left_of(&self, bodies: &[String]) -> Vec<String> {
        self.left_within(DEADLINE, bodies).await
    }

    /// The same with a deadline of the invocation.
    pub(crate) async fn left_within(&self, deadline: Duration, bodies: &[String]) -> Vec<String> {
        let sent = Instant::now();
        let invocation = self.notifier.invoke_within(&sqs::event(bodies), deadline).await;
        assert!(sent.elapsed() < deadline, "the answer came after the deadline: {invocation:?}");
        let InvocationResult::Response(answer) = invocation else { panic!("{invocation:?}") };
        let failures = answer["batchItemFailures"].as_array().unwrap();
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
    }

    /// The keys of the tables' objects.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.lake.keys().into_iter().filter(|key| !key.starts_with("notified/")).collect()
    }

    /// The keys of the markers.
    pub(crate) fn markers(&self) -> Vec<String> {
        self.lake.keys().into_iter().filter(|key| key.starts_with("notified/")).collect()
    }

    /// The messages that an e-mail subscription gets, whose filter policy wants no attribute `form`.
    pub(crate) fn emails(&self) -> Vec<Published> {
        self.sns.published().into_iter().filter(Published::has_no_form).collect()
    }

    /// The only e-mail.
    pub(crate) fn email(&self) -> String {
        let [email] = self.emails().try_into().unwrap_or_else(|all| panic!("expected one e-mail: {all:?}"));
        email.text("email")
    }

    /// What Amazon Q Developer gets: each message must be a custom notification.
    pub(crate) fn chats(&self) -> Vec<Value> {
        let texts = self.sns.published().into_iter().map(|message| message.text("https"));
        let notifications = texts.map(|text| serde_json::from_str(&text).unwrap());
        notifications.inspect(schema::assert_is_custom_notification).collect()
    }

    /// The events on the bus.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.bus.events()
    }
}

/// The notifier's variables but for the lake's bucket.
pub(crate) async fn notifier(s3: &S3, sns: &Sns, bus: &EventBridge, env: &[(&str, &str)]) -> Function {
    let (s3, sns, bus) = (s3.endpoint(), sns.endpoint(), bus.endpoint());
    let usual = [
        ("LAKE_BUCKET", BUCKET),
        ("ALERT_TOPIC_ARN", TOPIC_ARN),
        ("ATHENA_DATABASE", "lake"),
        ("AWS_ENDPOINT_URL_S3", &s3),
        ("AWS_ENDPOINT_URL_SNS", &sns),
        ("AWS_ENDPOINT_URL_EVENTBRIDGE", &bus),
    ];
    let notifier = Function::start(NOTIFY, &[&usual[..], env].concat()).await;
    notifier.ready().await.unwrap_or_else(|output| panic!("{output}"));
    notifier
}

/// S3's event about an object whose size does not matter.
pub(crate) fn created(bucket: &str, key: &str) -> String {
    s3::created(bucket, key, 5)
}
