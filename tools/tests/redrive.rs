//! The redrive: classification failures that today's schemas know are stored after all.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of a test may panic, as the tests do")]

use std::{fs, path::Path, process::Output};

use serde_json::{Value, json};
use tokio::process::Command;
use tracebit_lake_harness::s3::{ACCESS_KEY, S3, SECRET_KEY};

const BUCKET: &str = "lake";

/// An alert that the schemas know.
fn alert(id: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events/logs/alert-aws.json");
    let mut alert: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    alert["id"] = json!(id);
    alert
}

async fn lake() -> S3 {
    let s3 = S3::start().await;
    s3.create_bucket(BUCKET);
    s3
}

/// A failure of the hour `hour`, as the function would have written it when its schemas knew less.
fn leave_failure(s3: &S3, hour: u32, payload: &str) {
    let record = json!({
        "error": "an older schema did not know this",
        "payload": payload,
        "payload_encoding": "utf-8",
        "p_parse_time": format!("2026-11-22 {hour:02}:30:00.000"),
        "p_row_id": "0".repeat(32),
        "p_source_id": "src-1",
        "p_source_label": "decoys",
    });
    let folder = format!("classification_failures/year=2026/month=11/day=22/hour={hour:02}");
    let folder = s3.folder().join(BUCKET).join(folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("20261122T{hour:02}3000Z-{}.json", "0".repeat(32))), format!("{record}\n")).unwrap();
}

/// The records of the table `tracebit_alert`.
fn alerts(s3: &S3) -> Vec<Value> {
    let objects = s3.objects(BUCKET);
    let alerts = objects.into_iter().filter(|(key, _)| key.starts_with("tracebit_alert/"));
    alerts.map(|(_, body)| serde_json::from_slice(&body).unwrap()).collect()
}

async fn run(s3: &S3, bucket: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tracebit-lake-tools"))
        .args(["redrive", "--bucket", bucket])
        .args(arguments)
        .env("AWS_ENDPOINT_URL_S3", s3.endpoint())
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .await
        .unwrap()
}

/// What a redrive prints.
async fn redrive(s3: &S3, arguments: &[&str]) -> String {
    let output = run(s3, BUCKET, arguments).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The words of the row that begins with `outcome`.
fn row<'a>(printed: &'a str, outcome: &str) -> Vec<&'a str> {
    let row = printed.lines().find(|line| line.trim_start_matches(['|', ' ']).starts_with(outcome));
    row.unwrap_or_else(|| panic!("no {outcome} in {printed}"))
        .split('|')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect()
}

#[tokio::test]
async fn a_failure_that_now_classifies_is_stored_as_it_would_have_been() {
    let s3 = lake().await;
    leave_failure(&s3, 9, &alert("1").to_string());
    leave_failure(&s3, 10, "still not a log");

    let dry_run = redrive(&s3, &["--dry-run"]).await;
    assert_eq!(row(&dry_run, "would be stored"), ["would be stored", "Tracebit.Alert", "1"]);
    assert!(alerts(&s3).is_empty(), "a dry run stores nothing");

    let printed = redrive(&s3, &[]).await;
    assert_eq!(row(&printed, "stored"), ["stored", "Tracebit.Alert", "1"]);
    assert_eq!(row(&printed, "still fails"), ["still fails", "an older schema did not know this", "1"]);
    assert_eq!(row(&redrive(&s3, &[]).await, "stored before"), ["stored before", "Tracebit.Alert", "1"]);

    let [record] = alerts(&s3).try_into().unwrap();
    let record: Value = record;
    assert_eq!(record["p_parse_time"], "2026-11-22 09:30:00.000");
    assert_eq!((&record["p_source_id"], &record["p_source_label"]), (&json!("src-1"), &json!("decoys")));
    let key = s3.objects(BUCKET).into_keys().find(|key| key.starts_with("tracebit_alert/")).unwrap();
    let id = record["p_row_id"].as_str().unwrap();
    assert!(key.ends_with(&format!("-{id}.json")), "the key is the one that the delivery would have had: {key}");
    assert_eq!(s3.objects(BUCKET).len(), 3, "nothing is deleted");
}

#[tokio::test]
async fn only_failures_of_the_given_times_are_read() {
    let s3 = lake().await;
    for hour in [8, 9, 10] {
        leave_failure(&s3, hour, &alert(&hour.to_string()).to_string());
    }
    let span = ["--from", "2026-11-22T09:30:00Z", "--to", "2026-11-22T10:30:00Z"];
    assert_eq!(row(&redrive(&s3, &span).await, "stored"), ["stored", "Tracebit.Alert", "1"]);
    let [record] = alerts(&s3).try_into().unwrap();
    let record: Value = record;
    assert_eq!(record["id"], "9");
}

#[tokio::test]
async fn an_error_is_one_line_with_its_causes_and_what_to_do() {
    let output = run(&lake().await, "another", &[]).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let expected =
        "error: cannot list s3://another/classification_failures/; check --bucket, the region and the credentials: ";
    assert!(stderr.starts_with(expected) && stderr.contains("NoSuchBucket"), "{stderr}");
    assert!(!stderr.contains('{'), "a Debug of the error: {stderr}");
}
