//! The spill queue, and the function that drains it.

use std::time::{Duration, Instant};

use tracebit_lake_harness::{
    runtime_api::{Function, InvocationResult},
    sqs::{self, Sqs},
};

use super::{DRAIN, TestLake, lake_env, spill_env};

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
