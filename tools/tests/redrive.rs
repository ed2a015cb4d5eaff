//! The redrive: classification failures that today's schemas know are stored after all.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of a test may panic, as the tests do")]

use std::{collections::BTreeSet, fmt::Write as _, fs, io::Write as _, path::Path, process::Output};

use data_encoding::BASE64;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tokio::process::Command;
use tracebit_lake::core::{
    lake::{Batch, Prefix, ReceiveContext, Source},
    payload::elements,
    schema::{Schemas, probe},
    time,
};
use tracebit_lake_harness::s3::{ACCESS_KEY, S3, SECRET_KEY};

const BUCKET: &str = "lake";
/// What the program says if it cannot store everything.
const LEFT: &str = "error: not everything fits a schema or is stored; the table says what is left\n";

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

/// Leaves a failure of the hour `hour`, as the function would have written it when its schemas knew less.
fn leave_failure(s3: &S3, hour: u32, payload: &[u8]) {
    let (payload, encoding) = match std::str::from_utf8(payload) {
        Ok(text) => (text.to_owned(), "utf-8"),
        Err(_) => (BASE64.encode(payload), "base64"),
    };
    let record = json!({
        "error": "an older schema did not know this",
        "payload": payload,
        "payload_encoding": encoding,
        "p_parse_time": format!("2026-11-22 {hour:02}:30:00.000"),
        "p_row_id": "0".repeat(32),
        "p_source_id": "src-1",
        "p_source_label": "decoys",
    });
    leave_object(s3, hour, &format!("{record}\n"));
}

/// Leaves an object among the failures of the hour.
fn leave_object(s3: &S3, hour: u32, body: &str) {
    let folder = s3.folder().join(BUCKET).join(format!("classification_failures/day=2026-11-22/hour={hour:02}"));
    fs::create_dir_all(&folder).unwrap();
    let n = fs::read_dir(&folder).unwrap().count();
    fs::write(folder.join(format!("20261122T{hour:02}0000Z-{n:032x}.json")), body).unwrap();
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

/// What a redrive prints that leaves something.
async fn incomplete_redrive(s3: &S3, arguments: &[&str]) -> (String, String) {
    let output = run(s3, BUCKET, arguments).await;
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
    (stdout, stderr)
}

/// The keys that a delivery of this payload would have had.
fn keys_of(payload: &str) -> BTreeSet<String> {
    let (schemas, source) = (Schemas::embedded().unwrap(), Source { id: None, label: "any".to_owned() });
    let context = ReceiveContext { received: time::parse("2026-11-22T09:30:00Z").unwrap(), source: &source };
    let batch = Batch::build(elements(payload.as_bytes(), probe), &schemas, context);
    batch.objects(&Prefix::default()).map(|object| object.key).collect()
}

/// The keys of the alerts in the lake.
fn alert_keys(s3: &S3) -> BTreeSet<String> {
    s3.objects(BUCKET).into_keys().filter(|key| key.starts_with("tracebit_alert/")).collect()
}

fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
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
    leave_failure(&s3, 9, alert("1").to_string().as_bytes());
    leave_failure(&s3, 10, br#"{"discriminator":{"type":"tracebit_alert_log"}}"#);

    let (dry_run, stderr) = incomplete_redrive(&s3, &["--dry-run"]).await;
    assert_eq!(row(&dry_run, "would be stored"), ["would be stored", "tracebit_alert", "1"]);
    assert_eq!(stderr, LEFT);
    assert!(alerts(&s3).is_empty(), "a dry run stores nothing");

    let (printed, stderr) = incomplete_redrive(&s3, &[]).await;
    assert_eq!(row(&printed, "stored"), ["stored", "tracebit_alert", "1"]);
    // Not the violation of the schema that was there then.
    assert_eq!(row(&printed, "still fails"), ["still fails", "id: required, but missing", "1"]);
    assert_eq!(stderr, LEFT);
    let (again, _) = incomplete_redrive(&s3, &[]).await;
    assert_eq!(row(&again, "stored before"), ["stored before", "tracebit_alert", "1"]);

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
        leave_failure(&s3, hour, alert(&hour.to_string()).to_string().as_bytes());
    }
    let span = ["--from", "2026-11-22T09:30:00Z", "--to", "2026-11-22T10:30:00Z"];
    assert_eq!(row(&redrive(&s3, &span).await, "stored"), ["stored", "tracebit_alert", "1"]);
    let [record] = alerts(&s3).try_into().unwrap();
    let record: Value = record;
    assert_eq!(record["id"], "9");

    // Plain dates, too.
    for span in [["--from", "2026-11-23", "--to", "2026-11-24"], ["--from", "2026-11-21", "--to", "2026-11-22"]] {
        assert_eq!(redrive(&s3, &span).await, "There is nothing to redrive.\n", "{span:?}");
    }
    let printed = redrive(&s3, &["--from", "2026-11-22", "--to", "2026-11-23"]).await;
    assert_eq!(row(&printed, "stored  "), ["stored", "tracebit_alert", "2"]);
    assert_eq!(row(&printed, "stored before"), ["stored before", "tracebit_alert", "1"]);
    let output = run(&s3, BUCKET, &["--from", "yesterday"]).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("2026-11-01"), "{output:?}");
}

