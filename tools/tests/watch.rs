//! The import of history, and a round of the watcher by hand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of a test may panic, as the tests do")]

use std::{
    fs::File,
    time::{Duration, SystemTime},
};

use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::process::Command;
use tracebit_lake_harness::{
    Fault,
    s3::{ACCESS_KEY, S3, SECRET_KEY},
    sns::{ALARM_TOPIC_ARN, Sns, TOPIC_ARN},
    sqs::Sqs,
    tracebit_api::{TOKEN, TracebitApi},
};

const BUCKET: &str = "lake";

struct World {
    s3: S3,
    sns: Sns,
    sqs: Sqs,
    api: TracebitApi,
}

impl World {
    async fn start() -> Self {
        let (s3, sns) = (S3::start().await, Sns::start().await);
        s3.create_bucket(BUCKET);
        sns.set_subscribers(1);
        Self { s3, sns, sqs: Sqs::start().await, api: TracebitApi::start().await }
    }

    /// The exit code, and what the command prints.
    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_tracebit-lake-tools"))
            .args(arguments)
            .env("LAKE_BUCKET", BUCKET)
            .env("ALERT_TOPIC_ARN", TOPIC_ARN)
            .env("ALARM_TOPIC_ARN", ALARM_TOPIC_ARN)
            .env("NOTIFY_QUEUE_URL", self.sqs.queue_url())
            .env("TRACEBIT_API_URL", self.api.endpoint())
            .env("TRACEBIT_API_TOKEN", TOKEN)
            .env("AWS_ENDPOINT_URL_S3", self.s3.endpoint())
            .env("AWS_ENDPOINT_URL_SNS", self.sns.endpoint())
            .env("AWS_ENDPOINT_URL_SQS", self.sqs.endpoint())
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .await
            .unwrap();
        let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(!stdout.contains(TOKEN) && !stderr.contains(TOKEN), "{stdout}{stderr}");
        (output.status.code().unwrap(), stdout + &stderr)
    }

    /// Adds an alert that began so long ago, with so many logs.
    fn add(&self, id: &str, age: TimeDelta, logs: usize) {
        let time = (Utc::now() - age).to_rfc3339_opts(SecondsFormat::Secs, true);
        let alert = json!({
            "id": id, "start_time": time, "severity": "High", "provider": "aws", "title": "A canary was touched",
            "tracebit_portal_url": format!("https://acme.tracebit.com/alerts/{id}"),
        });
        let log = |n| json!({"id": format!("{id}-{n}"), "alert_id": id, "timestamp": time, "severity": "High"});
        self.api.add(alert, (0..logs).map(log).collect());
    }

    fn records(&self) -> Vec<Value> {
        let objects = self.s3.objects(BUCKET).into_iter().filter(|(key, _)| key.starts_with("tracebit_alert/"));
        objects.map(|(_, body)| serde_json::from_slice(&body).unwrap()).collect()
    }

    /// Makes all objects twenty minutes old.
    fn age(&self) {
        for key in self.s3.keys(BUCKET) {
            let file = File::options().write(true).open(self.s3.folder().join(BUCKET).join(key)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_mins(20)).unwrap();
        }
    }
}

/// Whether the table has a row with these cells.
fn has_row(table: &str, cells: &[&str]) -> bool {
    table.lines().any(|line| line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).eq(cells.iter().copied()))
}

#[tokio::test]
async fn history_is_stored_once_and_notifies_nobody() {
    let world = World::start().await;
    world.add("old", TimeDelta::days(400), 3);
    world.add("recent", TimeDelta::hours(3), 2);
    world.add("young", TimeDelta::minutes(50), 1);
    world.add("too-old", TimeDelta::days(900), 1);
    let since = (Utc::now() - TimeDelta::days(500)).format("%Y-%m-%d").to_string();

    let (code, out) = world.run(&["import", "--since", &since, "--dry-run"]).await;
    assert_eq!(code, 0, "{out}");
    assert!(has_row(&out, &["would be stored", "2", "0"]), "{out}");
    assert!(world.s3.objects(BUCKET).is_empty());

    let (code, out) = world.run(&["import", "--since", &since]).await;
    assert_eq!(code, 0, "{out}");
    assert!(has_row(&out, &["stored", "2", "5"]), "{out}");
    let young = "left to the webhook and the watcher, because it is younger than an hour";
    assert!(has_row(&out, &[young, "1", "0"]), "{out}");
    let records = world.records();
    assert_eq!(records.len(), 5);
    assert!(records.iter().all(|record| record["p_source_label"] == "tracebit-api"));
    assert!(records.iter().all(|record| record["message"] == "A canary was touched"));

    let (code, out) = world.run(&["import", "--since", &since]).await;
    assert_eq!((code, world.records().len()), (0, 5), "{out}");
    assert!(has_row(&out, &["stored before", "2", "5"]), "{out}");

    // High alerts without a marker, and yet nobody is to be notified of them.
    world.age();
    let (code, out) = world.run(&["watch"]).await;
    assert_eq!(code, 0, "{out}");
    assert!(has_row(&out, &["published", "records of which nobody was notified", "0"]), "{out}");
    assert!(world.sqs.messages().is_empty());
}

