//! Logs: the line of each invocation, and what the output must never hold.

use futures_util::future::join_all;
use serde_json::json;
use tracebit_lake_harness::{
    Fault, function_url,
    s3::{ACCESS_KEY, SECRET_KEY},
    secrets_manager::SecretsManager,
};

use crate::support::{
    GZIP, JSON, SECRET, SIGNATURE, TestLake, alert, altered_alert, gzip, health_check, invocation_line, output_since,
    secrets_manager_env, sign, sign_with,
};

const DENIED: Fault = Fault::Status { status: 403, code: "AccessDenied" };

#[tokio::test]
async fn a_start_logs_nothing() {
    let lake = TestLake::start().await;
    assert_eq!(lake.function.settled_output().await, "");
}

#[tokio::test]
async fn an_unauthorized_request_logs_one_short_line() {
    let lake = TestLake::start().await;
    let body = alert().to_string();
    let forged = sign("another body");
    let huge = "f".repeat(10_000);
    let mut before = String::new();
    for (headers, reason) in [
        (&[JSON][..], "missing"),
        (&[JSON, (SIGNATURE, "rubbish")], "malformed"),
        (&[JSON, (SIGNATURE, &forged)], "mismatch"),
        (&[(SIGNATURE, &huge)], "malformed"),
    ] {
        assert_eq!(lake.post(headers, &body).await.status, 401);
        let output = output_since(&lake, &before).await;
        assert_eq!(output.lines().count(), 1, "{output}");
        assert!(output.len() < 350, "{output}");
        let line = invocation_line(&output);
        assert_eq!((&line["Outcome"], &line["Reason"]), (&json!("unauthorized"), &json!(reason)));
        before += &output;
    }
    // AWS joins headers of one name in any case, but an event can be made by hand.
    let mut twice = function_url::event("POST", &[JSON, (SIGNATURE, &forged)], body.as_bytes());
    twice["headers"]["X-TRACEBIT-SIGNATURE-256"] = json!(forged);
    assert_eq!(lake.invoke(&twice).await.status, 401);
    assert_eq!(invocation_line(&output_since(&lake, &before).await)["Reason"], "repeated");
}

/// A gzip body that was decoded as text, or decompressed, on its way has the signature of other bytes.
#[tokio::test]
async fn a_body_that_was_changed_on_its_way_is_distinguished_from_another_secret() {
    let lake = TestLake::start().await;
    let sent = gzip(alert().to_string());
    let signature = sign(&sent);
    let as_text = String::from_utf8_lossy(&sent).into_owned();
    let mut before = String::new();
    for (headers, received, why) in [
        (&[JSON, (SIGNATURE, &signature)][..], as_text, "U+FFFD"),
        (&[GZIP, (SIGNATURE, &signature)], alert().to_string(), "says that the body is compressed, and it is not"),
    ] {
        assert_eq!(lake.post(headers, &received).await.status, 401);
        let output = output_since(&lake, &before).await;
        let reason = invocation_line(&output)["Reason"].as_str().unwrap().to_owned();
        assert!(reason.starts_with("mismatch: ") && reason.contains(why), "{reason}");
        before += &output;
    }
}

#[tokio::test]
async fn an_invocation_logs_outcome_counts_keys_and_durations() {
    let lake = TestLake::start().await;
    let body = format!("{}\n{}\nbad\n", alert(), health_check("2026-11-22T09:00:00Z"));
    lake.deliver(&body).await;
    let output = output_since(&lake, "").await;
    let line = invocation_line(&output);
    assert_eq!(line["Outcome"], "stored");
    assert_eq!(
        (&line["Stored"], &line["Duplicates"], &line["ClassificationFailures"]),
        (&json!(2), &json!(0), &json!(1))
    );
    assert_eq!(line["Keys"], json!(lake.keys()));
    let [whole, store] = ["Duration", "StoreLatency"].map(|name| line[name].as_f64().unwrap());
    assert!(0.0 < store && store <= whole && whole < 30_000.0, "{line}");

    lake.deliver(&body).await;
    let again = invocation_line(&output_since(&lake, &output).await);
    assert_eq!((&again["Stored"], &again["Duplicates"]), (&json!(0), &json!(2)));
    let ids = [&line, &again].map(|line| line["RequestId"].as_str().unwrap());
    assert!(ids[0].len() == 36 && ids[0] != ids[1], "expected the request ids of Lambda: {ids:?}");
}

