//! The functions' binaries, the environment that connects them to the services, and the drain on its queue.

use std::{
    env,
    time::{Duration, Instant},
};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use tracebit_lake::{
    aws::sqs_event::SqsEvent,
    ingest::{
        App, drain,
        webhook::{self, HttpEvent},
    },
};
use tracebit_lake_harness::{
    runtime_api::{Function, InvocationResult},
    s3::S3,
    secrets_manager,
    sqs::{self, Sqs},
};

use super::TestLake;

/// The webhook function.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tracebit-lake");
/// The function that drains the spill queue.
pub(crate) const DRAIN: &str = env!("CARGO_BIN_EXE_tracebit-lake-drain");
/// The function that publishes new objects to people and machines.
pub(crate) const NOTIFY: &str = env!("CARGO_BIN_EXE_tracebit-lake-notify");
/// The function that watches the chain from Tracebit's list to the people who are notified.
pub(crate) const WATCH: &str = env!("CARGO_BIN_EXE_tracebit-lake-watch");
/// The bucket of every lake.
pub(crate) const BUCKET: &str = "lake";
/// The shared secret, unless a test sets another one.
pub(crate) const SECRET: &str = "secret-of-the-system-tests";

/// An S3 server that has the bucket.
pub(crate) async fn start_s3() -> S3 {
    let s3 = S3::start().await;
    s3.create_bucket(BUCKET);
    s3
}

/// Starts the webhook function on `s3`, and does not wait until it is ready. `env` overrides the usual variables.
pub(crate) async fn start_function(s3: &S3, env: &[(&str, &str)]) -> Function {
    let endpoint = s3.endpoint();
    let all = [&lake_env(&endpoint)[..], env].concat();
    Function::start(BINARY, &all).await
}

/// The variables that every function needs.
pub(crate) fn lake_env(s3_endpoint: &str) -> [(&'static str, &str); 3] {
    [("LAKE_BUCKET", BUCKET), ("TRACEBIT_SECRET", SECRET), ("AWS_ENDPOINT_URL_S3", s3_endpoint)]
}

/// The variables that make a function read its secret from the harness's Secrets Manager.
pub(crate) fn secrets_manager_env(endpoint: &str) -> [(&'static str, &str); 3] {
    [
        ("TRACEBIT_SECRET", ""),
        ("TRACEBIT_SECRET_ARN", secrets_manager::ARN),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint),
    ]
}

/// The variables that give a function the harness's spill queue.
pub(crate) fn spill_env<'a>(endpoint: &'a str, queue_url: &'a str) -> [(&'static str, &'a str); 2] {
    [("SPILL_QUEUE_URL", queue_url), ("AWS_ENDPOINT_URL_SQS", endpoint)]
}

/// Long enough for S3's share of the time and the queue's.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(3);

/// A lake with a spill queue.
pub(crate) async fn lake_with_queue() -> (Sqs, TestLake) {
    let sqs = Sqs::start().await;
    let (url, endpoint) = (sqs.queue_url(), sqs.endpoint());
    let lake = TestLake::with_env(&spill_env(&endpoint, &url)).await;
    (sqs, lake)
}

/// The drain function, on the bucket of a lake.
pub(crate) struct Drain(pub(crate) Function);

impl Drain {
    pub(crate) async fn of(lake: &TestLake) -> Self {
        let drain = Function::start(DRAIN, &lake_env(&lake.s3.endpoint())).await;
        drain.ready().await.unwrap_or_else(|output| panic!("{output}"));
        Self(drain)
    }

    /// The ids of the messages that the drain leaves in the queue.
    pub(crate) async fn left_of(&self, messages: &[String]) -> Vec<String> {
        let sent = Instant::now();
        let invocation = self.0.invoke_within(&sqs::event(messages), DRAIN_DEADLINE).await;
        assert!(sent.elapsed() < DRAIN_DEADLINE, "the answer came after the deadline: {invocation:?}");
        match invocation {
            InvocationResult::Response(answer) => answer["batchItemFailures"]
                .as_array()
                .unwrap()
                .iter()
                .map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned())
                .collect(),
            other => panic!("{other:?}"),
        }
    }
}

/// Starts a function that is this test program itself, ready for its first invocation. It is the binary's own loop
/// around an application that the binary does not offer, such as one with another schema or another clock. The test of
/// this name is ignored and never ends. It runs alone there.
pub(crate) async fn start_own_function(test: &str, env: &[(&str, &str)]) -> Function {
    let program = env::current_exe().unwrap();
    let function = Function::start_with_args(program, &["--exact", "--ignored", "--nocapture", test], env).await;
    function.ready().await.unwrap_or_else(|output| panic!("{output}"));
    function
}

/// The loop of the webhook's binary.
pub(crate) async fn serve_webhook(app: App) -> Result<(), Error> {
    let answer = async |LambdaEvent { payload, context }: LambdaEvent<HttpEvent>| {
        Ok::<_, Error>(webhook::handle(&app, payload, &context.into()).await)
    };
    lambda_runtime::run(service_fn(answer)).await
}

/// The loop of the drain's binary.
pub(crate) async fn serve_drain(app: App) -> Result<(), Error> {
    let app = app.without_queue();
    let answer = async |LambdaEvent { payload, context }: LambdaEvent<SqsEvent>| {
        Ok::<_, Error>(drain::handle(&app, payload, &context.into()).await)
    };
    lambda_runtime::run(service_fn(answer)).await
}