#[tokio::test]
async fn an_import_goes_on_where_it_was_stopped() {
    let world = World::start().await;
    for n in 0..3 {
        world.add(&format!("alert-{n}"), TimeDelta::days(2), 2);
    }
    world.s3.fail_next(3, Fault::Status { status: 403, code: "AccessDenied" });
    let (code, out) = world.run(&["import", "--since", "2024-01-01"]).await;
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("403 AccessDenied") && out.contains("not every alert is stored"), "{out}");
    assert_eq!(world.records().len(), 3);
    let (code, out) = world.run(&["import", "--since", "2024-01-01"]).await;
    assert_eq!((code, world.records().len()), (0, 6), "{out}");
}

#[tokio::test]
async fn an_import_says_what_it_lacks() {
    let world = World::start().await;
    world.api.answer_next(401, &[], "");
    let (code, out) = world.run(&["import", "--since", "2024-01-01"]).await;
    assert_eq!(code, 1);
    assert!(out.contains("error: Tracebit's list of alerts failed: 401 Unauthorized: the token is refused"), "{out}");
    let (code, out) = world.run(&["import", "--since", "2024-01-01", "--api-url", "http://acme.example"]).await;
    assert_eq!(code, 1);
    assert!(out.contains("error: --api-url: expected the address of Tracebit's API"), "{out}");
    let (code, out) = world.run(&["import", "--since", "2024-01-01", "--api-url", ""]).await;
    assert_eq!(code, 1);
    assert!(out.contains("Tracebit's API needs --api-url and a token"), "{out}");
}

#[tokio::test]
async fn a_round_by_hand_shows_what_is_missing_and_says_so_by_its_exit_code() {
    let world = World::start().await;
    world.add("alert-1", TimeDelta::hours(3), 2);
    let (code, out) = world.run(&["watch"]).await;
    assert_eq!(code, 1, "{out}");
    for cells in [
        ["listed", "alerts of the last days that Tracebit lists", "1"],
        ["stored", "of these, missing in the lake", "1"],
        ["stored", "logs that this round fetched and stored", "2"],
        ["heard", "confirmed subscriptions for alerts", "1"],
    ] {
        assert!(has_row(&out, &cells), "{cells:?} in {out}");
    }
    let link = "https://acme.tracebit.com/alerts/alert-1";
    assert!(out.contains("missing: alert \"alert-1\"") && out.contains(link), "{out}");
    let (code, out) = world.run(&["watch"]).await;
    assert_eq!(code, 0, "{out}");

    world.age();
    let (code, out) = world.run(&["watch"]).await;
    assert_eq!((code, world.sqs.messages().len()), (1, 2), "{out}");
    assert!(out.contains("unpublished: \"tracebit_alert/day="), "{out}");
}

#[tokio::test]
async fn a_round_by_hand_without_an_api_looks_at_the_rest() {
    let world = World::start().await;
    world.sns.set_subscribers(0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracebit-lake-tools"));
    command.args(["watch", "--bucket", BUCKET, "--alert-topic", TOPIC_ARN, "--queue", &world.sqs.queue_url()]);
    command.env("AWS_ENDPOINT_URL_S3", world.s3.endpoint()).env("AWS_ENDPOINT_URL_SNS", world.sns.endpoint());
    command
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("AWS_REGION", "us-east-1");
    let output = command.output().await.unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "nobody listens: {out}");
    assert!(
        has_row(&out, &["listed", "alerts of the last days that Tracebit lists", "not asked: no --api-url"]),
        "{out}"
    );
    assert!(has_row(&out, &["heard", "confirmed subscriptions for alerts", "0"]), "{out}");
}
