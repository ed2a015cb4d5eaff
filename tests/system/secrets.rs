//! The secret in Secrets Manager: its rotation, its cache, and outages.

use std::{
    env,
    time::{Duration, Instant, SystemTime},
};

use futures_util::future::join_all;
use lambda_runtime::{Error, tracing};
use serde_json::json;
use tokio::time::{sleep, timeout};
use tracebit_lake::ingest::App;
use tracebit_lake_harness::{Fault, runtime_api::Response, secrets_manager::SecretsManager};

use crate::support::{
    ALERTS, JSON, SECRET, SIGNATURE, TestLake, alert, alert_with_id, assert_unavailable, counts, invocation_line,
    lake_env, output_since, secrets_manager_env, serve_webhook, sign_with, start_function, start_own_function,
    start_s3, values,
};

const ONE: &str = "the-first-of-the-secrets";
const TWO: &str = "the-second-of-the-secrets";
const THREE: &str = "the-third-of-the-secrets";
const FORGED: &str = "another-secret-than-tracebits";

/// The faults of an outage.
const OUTAGES: [Fault; 9] = [
    DOWN,
    THROTTLED,
    DENIED,
    Fault::ResetInRequest,
    Fault::Reset,
    Fault::Hang,
    Fault::WrongChecksum,
    Fault::Drip(Duration::from_millis(100)),
    Fault::ResetInAnswer,
];

/// Long enough for a retry, and for the answer on a busy machine.
const DEADLINE: Duration = Duration::from_secs(3);

/// The pause between two refetches for signatures that do not verify.
const PAUSE: Duration = Duration::from_secs(10);

const DOWN: Fault = Fault::Status { status: 500, code: "InternalServiceError" };
const THROTTLED: Fault = Fault::Status { status: 400, code: "ThrottlingException" };
const DENIED: Fault = Fault::Status { status: 400, code: "AccessDeniedException" };

async fn manager(current: &str, previous: Option<&str>) -> (SecretsManager, TestLake) {
    let manager = SecretsManager::start().await;
    manager.set(current, previous);
    let lake = TestLake::with_secrets_manager(&manager.endpoint()).await;
    (manager, lake)
}

/// Delivers an alert that is signed with `secret`.
async fn deliver(lake: &TestLake, secret: &str) -> Response {
    deliver_within(Duration::from_secs(30), lake, secret).await
}

async fn deliver_within(deadline: Duration, lake: &TestLake, secret: &str) -> Response {
    let body = alert().to_string();
    let signature = sign_with(secret, &body);
    lake.post_within(deadline, &[JSON, (SIGNATURE, &signature)], &body).await
}

