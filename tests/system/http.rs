//! Requests and answers: the status and body of each kind of request.

use serde_json::json;
use tracebit_lake_harness::{Fault, function_url};

use crate::support::{
    ALERTS, BUCKET, GZIP, JSON, SIGNATURE, TestLake, alert, assert_is_json, counts, gzip, health_check, sign,
    signed_event,
};

#[tokio::test]
async fn a_signed_alert_is_stored_before_the_answer() {
    let lake = TestLake::start().await;
    let response = lake.deliver(alert().to_string()).await;
    assert_eq!(counts(&response), [1, 0, 0]);
    assert_is_json(&response);
    assert_eq!(lake.record(ALERTS)["id"], "log-1");
}

#[tokio::test]
async fn methods_other_than_post_get_405() {
    let lake = TestLake::start().await;
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
    let lake = TestLake::start().await;
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
async fn any_number_of_headers_is_served() {
    let lake = TestLake::start().await;
    let body = gzip(alert().to_string());
    for (many, expected) in [(40_000, [1, 0, 0]), (100_000, [0, 1, 0])] {
        let mut event = signed_event(&[GZIP], &body);
        for n in 0..many {
            event["headers"][format!("x-{n}")] = "x".into();
        }
        assert_eq!(counts(&lake.invoke(&event).await), expected, "{many} headers");
        event["headers"].as_object_mut().unwrap().retain(|name, _| name.starts_with("x-0"));
        assert_eq!(lake.invoke(&event).await.status, 401, "{many} headers");
    }
    println!("100000 headers: peak memory {} MB", lake.peak_memory() >> 20);
    assert!(lake.peak_memory() < 1 << 27, "{}", lake.peak_memory());
}

#[tokio::test]
async fn no_response_echoes_the_request() {
    const MARK: &str = "canary-in-the-request";
    let lake = TestLake::start().await;
    let mark = ("X-Mark", MARK);
    let body = json!({ MARK: MARK, "discriminator": {"type": MARK} }).to_string();
    let get = function_url::event("GET", &[JSON, mark], body.as_bytes());
    let mut responses = vec![
        lake.deliver_with(&[JSON, mark], &body).await,
        lake.deliver_with(&[JSON, ("Content-Encoding", MARK)], &body).await,
        lake.post(&[JSON, mark, (SIGNATURE, MARK)], &body).await,
        lake.invoke(&get).await,
    ];
    lake.s3.fail_always(Fault::Status { status: 403, code: "AccessDenied" });
    responses.push(lake.deliver_with(&[JSON, mark], &body).await);
    assert_eq!(responses.iter().map(|response| response.status).collect::<Vec<_>>(), [200, 200, 401, 405, 503]);
    for response in responses {
        let shown = format!("{response:?}");
        // The response must not reveal internals either.
        for secret in [MARK, BUCKET, "AccessDenied", "S3"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

#[tokio::test]
async fn other_events_get_an_error_that_names_the_expected_one() {
    let lake = TestLake::start().await;
    for event in [
        // The default test event of the AWS console.
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
        let error = lake.invocation_error(&event).await;
        assert!(error.contains("events/") && error.contains("function URL"), "{event}: {error}");
        assert!(error.contains("UnexpectedEvent"), "{event}: {error}");
        assert!(!error.contains("value1"), "{event}: {error}");
    }
    let output = lake.function.settled_output().await;
    assert!(!output.contains("value1") && output.contains("this event is not a request"), "{output}");
    // The runtime's own error names Rust types, and a log level that is compiled out.
    assert!(!output.contains("TRACE") && !output.contains("LambdaEvent"), "{output}");
    assert!(lake.s3.puts().is_empty());

    // The function still serves requests.
    assert_eq!(counts(&lake.deliver(alert().to_string()).await), [1, 0, 0]);
}
