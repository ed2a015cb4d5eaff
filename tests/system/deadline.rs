//! Deadlines: the answer comes in time whatever the services do, because timeouts, attempts and waits follow from the
//! time that is left.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tracebit_lake_harness::{Fault, runtime_api::Response, secrets_manager::SecretsManager, sqs::Sqs};

use crate::support::{
    ALERTS, GZIP, JSON, TestLake, alert, assert_queued, assert_unavailable, counts, gzip, health_check,
    secrets_manager_env, signed_event_with, spill_env,
};

const DENIED: Fault = Fault::Status { status: 403, code: "AccessDenied" };
const SLOW: [Fault; 3] =
    [Fault::Hang, Fault::SlowAnswer(Duration::from_mins(1)), Fault::Drip(Duration::from_millis(100))];
const ONE: &str = "the-first-of-the-secrets";
const TWO: &str = "the-second-of-the-secrets";

/// A lake with Secrets Manager and a spill queue.
struct Stack {
    secrets: SecretsManager,
    sqs: Sqs,
    lake: TestLake,
}

impl Stack {
    async fn start() -> Self {
        let (secrets, sqs) = (SecretsManager::start().await, Sqs::start().await);
        secrets.set(ONE, None);
        let (secrets_endpoint, sqs_endpoint, url) = (secrets.endpoint(), sqs.endpoint(), sqs.queue_url());
        let env = [&secrets_manager_env(&secrets_endpoint)[..], &spill_env(&sqs_endpoint, &url)].concat();
        Self { lake: TestLake::with_env(&env).await, secrets, sqs }
    }

    /// Delivers an alert that is signed with `secret`; the answer must come before the deadline.
    async fn deliver(&self, secret: &str, deadline: Duration) -> Response {
        let event = signed_event_with(secret, &[JSON], alert().to_string().as_bytes());
        self.lake.invoke_within(deadline, &event).await
    }
}

#[tokio::test]
async fn slow_services_never_delay_an_answer_past_the_deadline() {
    let cases = SLOW.into_iter().flat_map(|fault| [1_500, 4_000].map(|ms| (fault, Duration::from_millis(ms))));
    let cases = join_all(cases.map(async |(fault, deadline)| (Stack::start().await, fault, deadline))).await;
    join_all(cases.into_iter().map(async |(stack, fault, deadline)| {
        stack.lake.s3.fail_always(fault);
        stack.sqs.fail_always(fault);
        assert_unavailable(&stack.deliver(ONE, deadline).await);
        stack.secrets.fail_always(fault);
        assert_unavailable(&stack.deliver(TWO, deadline).await);
    }))
    .await;
}

#[tokio::test]
async fn a_slow_s3_leaves_the_queue_its_share_of_the_time() {
    join_all(SLOW.map(async |fault| {
        let stack = Stack::start().await;
        stack.lake.s3.fail_always(fault);
        assert_queued(&stack.deliver(ONE, Duration::from_secs(3)).await);
        assert_eq!(stack.sqs.messages().len(), 1, "{fault:?}");
    }))
    .await;
}

#[tokio::test]
async fn a_sender_is_answered_soon_whatever_hangs() {
    // Lambda's own limit is far away.
    const INVOCATION: Duration = Duration::from_secs(30);
    const WITH_QUEUE: Duration = Duration::from_secs(5);
    const WHATEVER_HANGS: Duration = Duration::from_secs(10);
    join_all(SLOW.map(async |fault| {
        let stack = Stack::start().await;
        let took = async |secret| {
            let started = Instant::now();
            (stack.deliver(secret, INVOCATION).await, started.elapsed())
        };
        stack.lake.s3.fail_always(fault);
        let (answer, s3) = took(ONE).await;
        assert_queued(&answer);
        assert!(s3 < WITH_QUEUE, "{fault:?}: {s3:?}");

        stack.sqs.fail_always(fault);
        let (answer, s3_and_queue) = took(ONE).await;
        assert_unavailable(&answer);
        assert!(s3_and_queue < WHATEVER_HANGS, "{fault:?}: {s3_and_queue:?}");

        // The secret comes at the last moment: each version takes almost half of its time.
        stack.secrets.rotate(TWO);
        stack.secrets.fail_always(Fault::SlowAnswer(Duration::from_millis(1_600)));
        let (answer, everything) = took(TWO).await;
        assert_unavailable(&answer);
        assert!(everything > s3_and_queue && everything < WHATEVER_HANGS, "{fault:?}: {everything:?}");
        println!("{fault:?}: S3 {s3:.1?}, S3 and queue {s3_and_queue:.1?}, with a slow secret {everything:.1?}");
    }))
    .await;
}

