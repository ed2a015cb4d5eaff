//! §3: requests and answers.

use serde_json::json;
use tracebit_lake_harness::{function_url, runtime_api::Response};

use crate::{
    lake::{BUCKET, JSON, Lake, SIGNATURE, counts, sign, signed_event},
    samples::{ALERTS, FAILURES, alert, health_check},
};

fn assert_is_json(response: &Response) {
    assert_eq!(response.headers["content-type"], "application/json", "{response:?}");
    assert!(response.json().is_object(), "{response:?}");
}

#[tokio::test]
async fn a_signed_alert_is_stored_before_the_answer() {
    let lake = Lake::start().await;
    let response = lake.deliver(alert().to_string()).await;
    assert_eq!(counts(&response), [1, 0, 0]);
    assert_is_json(&response);
    assert_eq!(lake.record(ALERTS)["id"], "log-1");
}

#[tokio::test]
async fn what_is_signed_is_kept_even_if_nobody_can_read_it() {
    let lake = Lake::start().await;
    for (sent, body) in [&b"hello"[..], b"{}", b"null", b"\xff\x00", b"{\"a\":"].into_iter().enumerate() {
        let response = lake.deliver(body).await;
        assert_eq!(counts(&response), [0, 0, 1], "{body:?}");
        assert_is_json(&response);
        assert_eq!(lake.records(FAILURES).len(), sent + 1, "{body:?}");
    }
}

#[tokio::test]
async fn a_payload_of_brackets_and_commas_is_kept() {
    let lake = Lake::start().await;
    for body in ["[", "[,", "[,]"] {
        assert_eq!(counts(&lake.deliver(body).await), [0, 0, 1], "{body}");
    }
}

#[tokio::test]
async fn a_signed_payload_with_nothing_in_it_stores_nothing() {
    let lake = Lake::start().await;
    for body in ["", "\n", " \r\n\r\n\t\n", "[]", " [ \n ] \n"] {
        assert_eq!(counts(&lake.deliver(body).await), [0, 0, 0], "{body:?}");
    }
    assert!(lake.s3.puts().is_empty());
}

#[tokio::test]
async fn a_request_without_a_good_signature_gets_401_and_stores_nothing() {
    let lake = Lake::start().await;
    let body = alert().to_string();
    let signature = sign("another body");
    for headers in [&[JSON][..], &[JSON, (SIGNATURE, "rubbish")], &[JSON, (SIGNATURE, signature.as_str())]] {
        let response = lake.post(headers, &body).await;
        assert_eq!(response.status, 401, "{headers:?}");
        assert_is_json(&response);
    }
    assert!(lake.s3.puts().is_empty());
}

#[tokio::test]
async fn methods_other_than_post_get_405_however_they_are_signed() {
    let lake = Lake::start().await;
    let body = alert().to_string();
    let signature = sign(&body);
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        for headers in [&[JSON][..], &[JSON, (SIGNATURE, signature.as_str())]] {
            let response = lake.invoke(&function_url::event(method, headers, body.as_bytes())).await;
            assert_eq!((response.status, response.headers["allow"].as_str()), (405, "POST"), "{method}");
            assert_is_json(&response);
        }
    }
    assert!(lake.s3.puts().is_empty());
}

#[tokio::test]
async fn any_path_is_served() {
    let lake = Lake::start().await;
    for (hour, path) in ["/", "/tracebit", "/a/b/../c%20d"].into_iter().enumerate() {
        let body = health_check(&format!("2026-11-22T{hour:02}:00:00Z")).to_string();
        let mut event = signed_event(&[JSON], body.as_bytes());
        event["rawPath"] = path.into();
        event["rawQueryString"] = "a=b".into();
        event["requestContext"]["http"]["path"] = path.into();
        assert_eq!(counts(&lake.invoke(&event).await), [1, 0, 0], "{path}");
    }
}

#[tokio::test]
async fn no_answer_echoes_what_was_sent() {
    const MARK: &str = "canary-in-the-request";
    let lake = Lake::start().await;
    let mark = ("X-Mark", MARK);
    let body = json!({ MARK: MARK, "discriminator": {"type": MARK} }).to_string();
    let get = function_url::event("GET", &[JSON, mark], body.as_bytes());
    let mut responses = vec![
        lake.deliver_with(&[JSON, mark], &body).await,
        lake.deliver_with(&[JSON, ("Content-Encoding", MARK)], &body).await,
        lake.post(&[JSON, mark, (SIGNATURE, MARK)], &body).await,
        lake.invoke(&get).await,
    ];
    lake.s3.fail_always(tracebit_lake_harness::Fault::Status { status: 403, code: "AccessDenied" });
    responses.push(lake.deliver_with(&[JSON, mark], &body).await);
    assert_eq!(responses.iter().map(|response| response.status).collect::<Vec<_>>(), [200, 200, 401, 405, 503]);
    for response in responses {
        let shown = format!("{response:?}");
        // Nor does an answer say more of the inside than the caller needs.
        for secret in [MARK, BUCKET, "AccessDenied", "S3"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

#[tokio::test]
async fn an_event_that_is_no_request_is_told_what_was_expected() {
    let lake = Lake::start().await;
    for event in [
        // The AWS console's default test event.
        json!({"key1": "value1", "key2": "value2", "key3": "value3"}),
        json!({"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": "value1"}}}]}),
        // An API Gateway event of payload format 1.0.
        json!({"httpMethod": "POST", "path": "/", "headers": {"a": "value1"}, "body": "value1", "requestContext": {}}),
        json!({"version": "2.0", "requestContext": {"http": {"method": "POST"}}, "body": "value1!", "isBase64Encoded": true}),
        json!({}),
        json!([]),
        json!("value1"),
        json!(null),
    ] {
        let error = lake.error_of(&event).await;
        assert!(error.contains("events/") && error.contains("function URL"), "{event}: {error}");
        assert!(!error.contains("value1"), "{event}: {error}");
    }
    assert!(!lake.function.settled_output().await.contains("value1"));
    assert!(lake.s3.puts().is_empty());

    // And the function goes on.
    assert_eq!(counts(&lake.deliver(alert().to_string()).await), [1, 0, 0]);
}
