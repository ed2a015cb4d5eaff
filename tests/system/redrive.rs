//! The redrive: it stores classification failures that fit today's schemas as logs.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use tokio::process::Command;
use tracebit_lake_harness::s3::{ACCESS_KEY, SECRET_KEY};

use crate::support::{ALERTS, BUCKET, FAILURES, TestLake, alert, alert_with_id, counts};

/// Writes a failure of this hour, as a function with older schemas would have written it.
fn leave_failure(lake: &TestLake, hour: u32, payload: &str) {
    let record = json!({
        "error": "an older schema did not know this",
        "payload": payload,
        "payload_encoding": "utf-8",
        "p_parse_time": format!("2026-11-22 {hour:02}:30:00.000"),
        "p_row_id": "0".repeat(32),
        "p_source_id": "src-1",
        "p_source_label": "decoys",
    });
    let folder = format!("{FAILURES}/year=2026/month=11/day=22/hour={hour:02}");
    let folder = lake.s3.folder().join(BUCKET).join(folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("20261122T{hour:02}3000Z-{}.json", "0".repeat(32))), format!("{record}\n")).unwrap();
}

/// The example's binary, which `cargo test` builds too.
fn binary() -> PathBuf {
    let deps = env::current_exe().unwrap().parent().map(Path::to_owned).unwrap();
    let binary = deps.parent().unwrap().join("examples").join(format!("redrive{}", env::consts::EXE_SUFFIX));
    assert!(binary.exists(), "build it with `cargo build --examples`: {}", binary.display());
    binary
}

/// The output of a redrive.
async fn redrive(lake: &TestLake, arguments: &[&str]) -> String {
    let output = Command::new(binary())
        .args(["--bucket", BUCKET])
        .args(arguments)
        .env("AWS_ENDPOINT_URL_S3", lake.s3.endpoint())
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The cells of the row that begins with `outcome`.
fn row<'a>(printed: &'a str, outcome: &str) -> Vec<&'a str> {
    let row = printed.lines().find(|line| line.trim_start_matches(['|', ' ']).starts_with(outcome));
    row.unwrap_or_else(|| panic!("no row {outcome} in {printed}"))
        .split('|')
        .map(str::trim)
        .filter(|w| !w.is_empty())
        .collect()
}

#[tokio::test]
async fn a_failure_that_now_classifies_is_stored_as_a_log() {
    let lake = TestLake::start().await;
    leave_failure(&lake, 9, &alert().to_string());
    leave_failure(&lake, 10, "still not a log");

    assert_eq!(row(&redrive(&lake, &["--dry-run"]).await, "would be filed"), ["would be filed", "Tracebit.Alert", "1"]);
    assert!(lake.records(ALERTS).is_empty(), "a dry run stores nothing");

    let printed = redrive(&lake, &[]).await;
    assert_eq!(row(&printed, "filed"), ["filed", "Tracebit.Alert", "1"]);
    assert_eq!(row(&printed, "still fails"), ["still fails", "an older schema did not know this", "1"]);
    assert_eq!(row(&redrive(&lake, &[]).await, "filed before"), ["filed before", "Tracebit.Alert", "1"]);

    let record = lake.record(ALERTS);
    assert_eq!(record["p_parse_time"], "2026-11-22 09:30:00.000");
    assert_eq!((&record["p_source_id"], &record["p_source_label"]), (&json!("src-1"), &json!("decoys")));
    assert_eq!(
        counts(&lake.deliver(alert().to_string()).await),
        [0, 1, 0],
        "the key must be the one of a direct delivery"
    );
    assert_eq!(lake.records(FAILURES).len(), 2, "nothing may be deleted");
}

#[tokio::test]
async fn only_failures_in_the_requested_span_are_redriven() {
    let lake = TestLake::start().await;
    for hour in [8, 9, 10] {
        leave_failure(&lake, hour, &alert_with_id(&hour.to_string()).to_string());
    }
    let span = ["--from", "2026-11-22T09:30:00Z", "--to", "2026-11-22T10:30:00Z"];
    assert_eq!(row(&redrive(&lake, &span).await, "filed"), ["filed", "Tracebit.Alert", "1"]);
    assert_eq!(lake.record(ALERTS)["id"], "9");
}