#[tokio::test]
async fn an_empty_lake_has_nothing_to_redrive() {
    assert_eq!(redrive(&lake().await, &[]).await, "There is nothing to redrive.\n");
}

#[tokio::test]
async fn elements_of_a_batch_get_the_keys_that_they_would_have_had() {
    let logs: Vec<_> = (0..600).map(|n| alert(&n.to_string())).collect();
    for count in [3, 500, 600] {
        let s3 = lake().await;
        let payload = json!(logs[..count]).to_string();
        leave_failure(&s3, 9, payload.as_bytes());
        let printed = redrive(&s3, &[]).await;
        assert_eq!(row(&printed, "stored"), ["stored", "tracebit_alert", &count.to_string()]);
        assert_eq!(alert_keys(&s3), keys_of(&payload), "{count}");
    }
    // Alone, each has the same key.
    let s3 = lake().await;
    for log in &logs[..3] {
        leave_failure(&s3, 9, log.to_string().as_bytes());
    }
    redrive(&s3, &[]).await;
    assert_eq!(alert_keys(&s3), keys_of(&json!(logs[..3]).to_string()));
}

#[tokio::test]
async fn payloads_that_were_kept_compressed_are_redriven() {
    let s3 = lake().await;
    let payload = format!("{}\n{}\n", alert("1"), alert("2"));
    leave_failure(&s3, 9, &gzip(&payload));
    leave_failure(&s3, 10, &gzip(json!([alert("3")]).to_string()));
    let printed = redrive(&s3, &[]).await;
    assert_eq!(row(&printed, "stored"), ["stored", "tracebit_alert", "3"]);
    assert!(alert_keys(&s3).is_superset(&keys_of(&payload)));

    // One that is damaged is left, with what is wrong with it.
    let damaged = gzip(&payload);
    leave_failure(&s3, 11, &damaged[..damaged.len() - 4]);
    let (printed, _) = incomplete_redrive(&s3, &[]).await;
    assert!(row(&printed, "still fails")[1].contains("gzip"), "{printed}");
}

#[tokio::test]
async fn elements_beyond_the_ten_thousandth_are_redriven() {
    // The function keeps them as one record, a line each, or several lines each if they were printed so.
    let mut payloads = String::new();
    for n in 0..50 {
        writeln!(payloads, "{}", serde_json::to_string_pretty(&alert(&format!("pretty-{n}"))).unwrap()).unwrap();
        writeln!(payloads, "{}", alert(&format!("plain-{n}"))).unwrap();
        writeln!(payloads, "{{\"unknown\":{n}}}").unwrap();
    }
    let s3 = lake().await;
    leave_failure(&s3, 9, payloads.as_bytes());
    let (printed, _) = incomplete_redrive(&s3, &[]).await;
    assert_eq!(row(&printed, "stored"), ["stored", "tracebit_alert", "100"]);
    assert_eq!(row(&printed, "still fails"), ["still fails", "discriminator: required, but missing", "50"]);
    assert_eq!(alerts(&s3).len(), 100);
}

/// The same, from what the function itself writes of such a payload.
#[tokio::test]
async fn what_the_function_writes_of_a_flood_is_redriven() {
    let old = "tracebit_alert_log_of_old";
    let log = |n: usize| {
        let mut log = alert(&n.to_string());
        log["discriminator"]["type"] = json!(old);
        log
    };
    let logs: Vec<_> = (0..10_020).map(log).collect();
    let payload = serde_json::to_string_pretty(&logs).unwrap();
    let (schemas, source) = (Schemas::embedded().unwrap(), Source { id: None, label: "decoys".to_owned() });
    let context = ReceiveContext { received: time::parse("2026-11-22T09:30:00Z").unwrap(), source: &source };
    let batch = Batch::build(elements(payload.as_bytes(), probe), &schemas, context);
    let s3 = lake().await;
    for object in batch.objects(&Prefix::default()) {
        // Today's schemas know the discriminator.
        let body = String::from_utf8(object.body()).unwrap().replace(old, "tracebit_alert_log");
        leave_object(&s3, 9, &body);
    }
    let printed = redrive(&s3, &[]).await;
    assert_eq!(row(&printed, "stored"), ["stored", "tracebit_alert", "10020"]);
}

#[tokio::test]
async fn a_bad_object_does_not_end_the_run() {
    let s3 = lake().await;
    leave_object(&s3, 8, "{\"not\":\"a failure\"}\n");
    leave_object(&s3, 8, "rubbish\n");
    leave_failure(&s3, 9, alert("1").to_string().as_bytes());
    let mut wrong = json!({"payload": "!", "payload_encoding": "base64", "p_source_label": "x"});
    wrong["p_parse_time"] = json!("2026-11-22 10:30:00.000");
    leave_object(&s3, 10, &format!("{wrong}\n"));
    leave_failure(&s3, 11, alert("2").to_string().as_bytes());
    let (printed, stderr) = incomplete_redrive(&s3, &[]).await;
    assert_eq!(row(&printed, "stored"), ["stored", "tracebit_alert", "2"]);
    let unread = printed.lines().filter(|line| line.contains("not read") && line.contains("classification_failures/"));
    assert_eq!(unread.count(), 3, "{printed}");
    assert_eq!(stderr.matches("this is not a record of a classification failure").count(), 2, "{stderr}");
    assert_eq!(alerts(&s3).len(), 2);
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
