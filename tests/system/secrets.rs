//! §2 and §4: the secret in Secrets Manager, and its rotation.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use tracebit_lake_harness::{Fault, runtime_api::Response, secrets_manager::SecretsManager};

use crate::{
    lake::{JSON, Lake, SIGNATURE, assert_try_again, bucket, counts, function, secrets_manager_env, sign_under},
    samples::{ALERTS, alert, alert_with},
};

const ONE: &str = "the-first-of-the-secrets";
const TWO: &str = "the-second-of-the-secrets";
const THREE: &str = "the-third-of-the-secrets";
const FORGED: &str = "a-secret-of-somebody-else";

/// Secrets Manager is down in one way or the other.
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

/// Long enough to try again, with the answer's share to spare on a busy machine.
const DEADLINE: Duration = Duration::from_secs(3);

const DOWN: Fault = Fault::Status { status: 500, code: "InternalServiceError" };
const THROTTLED: Fault = Fault::Status { status: 400, code: "ThrottlingException" };
const DENIED: Fault = Fault::Status { status: 400, code: "AccessDeniedException" };

async fn manager(current: &str, previous: Option<&str>) -> (SecretsManager, Lake) {
    let manager = SecretsManager::start().await;
    manager.set(current, previous);
    let lake = Lake::with_secrets_manager(&manager.endpoint()).await;
    (manager, lake)
}

/// Delivers an alert, signed under `secret`.
async fn deliver(lake: &Lake, secret: &str) -> Response {
    deliver_by(Duration::from_secs(30), lake, secret).await
}

