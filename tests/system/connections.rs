//! Connections: idle ones that died without a word, and TLS without root certificates.

use std::{fs, time::Duration};

use tokio::time::sleep;
use tracebit_lake_harness::{runtime_api::Function, sns::TOPIC_ARN, sqs::Sqs};

use crate::support::{
    ALERTS, BINARY, BUCKET, DRAIN, NOTIFY, SECRET, TestLake, WATCH, alert_with_id, counts, lake_with_queue,
};

/// The connections that a batch of as many logs opens, at most.
const CONCURRENCY: usize = 16;

/// Longer than a connection may be idle.
const IDLE: Duration = Duration::from_secs(11);

async fn deliver(lake: &TestLake, first: usize, logs: usize) {
    let batch: Vec<_> = (first..first + logs).map(|n| alert_with_id(&format!("log-{n}")).to_string()).collect();
    assert_eq!(counts(&lake.deliver(batch.join("\n")).await), [logs as u64, 0, 0], "{first}");
}

/// A lake whose function has stored a batch, which left idle connections.
async fn with_idle_connections() -> (Sqs, TestLake) {
    let (sqs, lake) = lake_with_queue().await;
    deliver(&lake, 0, CONCURRENCY).await;
    assert!(lake.s3.connections() >= CONCURRENCY / 2, "{}", lake.s3.connections());
    (sqs, lake)
}

#[tokio::test]
async fn the_first_dead_connection_takes_those_of_its_age_with_it() {
    let (sqs, lake) = with_idle_connections().await;
    lake.s3.silence_connections();
    for n in 1000..=1000 + CONCURRENCY {
        deliver(&lake, n, 1).await;
    }
    assert_eq!(lake.s3.unheard_connections(), 1, "one attempt finds out, and all others are on new connections");
    assert_eq!((lake.records(ALERTS).len(), sqs.messages().len()), (2 * CONCURRENCY + 1, 0));
}

#[tokio::test]
async fn a_batch_on_dead_connections_is_stored_at_the_second_attempt() {
    let (sqs, lake) = with_idle_connections().await;
    lake.s3.silence_connections();
    deliver(&lake, 1000, CONCURRENCY).await;
    assert_eq!((lake.records(ALERTS).len(), sqs.messages().len()), (2 * CONCURRENCY, 0));
}

#[tokio::test]
async fn a_connection_that_was_idle_for_long_is_not_used_again() {
    let (sqs, lake) = with_idle_connections().await;
    lake.s3.silence_connections();
    sleep(IDLE).await;
    deliver(&lake, 1000, 1).await;
    assert_eq!((lake.s3.unheard_connections(), sqs.messages().len()), (0, 0));
}

/// What each function needs to start, but for an endpoint.
const FUNCTIONS: [(&str, &[(&str, &str)]); 4] = [
    (BINARY, &[("TRACEBIT_SECRET", SECRET)]),
    (DRAIN, &[("TRACEBIT_SECRET", SECRET)]),
    (NOTIFY, &[("ALERT_TOPIC_ARN", TOPIC_ARN)]),
    (WATCH, &[("ALERT_TOPIC_ARN", TOPIC_ARN), ("NOTIFY_QUEUE_URL", "https://sqs.invalid/1/notify")]),
];

#[tokio::test]
async fn without_root_certificates_no_function_starts_and_the_line_says_what_to_do() {
    const BROKEN: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/broken.pem");
    fs::write(BROKEN, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    for (binary, env) in FUNCTIONS {
        for (name, value) in [
            ("SSL_CERT_FILE", ""),
            ("SSL_CERT_FILE", "/dev/null"),
            ("SSL_CERT_FILE", "/nowhere/roots.pem"),
            ("SSL_CERT_FILE", BROKEN),
            ("SSL_CERT_DIR", "/nowhere"),
        ] {
            let env = [env, &[("LAKE_BUCKET", BUCKET), (name, value)]].concat();
            let function = Function::start(binary, &env).await;
            let Err(output) = function.ready().await else { panic!("{binary} started with {env:?}") };
            let says = format!("no root certificate is where {name} points; correct it, or remove it");
            assert!(output.contains(&says), "{binary}: {output}");
            assert!(!output.contains("panicked"), "{binary}: {output}");
        }
    }
}

#[tokio::test]
async fn an_endpoint_without_tls_needs_no_root_certificates() {
    let lake = TestLake::with_env(&[("SSL_CERT_FILE", "/dev/null")]).await;
    deliver(&lake, 0, 1).await;
}
