//! The server, tested through the AWS SDK.

use std::time::{Duration, Instant};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::ProvideErrorMetadata,
};

use super::*;
use crate::Fault;

const KEY: &str = "v1/type=canary/a b.json";

fn client(s3: &S3, secret: &str) -> Client {
    let timeout = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(500));
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new(ACCESS_KEY, secret, None, None, "test"))
        .endpoint_url(s3.endpoint())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new("us-east-1"))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeout.build());
    Client::from_conf(config.build())
}

/// The status and error code of a `PutObject`: (200, "") means success, (0, "") no response.
async fn put(client: &Client, bucket: &str, body: &'static [u8]) -> (u16, String) {
    let request = client.put_object().bucket(bucket).key(KEY);
    let request = request.if_none_match("*").content_type("application/json");
    match request.body(body.to_vec().into()).send().await {
        Ok(_) => (200, String::new()),
        Err(error) => {
            (error.raw_response().map_or(0, |r| r.status().as_u16()), error.code().unwrap_or_default().to_owned())
        }
    }
}

async fn bucket() -> (S3, Client) {
    let s3 = S3::start().await;
    s3.create_bucket("lake");
    let client = client(&s3, SECRET_KEY);
    (s3, client)
}

fn answer(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn the_first_put_of_a_key_wins() {
    let (s3, client) = bucket().await;
    let (one, two) = tokio::join!(put(&client, "lake", b"1"), put(&client, "lake", b"1"));
    let mut both = [one, two];
    both.sort();
    assert_eq!(both, [answer(200, ""), answer(412, "PreconditionFailed")]);
    assert_eq!(put(&client, "lake", b"2").await, answer(412, "PreconditionFailed"));

    assert_eq!(s3.objects("lake"), BTreeMap::from([(KEY.to_owned(), b"1".to_vec())]));
    assert_eq!(s3.content_type("lake", KEY).as_deref(), Some("application/json"));
    assert_eq!(s3.puts().len(), 3);
    assert_eq!(s3.puts()[2].status, 412);
    assert_eq!(s3.puts()[2].key, KEY);
    assert_eq!(s3.puts()[2].headers["if-none-match"], "*");
    assert_eq!((s3.requests(), s3.requests_of("GET")), (3, 0));
}

#[tokio::test]
async fn buckets_and_signatures_are_checked() {
    let (s3, good) = bucket().await;
    assert_eq!(put(&good, "none", b"1").await, answer(404, "NoSuchBucket"));
    let forged = client(&s3, "wrong");
    assert_eq!(put(&forged, "lake", b"1").await, answer(403, "SignatureDoesNotMatch"));
    assert!(s3.objects("lake").is_empty());
}

#[tokio::test]
async fn faults_come_in_order_and_heal() {
    let (s3, client) = bucket().await;
    let slow_down = Fault::Status { status: 503, code: "SlowDown" };
    s3.fail_next(1, slow_down);
    s3.fail_next(1, Fault::Reset);
    s3.fail_next(1, Fault::Hang);
    assert_eq!(put(&client, "lake", b"1").await, answer(503, "SlowDown"));
    assert_eq!(put(&client, "lake", b"1").await, answer(0, ""));
    assert_eq!(put(&client, "lake", b"1").await, answer(0, ""));
    assert!(s3.objects("lake").is_empty());

    s3.fail_always(Fault::LoseAnswer);
    assert_eq!(put(&client, "lake", b"1").await, answer(0, ""));
    assert_eq!(s3.objects("lake").len(), 1);

    s3.heal();
    s3.fail_next(1, Fault::SlowAnswer(Duration::from_millis(100)));
    let start = Instant::now();
    assert_eq!(put(&client, "lake", b"1").await, answer(412, "PreconditionFailed"));
    assert!(start.elapsed() >= Duration::from_millis(100));
    let statuses: Vec<u16> = s3.puts().iter().map(|put| put.status).collect();
    assert_eq!(statuses, [503, 0, 0, 0, 412]);
}

#[tokio::test]
async fn an_outage_ends_on_the_same_port() {
    let (s3, client) = bucket().await;
    s3.stop().await;
    assert_eq!(put(&client, "lake", b"1").await, answer(0, ""));
    s3.resume();
    assert_eq!(put(&client, "lake", b"1").await, answer(200, ""));
    assert_eq!(s3.objects("lake").len(), 1);
}