async fn deliver_by(deadline: Duration, lake: &Lake, secret: &str) -> Response {
    let body = alert().to_string();
    let signature = sign_under(secret, &body);
    lake.post_by(deadline, &[JSON, (SIGNATURE, &signature)], &body).await
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
async fn a_rotation_works_at_once() {
    let (manager, lake) = manager(ONE, None).await;
    assert_eq!(deliver(&lake, ONE).await.status, 200);
    manager.rotate(TWO);
    assert_eq!(deliver(&lake, TWO).await.status, 200, "Tracebit has the new secret already");
    assert_eq!(deliver(&lake, ONE).await.status, 200, "Tracebit has the old secret still");
    assert_eq!(lake.records(ALERTS).len(), 1);
}

#[tokio::test]
async fn after_two_rotations_the_oldest_secret_does_not_verify() {
    let (manager, lake) = manager(ONE, None).await;
    manager.rotate(TWO);
    manager.rotate(THREE);
    assert_eq!(deliver(&lake, THREE).await.status, 200);
    assert_eq!(deliver(&lake, TWO).await.status, 200);
    assert_eq!(deliver(&lake, ONE).await.status, 401);
}

#[tokio::test]
async fn good_deliveries_cost_no_look_at_secrets_manager() {
    let (manager, lake) = manager(ONE, Some(TWO)).await;
    let at_start = manager.requests();
    assert_eq!(at_start, 2, "one for each version, at INIT");
    for secret in [ONE, TWO, ONE, TWO] {
        assert_eq!(deliver(&lake, secret).await.status, 200);
    }
    assert_eq!(manager.requests(), at_start);
}

#[tokio::test]
async fn a_flood_of_forgeries_costs_one_refetch() {
    let (manager, lake) = manager(ONE, Some(TWO)).await;
    let at_start = manager.requests();
    for n in 0..50 {
        let body = alert_with(&format!("log-{n}")).to_string();
        let signature = sign_under(FORGED, &body);
        assert_eq!(lake.post(&[JSON, (SIGNATURE, &signature)], &body).await.status, 401);
    }
    assert_eq!(manager.requests(), at_start + 2, "one for each version");
    assert_eq!(deliver(&lake, ONE).await.status, 200, "good deliveries go on");
    assert_eq!(manager.requests(), at_start + 2);
}

#[tokio::test]
async fn while_secrets_manager_is_down_cached_secrets_serve_and_others_are_asked_to_come_back() {
    let outage = async |fault| {
        let (manager, lake) = manager(ONE, None).await;
        manager.rotate(TWO);
        manager.fail(Some(fault));
        assert_eq!(deliver(&lake, ONE).await.status, 200, "{fault:?}");
        // It may be the new secret: nobody can say that the signature is wrong.
        for _ in 0..2 {
            assert_try_again(&deliver_by(DEADLINE, &lake, TWO).await);
        }
        assert_eq!(lake.records(ALERTS).len(), 1, "{fault:?}");
    };
    join_all(OUTAGES.map(outage)).await;
}

#[tokio::test]
async fn waiting_for_the_previous_version_in_vain_leaves_time_to_store_what_the_current_one_verifies() {
    let (manager, lake) = manager(ONE, None).await;
    manager.rotate(TWO);
    manager.withhold_previous();
    assert_eq!(counts(&deliver_by(DEADLINE, &lake, TWO).await), [1, 0, 0]);
    // Nobody can say that this one is wrong.
    assert_try_again(&deliver_by(DEADLINE, &lake, FORGED).await);
}

#[tokio::test]
async fn an_instance_that_starts_while_secrets_manager_is_down_serves_after_it() {
    let outage = async |fault| {
        let manager = SecretsManager::start().await;
        manager.set(ONE, None);
        manager.fail(Some(fault));
        // The harness gives INIT the 10 s that Lambda gives it.
        let lake = Lake::with_secrets_manager(&manager.endpoint()).await;
        let refusal = deliver_by(DEADLINE, &lake, ONE).await;
        assert_try_again(&refusal);
        assert!(lake.s3.puts().is_empty(), "{fault:?}");
        manager.fail(None);
        // A sender that comes back when it was asked to is served; here it asks from now on until it is.
        let asked_back = Duration::from_secs(refusal.headers["retry-after"].parse().unwrap());
        let served = async {
            loop {
                let response = deliver(&lake, ONE).await;
                if response.status != 503 {
                    return response;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let response = timeout(asked_back, served).await.unwrap_or_else(|_| panic!("{fault:?}: still refused"));
        assert_eq!(counts(&response), [1, 0, 0], "{fault:?}");
    };
    join_all(OUTAGES.map(outage)).await;
}

#[tokio::test]
async fn while_secrets_manager_is_down_a_flood_of_requests_does_not_reach_it() {
    let manager = SecretsManager::start().await;
    manager.set(ONE, None);
    manager.fail(Some(DENIED));
    let lake = Lake::with_secrets_manager(&manager.endpoint()).await;
    let (before, started) = (manager.requests(), Instant::now());
    for _ in 0..50 {
        assert_try_again(&deliver(&lake, FORGED).await);
    }
    // Once, and again after each pause of two seconds.
    let most = 1 + usize::try_from(started.elapsed().as_secs() / 2).unwrap();
    let requests = manager.requests() - before;
    assert!((1..=most).contains(&requests), "{requests} requests, {most} at the most");
}

#[tokio::test]
async fn a_request_that_waited_in_vain_for_secrets_manager_spares_the_next_ones_the_wait() {
    let manager = SecretsManager::start().await;
    manager.set(ONE, None);
    manager.fail(Some(Fault::Hang));
    let lake = Lake::with_secrets_manager(&manager.endpoint()).await;
    // Longer than the pause that begins with its end.
    assert_try_again(&deliver_by(Duration::from_secs(6), &lake, FORGED).await);
    let before = manager.requests();
    assert_try_again(&deliver_by(DEADLINE, &lake, FORGED).await);
    assert_eq!(manager.requests(), before);
}

#[tokio::test]
async fn what_secrets_manager_asks_to_try_again_is_tried_again() {
    for fault in [DOWN, THROTTLED, Fault::ResetInRequest, Fault::Reset, Fault::ResetInAnswer, Fault::LoseAnswer] {
        let (manager, lake) = manager(ONE, None).await;
        manager.rotate(TWO);
        manager.fail_next(2, fault);
        assert_eq!(counts(&deliver(&lake, TWO).await), [1, 0, 0], "{fault:?}");
        assert_eq!(manager.faults(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn an_outage_of_secrets_manager_costs_the_requests_after_it_no_attempt() {
    let manager = SecretsManager::start().await;
    manager.set(ONE, None);
    manager.fail(Some(DOWN));
    let lake = Lake::with_secrets_manager(&manager.endpoint()).await;
    // The SDK's own quota is 50.
    while manager.faults() < 80 {
        assert_try_again(&deliver_by(DEADLINE, &lake, ONE).await);
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(2)).await;
    manager.fail(None);
    manager.fail_next(2, DOWN);
    assert_eq!(counts(&deliver(&lake, ONE).await), [1, 0, 0]);
}

#[tokio::test]
async fn one_trailing_newline_of_the_secret_does_not_count() {
    let (_manager, lake) = manager(&format!("{TWO}\n"), Some(&format!("{ONE}\n"))).await;
    assert_eq!(deliver(&lake, TWO).await.status, 200);
    assert_eq!(deliver(&lake, ONE).await.status, 200);
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_refused_at_init_and_not_shown() {
    for short in ["tooshortaaaaaaa", "tooshortaaaaaaa\n", "tooshort", ""] {
        let manager = SecretsManager::start().await;
        manager.set(short, None);
        let output = refused(&manager).await;
        assert!(output.contains("TRACEBIT_SECRET_ARN") && output.contains("16 bytes"), "{output}");
        assert!(!output.contains("tooshort"), "{output}");
    }
    let manager = SecretsManager::start().await;
    manager.set_binary(b"a-binary-secret-that-is-long-enough");
    let output = refused(&manager).await;
    assert!(output.contains("TRACEBIT_SECRET_ARN") && output.contains("binary"), "{output}");
    assert!(!output.contains("a-binary-secret"), "{output}");
}

/// What the function says when it refuses to start.
async fn refused(manager: &SecretsManager) -> String {
    let s3 = bucket().await;
    let function = function(&s3, &secrets_manager_env(&manager.endpoint())).await;
    let output = function.ready().await.unwrap_err();
    assert!(!function.exit_status().unwrap().success());
    output
}

#[tokio::test]
async fn a_previous_version_that_cannot_be_used_does_no_harm() {
    let (_manager, lake) = manager(ONE, Some("tooshort")).await;
    assert_eq!(deliver(&lake, ONE).await.status, 200);
    assert_eq!(deliver(&lake, FORGED).await.status, 401);
    assert!(!lake.function.settled_output().await.contains("tooshort"));
}