/// The answer to a delivery under this secret once the pause between two refetches is over.
async fn answer_after_the_pause(lake: &TestLake, secret: &str) -> Response {
    let answered = async {
        loop {
            let response = deliver(lake, secret).await;
            if response.status != 503 {
                return response;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PAUSE + DEADLINE, answered).await.expect("an answer after the pause")
}

#[tokio::test]
async fn the_current_and_the_previous_version_both_verify() {
    let (manager, lake) = manager(TWO, Some(ONE)).await;
    assert_eq!(counts(&deliver(&lake, TWO).await), [1, 0, 0]);
    assert_eq!(counts(&deliver(&lake, ONE).await), [0, 1, 0]);
    assert_eq!(deliver(&lake, FORGED).await.status, 401);
    manager.stop().await;
}

#[tokio::test]
async fn a_secret_that_was_never_rotated_has_no_previous_version() {
    let (_manager, lake) = manager(ONE, None).await;
    assert_eq!(deliver(&lake, ONE).await.status, 200);
    assert_eq!(deliver(&lake, TWO).await.status, 401);
}

#[tokio::test]
async fn a_rotation_takes_effect_at_once() {
    let (manager, lake) = manager(ONE, None).await;
    assert_eq!(deliver(&lake, ONE).await.status, 200);
    manager.rotate(TWO);
    for (secret, named) in [(TWO, json!(null)), (ONE, json!("previous")), (TWO, json!(null))] {
        let before = lake.function.settled_output().await;
        assert_eq!(deliver(&lake, secret).await.status, 200, "{secret}");
        let line = invocation_line(&output_since(&lake, &before).await);
        assert_eq!(line["Secret"], named, "the line says whether the sender has the new secret");
    }
    assert_eq!(lake.records(ALERTS).len(), 1);
}

#[tokio::test]
async fn after_two_rotations_the_oldest_secret_does_not_verify() {
    let (manager, lake) = manager(ONE, None).await;
    manager.rotate(TWO);
    manager.rotate(THREE);
    assert_eq!(deliver(&lake, THREE).await.status, 200);
    assert_eq!(deliver(&lake, TWO).await.status, 200);
    assert_eq!(answer_after_the_pause(&lake, ONE).await.status, 401);
}

#[tokio::test]
async fn a_forgery_before_a_rotation_costs_no_delivery() {
    let (manager, lake) = manager(ONE, None).await;
    assert_eq!(deliver(&lake, FORGED).await.status, 401);
    manager.rotate(TWO);
    // Nobody knows yet whether this signature is right, so the sender must try again.
    let before = lake.function.settled_output().await;
    assert_unavailable(&deliver(&lake, TWO).await);
    let output = output_since(&lake, &before).await;
    assert_eq!(invocation_line(&output)["Outcome"], "unverified");
    assert_eq!(values(&output, ["Unauthorized", "SignatureMismatches", "StoreErrors"]), [1, 1, 0]);
    assert!(!output.contains("ERROR"), "a forgery would raise the alarm: {output}");
    assert!(lake.s3.puts().is_empty(), "what is not verified leaves no trace");

    assert_eq!(deliver(&lake, ONE).await.status, 200, "the old secret verifies all the time");
    let response = answer_after_the_pause(&lake, TWO).await;
    assert_eq!(counts(&response), [0, 1, 0]);
}

#[tokio::test]
async fn verified_deliveries_make_no_secrets_manager_request() {
    let (manager, lake) = manager(ONE, Some(TWO)).await;
    let at_start = manager.requests();
    assert_eq!(at_start, 1, "INIT reads the current version");
    assert_eq!(deliver(&lake, ONE).await.status, 200);
    assert_eq!(manager.requests(), at_start);
    assert_eq!(deliver(&lake, TWO).await.status, 200, "the previous version");
    assert_eq!(manager.requests(), at_start + 2, "it is read when it is needed");
    for secret in [ONE, TWO, ONE, TWO] {
        assert_eq!(deliver(&lake, secret).await.status, 200);
    }
    assert_eq!(manager.requests(), at_start + 2);
}

#[tokio::test]
async fn a_flood_of_forgeries_causes_one_refetch() {
    let (manager, lake) = manager(ONE, Some(TWO)).await;
    let at_start = manager.requests();
    let started = Instant::now();
    for n in 0..50 {
        let body = alert_with_id(&format!("log-{n}")).to_string();
        let signature = sign_with(FORGED, &body);
        let response = lake.post(&[JSON, (SIGNATURE, &signature)], &body).await;
        // Only the one whose mismatch made the function fetch the secret is known to be wrong.
        if n == 0 { assert_eq!(response.status, 401) } else { assert_unavailable(&response) }
    }
    assert!(started.elapsed() < PAUSE, "too slow for this test");
    assert_eq!(manager.requests(), at_start + 2, "a refetch reads both versions");
    assert_eq!(deliver(&lake, ONE).await.status, 200, "good deliveries continue");
    assert_eq!(manager.requests(), at_start + 2);
    // A malformed signature is wrong under every secret.
    assert_eq!(lake.post(&[JSON, (SIGNATURE, "rubbish")], "{}").await.status, 401);
}

#[tokio::test]
async fn in_an_outage_cached_secrets_verify_and_others_get_503() {
    let outage = async |fault| {
        let (manager, lake) = manager(ONE, None).await;
        manager.rotate(TWO);
        manager.fail_always(fault);
        assert_eq!(deliver(&lake, ONE).await.status, 200, "{fault:?}");
        // The signature may be right for the new secret, so the answer must not be 401.
        for _ in 0..2 {
            assert_unavailable(&deliver_within(DEADLINE, &lake, TWO).await);
        }
        assert_eq!(lake.records(ALERTS).len(), 1, "{fault:?}");
    };
    join_all(OUTAGES.map(outage)).await;
}

#[tokio::test]
async fn a_previous_version_that_hangs_leaves_time_to_store() {
    let (manager, lake) = manager(ONE, None).await;
    manager.rotate(TWO);
    manager.withhold_previous();
    assert_eq!(counts(&deliver_within(DEADLINE, &lake, TWO).await), [1, 0, 0]);
}

#[tokio::test]
async fn a_refetch_without_the_previous_version_does_not_forget_it() {
    let (manager, lake) = manager(TWO, Some(ONE)).await;
    assert_eq!(counts(&deliver(&lake, ONE).await), [1, 0, 0]);
    manager.withhold_previous();
    // The signature may be right for a previous version that is new, so the answer must not be 401.
    assert_unavailable(&deliver_within(DEADLINE, &lake, FORGED).await);
    let output = lake.function.settled_output().await;
    assert!(output.contains("cannot fetch the previous version of the secret"), "{output}");
    let last = output.lines().rfind(|line| line.contains("\"Outcome\"")).unwrap();
    assert!(last.contains("\"Outcome\":\"secret unavailable\""), "{last}");
    assert_eq!(counts(&deliver_within(DEADLINE, &lake, ONE).await), [0, 1, 0]);
    assert_eq!(counts(&deliver_within(DEADLINE, &lake, TWO).await), [0, 1, 0]);
}

#[tokio::test]
async fn a_refetch_in_an_outage_forgets_no_secret() {
    let outage = async |fault| {
        let (manager, lake) = manager(TWO, Some(ONE)).await;
        assert_eq!(deliver(&lake, ONE).await.status, 200);
        manager.fail_always(fault);
        assert_unavailable(&deliver_within(DEADLINE, &lake, FORGED).await);
        assert_eq!(deliver(&lake, ONE).await.status, 200, "{fault:?}");
        assert_eq!(deliver(&lake, TWO).await.status, 200, "{fault:?}");
    };
    join_all(OUTAGES.map(outage)).await;
}

/// The variable with the minutes that have passed since INIT, to the clock of [`function_whose_time_passes`].
const MINUTES: &str = "MINUTES";

#[tokio::test]
#[ignore = "it is a function that other tests start"]
async fn function_whose_time_passes() -> Result<(), Error> {
    fn clock() -> SystemTime {
        SystemTime::now() + Duration::from_mins(env::var(MINUTES).unwrap().parse().unwrap())
    }
    tracing::init_default_subscriber();
    serve_webhook(App::from_env().await?.with_clock(clock)).await
}

/// A lake whose function has fetched its secret this long ago.
async fn lake_after(minutes: u64, manager: &SecretsManager) -> TestLake {
    let (s3, minutes) = (start_s3().await, minutes.to_string());
    let (s3_endpoint, endpoint) = (s3.endpoint(), manager.endpoint());
    let env = [&lake_env(&s3_endpoint)[..], &secrets_manager_env(&endpoint), &[(MINUTES, &minutes)]].concat();
    let function = start_own_function("secrets::function_whose_time_passes", &env).await;
    TestLake { s3, function }
}

#[tokio::test]
async fn in_an_outage_a_known_secret_stays_good_for_a_day() {
    const STALE: &str = "the one that is known stays in use";
    for (minutes, is_fresh, is_good) in [(9, true, true), (20, false, true), (1439, false, true), (1441, false, false)]
    {
        let manager = SecretsManager::start().await;
        manager.set(ONE, None);
        let lake = lake_after(minutes, &manager).await;
        manager.fail_always(DENIED);
        let is_stale = u64::from(is_good && !is_fresh);
        // The second delivery comes within the minute in which the first one has tried to fetch the secret.
        for tries in [u64::from(!is_fresh), 0] {
            let (before, requests) = (lake.function.settled_output().await, manager.requests());
            let answer = deliver_within(DEADLINE, &lake, ONE).await;
            if is_good {
                assert_eq!(answer.status, 200, "{minutes} min");
            } else {
                assert_unavailable(&answer);
            }
            assert_eq!((manager.requests() - requests) as u64, tries, "{minutes} min");
            let output = output_since(&lake, &before).await;
            assert_eq!(output.matches(STALE).count() as u64, tries * is_stale, "{minutes} min: {output}");
            assert_eq!(values(&output, ["StaleSecrets"]), [is_stale], "{minutes} min: {output}");
        }
        assert_eq!(lake.keys().len(), usize::from(is_good), "{minutes} min");
    }
}

#[tokio::test]
async fn a_stale_secret_is_fetched_again() {
    let manager = SecretsManager::start().await;
    manager.set(ONE, None);
    let lake = lake_after(20, &manager).await;
    let at_start = manager.requests();
    assert_eq!(deliver(&lake, ONE).await.status, 200);
    assert_eq!(manager.requests() - at_start, 2, "both versions");
    assert_eq!(values(&lake.function.settled_output().await, ["StaleSecrets"]), [0]);
}

#[tokio::test]
async fn a_rotation_in_an_outage_takes_effect_after_it() {
    let (manager, lake) = manager(ONE, None).await;
    manager.rotate(TWO);
    manager.fail_always(DENIED);
    assert_unavailable(&deliver(&lake, TWO).await);
    manager.heal();
    assert_eq!(counts(&answer_after_the_pause(&lake, TWO).await), [1, 0, 0]);
}

#[tokio::test]
async fn an_instance_started_in_an_outage_serves_after_it() {
    let outage = async |fault| {
        let manager = SecretsManager::start().await;
        manager.set(ONE, None);
        manager.fail_always(fault);
        // INIT has 10 s, as in Lambda.
        let lake = TestLake::with_secrets_manager(&manager.endpoint()).await;
        let unavailable = deliver_within(DEADLINE, &lake, ONE).await;
        assert_unavailable(&unavailable);
        assert!(lake.s3.puts().is_empty(), "{fault:?}");
        manager.heal();
        // A sender that waits for `Retry-After` must be served. This one tries all the time until then.
        let retry_after = Duration::from_secs(unavailable.headers["retry-after"].parse().unwrap());
        let served = async {
            loop {
                let response = deliver(&lake, ONE).await;
                if response.status != 503 {
                    return response;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let response = timeout(retry_after, served).await.unwrap_or_else(|_| panic!("{fault:?}: still 503"));
        assert_eq!(counts(&response), [1, 0, 0], "{fault:?}");
    };
    join_all(OUTAGES.map(outage)).await;
}

#[tokio::test]
async fn in_an_outage_a_flood_causes_few_refetches() {
    let manager = SecretsManager::start().await;
    manager.set(ONE, None);
    manager.fail_always(DENIED);
    let lake = TestLake::with_secrets_manager(&manager.endpoint()).await;
    let (before, started) = (manager.requests(), Instant::now());
    for _ in 0..50 {
        assert_unavailable(&deliver(&lake, FORGED).await);
    }
    // One request after each pause of two seconds. INIT made the first one.
    let max = 1 + usize::try_from(started.elapsed().as_secs() / 2).unwrap();
    let requests = manager.requests() - before;
    assert!(requests <= max, "{requests} requests, {max} at most");
    sleep(Duration::from_secs(2)).await;
    let before = manager.requests();
    assert_unavailable(&deliver(&lake, FORGED).await);
    assert_eq!(manager.requests(), before + 1);
}

#[tokio::test]
async fn after_a_timeout_the_next_request_does_not_wait() {
    let manager = SecretsManager::start().await;
    manager.set(ONE, None);
    manager.fail_always(Fault::Hang);
    let lake = TestLake::with_secrets_manager(&manager.endpoint()).await;
    // The wait is longer than the pause, but the pause starts when the wait ends.
    assert_unavailable(&deliver_within(Duration::from_secs(6), &lake, FORGED).await);
    let before = manager.requests();
    assert_unavailable(&deliver_within(DEADLINE, &lake, FORGED).await);
    assert_eq!(manager.requests(), before);
}

#[tokio::test]
async fn a_transient_secrets_manager_error_is_retried() {
    for fault in [DOWN, THROTTLED, Fault::ResetInRequest, Fault::Reset, Fault::ResetInAnswer, Fault::LoseAnswer] {
        let (manager, lake) = manager(ONE, None).await;
        manager.rotate(TWO);
        manager.fail_next(2, fault);
        assert_eq!(counts(&deliver(&lake, TWO).await), [1, 0, 0], "{fault:?}");
        assert_eq!(manager.faults(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn an_outage_leaves_later_requests_all_their_attempts() {
    let manager = SecretsManager::start().await;
    manager.set(ONE, None);
    manager.fail_always(DOWN);
    let lake = TestLake::with_secrets_manager(&manager.endpoint()).await;
    // The SDK's own retry quota is 50.
    while manager.faults() < 80 {
        assert_unavailable(&deliver_within(DEADLINE, &lake, ONE).await);
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(2)).await;
    manager.heal();
    manager.fail_next(2, DOWN);
    assert_eq!(counts(&deliver(&lake, ONE).await), [1, 0, 0]);
}

#[tokio::test]
async fn one_trailing_newline_of_a_secret_is_ignored() {
    let (_manager, lake) = manager(&format!("{TWO}\n"), Some(&format!("{ONE}\n"))).await;
    assert_eq!(deliver(&lake, TWO).await.status, 200);
    assert_eq!(deliver(&lake, ONE).await.status, 200);

    // The same in the environment; a second newline is part of the secret.
    for (newlines, status) in [("\n", 200), ("\n\n", 401)] {
        let lake = TestLake::with_env(&[("TRACEBIT_SECRET", &format!("{SECRET}{newlines}"))]).await;
        assert_eq!(lake.deliver(alert().to_string()).await.status, status, "{newlines:?}");
    }
}

#[tokio::test]
async fn an_unusable_secret_fails_init_and_is_not_logged() {
    for short in ["tooshortaaaaaaa", "tooshortaaaaaaa\n", "tooshort", ""] {
        let manager = SecretsManager::start().await;
        manager.set(short, None);
        let output = init_failure(&manager).await;
        assert!(output.contains("TRACEBIT_SECRET_ARN") && output.contains("16 bytes"), "{output}");
        assert!(!output.contains("tooshort"), "{output}");
    }
    let manager = SecretsManager::start().await;
    manager.set_binary(b"a-binary-secret-that-is-long-enough");
    let output = init_failure(&manager).await;
    assert!(output.contains("TRACEBIT_SECRET_ARN") && output.contains("binary"), "{output}");
    assert!(!output.contains("a-binary-secret"), "{output}");
}

#[tokio::test]
async fn a_json_object_as_secret_fails_init_with_what_to_do() {
    let manager = SecretsManager::start().await;
    manager.set(r#"{"tracebit":"a-secret-in-the-key-value-editor"}"#, None);
    let output = init_failure(&manager).await;
    for part in ["TRACEBIT_SECRET_ARN", "it is a JSON object, as the console's key/value editor makes it", "plaintext"]
    {
        assert!(output.contains(part), "{part} in {output}");
    }
    assert!(!output.contains("a-secret-in"), "{output}");
}

#[tokio::test]
async fn an_unusable_current_version_does_not_shut_out_the_previous_one() {
    for unusable in ["tooshort", r#"{"tooshort":"a-secret-in-the-key-value-editor"}"#] {
        let (manager, lake) = manager(unusable, Some(ONE)).await;
        assert_eq!(counts(&deliver(&lake, ONE).await), [1, 0, 0]);
        let output = lake.function.settled_output().await;
        let reported = output.lines().filter(|line| line.contains("ERROR") && line.contains("the current version"));
        assert_eq!(reported.count(), 1, "{output}");
        assert!(!output.contains("tooshort") && !output.contains("a-secret-in"), "{output}");
        manager.set(TWO, Some(ONE));
        assert_eq!(counts(&deliver(&lake, TWO).await), [0, 1, 0], "after the correction");
    }
}

#[tokio::test]
async fn a_secret_without_a_value_fails_init_and_one_that_is_refused_is_named_in_the_log() {
    let output = init_failure(&SecretsManager::start().await).await;
    for part in ["TRACEBIT_SECRET_ARN", "GetSecretValue", "ResourceNotFoundException"] {
        assert!(output.contains(part), "{part} in {output}");
    }
    // As for a secret of another account that does not share it.
    let manager = SecretsManager::start().await;
    manager.fail_always(DENIED);
    let lake = TestLake::with_secrets_manager(&manager.endpoint()).await;
    assert_unavailable(&deliver(&lake, ONE).await);
    let output = lake.function.settled_output().await;
    for part in ["cannot fetch the shared secret at start-up", "cannot fetch the shared secret: "] {
        let named = |line: &str| line.contains(part) && line.contains("AccessDeniedException");
        assert!(output.lines().any(named), "{part} in {output}");
    }
}

/// The output of a function whose INIT fails.
async fn init_failure(manager: &SecretsManager) -> String {
    let s3 = start_s3().await;
    let function = start_function(&s3, &secrets_manager_env(&manager.endpoint())).await;
    let output = function.ready().await.unwrap_err();
    assert!(!function.exit_status().unwrap().success());
    output
}

#[tokio::test]
async fn an_unusable_previous_version_is_ignored() {
    let (_manager, lake) = manager(ONE, Some("tooshort")).await;
    assert_eq!(deliver(&lake, ONE).await.status, 200);
    assert_eq!(deliver(&lake, FORGED).await.status, 401);
    assert!(!lake.function.settled_output().await.contains("tooshort"));
}