#[tokio::test]
async fn a_secret_that_hangs_is_answered_soon() {
    join_all(SLOW.map(async |fault| {
        let stack = Stack::start().await;
        stack.secrets.fail_always(fault);
        let started = Instant::now();
        assert_unavailable(&stack.deliver(TWO, Duration::from_secs(30)).await);
        assert!(started.elapsed() < Duration::from_secs(5), "{fault:?}: {:?}", started.elapsed());
    }))
    .await;
}

#[tokio::test]
async fn a_timeout_names_the_last_fault() {
    let stack = Stack::start().await;
    stack.sqs.stop().await;
    stack.lake.s3.stop().await;
    stack.secrets.stop().await;
    assert_unavailable(&stack.deliver(ONE, Duration::from_secs(5)).await);
    assert_unavailable(&stack.deliver(TWO, Duration::from_secs(5)).await);
    let output = stack.lake.function.settled_output().await.to_lowercase();
    for call in ["putobject", "sendmessage", "getsecretvalue"] {
        let timed_out = format!("{call} timed out; the last attempt failed: ");
        let cause = output.split(&timed_out).nth(1).unwrap_or_else(|| panic!("no {timed_out:?} in {output}"));
        assert!(cause.split(';').next().unwrap().contains("connection refused"), "{call}: {output}");
    }
    // A service that never answers has no fault to name.
    let stack = Stack::start().await;
    stack.lake.s3.fail_always(Fault::Hang);
    assert_queued(&stack.deliver(ONE, Duration::from_millis(900)).await);
    let output = stack.lake.function.settled_output().await;
    assert!(output.contains("PutObject timed out"), "{output}");
}

#[tokio::test]
async fn thousands_of_hanging_uploads_delay_neither_queue_nor_answer() {
    const DEADLINE: Duration = Duration::from_secs(5);
    let hours = (0..5_000).map(|n| {
        let (day, hour) = (n / 24, n % 24);
        health_check(&format!("2026-{:02}-{:02}T{hour:02}:00:00Z", day / 28 % 12 + 1, day % 28 + 1)).to_string()
    });
    let body = gzip(hours.collect::<Vec<_>>().join("\n"));
    let event = signed_event_with(ONE, &[GZIP], &body);
    let stack = Stack::start().await;
    stack.lake.s3.fail_always(Fault::Hang);
    assert_queued(&stack.lake.invoke_within(DEADLINE, &event).await);
    stack.sqs.fail_always(DENIED);
    assert_unavailable(&stack.lake.invoke_within(DEADLINE, &event).await);
}

#[tokio::test]
async fn one_hanging_attempt_costs_neither_delivery_nor_deadline() {
    const DEADLINE: Duration = Duration::from_secs(4);
    let stack = Stack::start().await;
    stack.lake.s3.fail_next(1, Fault::Hang);
    assert_eq!(counts(&stack.deliver(ONE, DEADLINE).await), [1, 0, 0]);
    assert_eq!(stack.lake.s3.puts().len(), 2);

    stack.secrets.rotate(TWO);
    stack.secrets.fail_next(1, Fault::Hang);
    assert_eq!(counts(&stack.deliver(TWO, DEADLINE).await), [0, 1, 0]);

    stack.lake.s3.fail_always(DENIED);
    stack.sqs.fail_next(1, Fault::Hang);
    assert_queued(&stack.deliver(ONE, DEADLINE).await);
}

#[tokio::test]
async fn without_time_left_nothing_is_started_or_acknowledged() {
    let stack = Stack::start().await;
    let event = signed_event_with(ONE, &[JSON], alert().to_string().as_bytes());
    for milliseconds in [0, 1, 100] {
        let deadline = Duration::from_millis(milliseconds);
        assert_unavailable(&stack.lake.function.invoke_within(&event, deadline).await.response());
    }
    assert_eq!((stack.lake.s3.puts().len(), stack.sqs.messages().len()), (0, 0));
    assert_eq!(counts(&stack.deliver(ONE, Duration::from_secs(30)).await), [1, 0, 0]);
    assert_eq!(stack.lake.records(ALERTS).len(), 1);
}
