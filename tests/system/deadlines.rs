//! §3: the answer comes before the deadline, whatever the services do, and their time-outs, attempts and waits follow
//! from the time that is left.

use std::time::Duration;

use futures_util::future::join_all;
use tracebit_lake_harness::{Fault, runtime_api::Response, secrets_manager::SecretsManager, sqs::Sqs};

use crate::{
    lake::{JSON, Lake, assert_queued, assert_try_again, counts, secrets_manager_env, signed_event_under, spill_env},
    payloads::{GZIP, gzip},
    samples::{ALERTS, alert, health_check},
};

const DENIED: Fault = Fault::Status { status: 403, code: "AccessDenied" };
const SLOW: [Fault; 3] =
    [Fault::Hang, Fault::SlowAnswer(Duration::from_mins(1)), Fault::Drip(Duration::from_millis(100))];
const ONE: &str = "the-first-of-the-secrets";
const TWO: &str = "the-second-of-the-secrets";

/// All three services, and a lake in front of them.
struct World {
    secrets: SecretsManager,
    sqs: Sqs,
    lake: Lake,
}

impl World {
    async fn start() -> Self {
        let (secrets, sqs) = (SecretsManager::start().await, Sqs::start().await);
        secrets.set(ONE, None);
        let (secrets_endpoint, sqs_endpoint, url) = (secrets.endpoint(), sqs.endpoint(), sqs.queue_url());
        let env = [&secrets_manager_env(&secrets_endpoint)[..], &spill_env(&sqs_endpoint, &url)].concat();
        Self { lake: Lake::with(&env).await, secrets, sqs }
    }

    /// Delivers an alert, signed under `secret`; the answer must be there within `deadline`.
    async fn deliver(&self, secret: &str, deadline: Duration) -> Response {
        let event = signed_event_under(secret, &[JSON], alert().to_string().as_bytes());
        self.lake.invoke_by(deadline, &event).await
    }
}

#[tokio::test]
async fn the_answer_comes_before_the_deadline_however_slow_the_services_are() {
    let cases = SLOW.into_iter().flat_map(|fault| [1_500, 4_000].map(|ms| (fault, Duration::from_millis(ms))));
    let cases = join_all(cases.map(async |(fault, deadline)| (World::start().await, fault, deadline))).await;
    join_all(cases.into_iter().map(async |(world, fault, deadline)| {
        world.lake.s3.fail_always(fault);
        world.sqs.fail(Some(fault));
        assert_try_again(&world.deliver(ONE, deadline).await);
        world.secrets.fail(Some(fault));
        assert_try_again(&world.deliver(TWO, deadline).await);
    }))
    .await;
}

#[tokio::test]
async fn the_queue_has_its_share_of_the_time_when_s3_is_slow() {
    join_all(SLOW.map(async |fault| {
        let world = World::start().await;
        world.lake.s3.fail_always(fault);
        assert_queued(&world.deliver(ONE, Duration::from_secs(3)).await);
        assert_eq!(world.sqs.messages().len(), 1, "{fault:?}");
    }))
    .await;
}

#[tokio::test]
async fn thousands_of_objects_that_s3_does_not_take_hold_up_neither_the_queue_nor_the_answer() {
    const DEADLINE: Duration = Duration::from_secs(5);
    let hours = (0..5_000).map(|n| {
        let (day, hour) = (n / 24, n % 24);
        health_check(&format!("2026-{:02}-{:02}T{hour:02}:00:00Z", day / 28 % 12 + 1, day % 28 + 1)).to_string()
    });
    let body = gzip(hours.collect::<Vec<_>>().join("\n"));
    let event = signed_event_under(ONE, &[GZIP], &body);
    let world = World::start().await;
    world.lake.s3.fail_always(Fault::Hang);
    assert_queued(&world.lake.invoke_by(DEADLINE, &event).await);
    world.sqs.fail(Some(DENIED));
    assert_try_again(&world.lake.invoke_by(DEADLINE, &event).await);
}

#[tokio::test]
async fn one_attempt_that_hangs_costs_neither_the_delivery_nor_the_deadline() {
    const DEADLINE: Duration = Duration::from_secs(4);
    let world = World::start().await;
    world.lake.s3.fail_next(1, Fault::Hang);
    assert_eq!(counts(&world.deliver(ONE, DEADLINE).await), [1, 0, 0]);
    assert_eq!(world.lake.s3.puts().len(), 2);

    world.secrets.rotate(TWO);
    world.secrets.fail_next(1, Fault::Hang);
    assert_eq!(counts(&world.deliver(TWO, DEADLINE).await), [0, 1, 0]);

    world.lake.s3.fail_always(DENIED);
    world.sqs.fail_next(1, Fault::Hang);
    assert_queued(&world.deliver(ONE, DEADLINE).await);
}

#[tokio::test]
async fn where_no_time_is_left_nothing_is_begun_and_nothing_acknowledged() {
    let world = World::start().await;
    let event = signed_event_under(ONE, &[JSON], alert().to_string().as_bytes());
    for milliseconds in [0, 1, 100] {
        let deadline = Duration::from_millis(milliseconds);
        assert_try_again(&world.lake.function.invoke_within(&event, deadline).await.response());
    }
    assert_eq!((world.lake.s3.puts().len(), world.sqs.messages().len()), (0, 0));
    assert_eq!(counts(&world.deliver(ONE, Duration::from_secs(30)).await), [1, 0, 0]);
    assert_eq!(world.lake.records(ALERTS).len(), 1);
}