#[tokio::test]
async fn every_outcome_has_its_line() {
    let lake = TestLake::start().await;
    let get = function_url::event("GET", &[], b"");
    assert_eq!(lake.invoke(&get).await.status, 405);
    let first = output_since(&lake, "").await;
    assert_eq!(invocation_line(&first)["Outcome"], "method not allowed");

    lake.s3.fail_always(DENIED);
    assert_eq!(lake.deliver(alert().to_string()).await.status, 503);
    let second = output_since(&lake, &first).await;
    let line = invocation_line(&second);
    assert_eq!((&line["Outcome"], &line["Stored"]), (&json!("store unavailable"), &json!(0)));
    assert!(second.contains("AccessDenied"), "the output must give the cause: {second}");
}

#[tokio::test]
async fn a_payload_of_many_keys_logs_a_short_line() {
    let lake = TestLake::start().await;
    let logs: Vec<_> = (0..300)
        .map(|n| health_check(&format!("2026-01-{:02}T{:02}:00:00Z", n / 24 + 1, n % 24)).to_string())
        .collect();
    lake.deliver(logs.join("\n")).await;
    let output = output_since(&lake, "").await;
    assert!(output.len() < 10_000, "{} bytes", output.len());
    assert_eq!(invocation_line(&output)["Stored"], 300);
}

/// The environment that makes the function log as much as possible.
const VERBOSE: [(&str, &str); 3] =
    [("AWS_LAMBDA_LOG_LEVEL", "TRACE"), ("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")];

#[tokio::test]
async fn the_output_never_holds_request_data_or_secrets() {
    const MARK: &str = "canary-in-the-request";
    let every_path = async |format| {
        let env = [&VERBOSE[..], &[("AWS_LAMBDA_LOG_FORMAT", format)]].concat();
        let lake = TestLake::with_env(&env).await;
        let mark = ("X-Mark", MARK);
        let user_agent = ("User-Agent", MARK);
        let mut log = alert();
        log["message"] = MARK.into();
        log[MARK] = MARK.into();
        let mut bad = log.clone();
        bad["severity"] = json!([MARK]);
        let mut private = vec![MARK.to_owned(), SECRET.to_owned(), SECRET_KEY.to_owned()];
        let bodies = [log.to_string(), bad.to_string(), MARK.to_owned(), format!("[{log},{MARK}")];
        for body in &bodies {
            let headers = [JSON, mark, user_agent];
            assert_eq!(lake.deliver_with(&headers, body).await.status, 200);
            lake.deliver_with(&[mark, ("Content-Encoding", MARK)], body).await;
            lake.deliver_with(&[mark, ("Content-Encoding", "gzip")], body).await;
            lake.post(&headers, body).await;
            lake.post(&[mark, (SIGNATURE, MARK)], body).await;
            let forged = sign_with("another-secret-than-tracebits", body);
            lake.post(&[mark, (SIGNATURE, &forged)], body).await;
            lake.invoke(&function_url::event("GET", &headers, body.as_bytes())).await;
            private.extend([sign(body), forged]);
        }
        lake.invocation_error(&json!({ "key1": MARK, MARK: 1 })).await;
        lake.invocation_error(&json!(MARK)).await;
        for fault in [DENIED, Fault::Status { status: 503, code: "SlowDown" }, Fault::Reset] {
            lake.s3.fail_next(1, fault);
            lake.deliver_with(&[JSON, mark], altered_alert("/message", Some(json!(MARK))).to_string()).await;
        }
        lake.s3.stop().await;
        lake.deliver_with(&[JSON, mark], bodies[0].as_bytes()).await;

        let output = lake.function.settled_output().await;
        assert!(!output.is_empty());
        // The output must not hold the SDK's signatures either.
        private.extend(["AWS4-HMAC-SHA256", "Credential=", ACCESS_KEY].map(str::to_owned));
        for text in private {
            assert!(!output.contains(&text), "{text} in {output}");
        }
    };
    join_all(["JSON", "Text"].map(every_path)).await;
}

#[tokio::test]
async fn the_output_never_holds_secrets_manager_secrets() {
    let secrets = ["the-first-of-the-secrets", "the-second-of-the-secrets"];
    let manager = SecretsManager::start().await;
    manager.set(secrets[0], Some(secrets[1]));
    let endpoint = manager.endpoint();
    let lake = TestLake::with_env(&[&VERBOSE[..], &secrets_manager_env(&endpoint)].concat()).await;
    let body = alert().to_string();
    for secret in [secrets[0], secrets[1], "another-secret-than-tracebits"] {
        lake.post(&[JSON, (SIGNATURE, &sign_with(secret, &body))], &body).await;
    }
    manager.fail_always(Fault::Status { status: 400, code: "AccessDeniedException" });
    lake.post(&[JSON, (SIGNATURE, &sign_with("another-secret-than-tracebits", &body))], &body).await;
    let output = lake.function.settled_output().await;
    for secret in secrets {
        assert!(!output.contains(secret), "{output}");
        assert!(!output.contains(&sign_with(secret, &body)), "{output}");
    }
}
