//! Payloads that a holder of the key made to exhaust the function: as large as possible, in the most expensive shapes.
//! The function must answer each of them, store it whole, and stay within the smallest memory size that Lambda offers.

use std::{fmt::Write as _, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE64;

use crate::support::{
    ALERTS, FAILURES, HEALTH_CHECKS, TestLake, ZSTD, alert, assert_queued, counts, lake_with_queue, signed_event, zstd,
};

/// The default of `MAX_PAYLOAD_BYTES`.
const LIMIT: usize = 16 * 1024 * 1024;
/// The smallest memory size of a function.
const MEMORY: usize = 128 * 1024 * 1024;

/// Unoptimised code beside other tests takes minutes.
const DEADLINE: Duration = Duration::from_mins(15);

/// Sends a compressed payload; returns the counts of logs, duplicates and failures.
async fn send(lake: &TestLake, payload: &str) -> [u64; 3] {
    counts(&lake.invoke_within(DEADLINE, &signed_event(&[ZSTD], &zstd(payload))).await)
}

/// A lake that has stored this payload; checks the numbers of logs and failures.
async fn store(name: &str, payload: &str, logs: u64, failures: u64) -> TestLake {
    assert!(payload.len() <= LIMIT && payload.len() > LIMIT - LIMIT / 8, "{name}: {} bytes", payload.len());
    let lake = TestLake::start().await;
    let idle = lake.peak_memory();
    assert_eq!(send(&lake, payload).await, [logs, 0, failures], "{name}");
    let peak = lake.peak_memory();
    println!("{name}: {} bytes of payload, peak memory {} MB, {} MB when idle", payload.len(), peak >> 20, idle >> 20);
    assert!(peak < MEMORY, "{name}: {peak} bytes");
    lake
}

/// An alert with this member before its own ones.
fn alert_and(member: &str) -> String {
    alert().to_string().replacen('{', &format!("{{{member},"), 1)
}

/// Joins `make(0)`, `make(1)`, …, as many as fit into the limit together with an alert around them.
fn fill(separator: &str, make: impl Fn(usize) -> String) -> (String, u64) {
    let mut text = String::new();
    for n in 0.. {
        let one = make(n);
        if text.len() + separator.len() + one.len() + 4096 > LIMIT {
            return (text, n as u64);
        }
        let separator = if n == 0 { "" } else { separator };
        write!(text, "{separator}{one}").unwrap();
    }
    unreachable!()
}

#[tokio::test]
async fn a_million_members_fit_in_memory() {
    // Unsorted, so that the canonical form has to sort them.
    let (members, _) = fill(",", |n| format!("\"{:x}\":0", n.wrapping_mul(0x9e37_79b9) & 0xffff_ffff));
    let lake = store("members at the top", &alert_and(&members), 1, 0).await;
    assert!(lake.lines(ALERTS)[0].contains(&members));
    let lake = store("members below", &alert_and(&format!("\"x\":{{{members}}}")), 1, 0).await;
    assert!(lake.lines(ALERTS)[0].contains(&members));
}

#[tokio::test]
async fn a_million_names_in_capitals_fit_in_memory() {
    // Names that may differ in case alone have to be compared without it.
    let name = |n: usize| n.wrapping_mul(0x9e37_79b9) & 0xffff_ffff;
    let (capitals, _) = fill(",", |n| format!("\"{:X}x\":0", name(n)));
    let lake = store("capitals", &alert_and(&format!("\"x\":{{{capitals}}}")), 1, 0).await;
    assert!(lake.lines(ALERTS)[0].contains(&capitals));
    let (umlauts, _) = fill(",", |n| format!("\"\u{c4}{:x}\":0", name(n)));
    let lake = store("umlauts", &alert_and(&format!("\"x\":{{{umlauts}}}")), 1, 0).await;
    assert!(lake.lines(ALERTS)[0].contains(&umlauts));
}

#[tokio::test]
async fn sixteen_megabytes_of_lone_surrogates_fit_in_memory() {
    let (string, _) = fill("", |_| "\\ud83d".repeat(1000));
    let lake = store("surrogates", &alert_and(&format!("\"x\":\"{string}\"")), 1, 0).await;
    assert!(lake.lines(ALERTS)[0].contains(&string.replace("\\ud83d", "\\ufffd")));
    let (logs, count) = fill("\n", |n| {
        format!(
            "{{\"discriminator\":{{\"type\":\"health_check\",\"subtype\":\"{n}\\ud83d\"}},\
             \"timestamp\":\"2026-11-22T09:00:00Z\",\"is_healthy\":true}}"
        )
    });
    let lake = store("small logs with surrogates", &logs, count, 0).await;
    assert_eq!(lake.lines(HEALTH_CHECKS).len() as u64, count);
}

#[tokio::test]
async fn small_logs_of_all_hours_fit_in_memory_and_end_in_the_queue() {
    // Every hour that queries see. Each log is an object of its own, so S3 does not take them all in time.
    let first: DateTime<Utc> = "2024-01-01T00:00:00Z".parse().unwrap();
    let hours = usize::try_from((Utc::now() - first).num_hours()).unwrap();
    let (logs, count) = fill("\n", |n| {
        let time = first + TimeDelta::hours(i64::try_from(n % hours).unwrap());
        let time = time + TimeDelta::seconds(i64::try_from(n / hours).unwrap());
        let time = time.format("%Y-%m-%dT%H:%M:%SZ");
        format!(
            "{{\"discriminator\":{{\"type\":\"health_check\",\"subtype\":\"s\"}},\
             \"timestamp\":\"{time}\",\"is_healthy\":true}}"
        )
    });
    assert!(count > 150_000, "{count} logs");
    let (sqs, lake) = lake_with_queue().await;
    let sent = zstd(&logs);
    let answer = lake.invoke_within(DEADLINE, &signed_event(&[ZSTD], &sent)).await;
    let peak = lake.peak_memory();
    println!(
        "{count} logs of all hours: {} bytes of payload, {} sent, {} objects in S3 before the queue, peak memory {} MB",
        logs.len(),
        sent.len(),
        lake.s3.puts().len(),
        peak >> 20
    );
    assert_queued(&answer);
    assert_eq!(sqs.messages().len(), 1);
    assert!(peak < MEMORY, "{peak} bytes");
}

#[tokio::test]
async fn a_flood_of_broken_elements_fits_in_memory() {
    for (name, broken) in [
        ("open strings", "{\""),
        ("strings cut by lines", "{\"\n,"),
        ("objects in objects", "{{\"x\":1},{,"),
        ("logs that do not end", "{\"discriminator\":{\"type\":1},\"x\":[,"),
    ] {
        let (text, _) = fill("", |_| broken.repeat(1000));
        let lake = TestLake::start().await;
        let [stored, duplicates, failures] = send(&lake, &format!("[{text},{}]", alert())).await;
        assert!(failures > 0, "{name}");
        assert_eq!((stored, duplicates), (1, 0), "the log after them, {name}");
        println!("{name}: {failures} failures, peak memory {} MB", lake.peak_memory() >> 20);
        assert!(lake.peak_memory() < MEMORY, "{name}: {} bytes", lake.peak_memory());
    }
}

#[tokio::test]
async fn a_million_labels_fit_in_memory() {
    let (labels, _) = fill(",", |n| format!("{{\"value\":\"{n}\",\"name\":\"n\"}}"));
    let log = alert().to_string().replacen(
        "\"canary_credential\":null",
        &format!("\"canary_credential\":{{\"labels\":[{labels}]}}"),
        1,
    );
    let lake = store("labels", &log, 1, 0).await;
    assert!(lake.lines(ALERTS)[0].contains(&labels));
}

#[tokio::test]
async fn a_string_of_sixteen_megabytes_fits_in_memory() {
    for (name, character) in [("letters", "x"), ("escapes", "\\u0000"), ("quotes", "\\\""), ("lines", "\\n")] {
        let (string, _) = fill("", |_| character.repeat(1000));
        let lake = store(name, &alert_and(&format!("\"x\":\"{string}\"")), 1, 0).await;
        assert!(lake.lines(ALERTS)[0].contains(&string), "{name}");
    }
}

#[tokio::test]
async fn white_space_of_sixteen_megabytes_fits_in_memory() {
    let (space, _) = fill("", |_| " \r\n\t".repeat(1000));
    let lake = store("white space", &alert_and(&format!("\"x\":{space}0")), 1, 0).await;
    assert_eq!(lake.lines(ALERTS).len(), 1);
}

#[tokio::test]
async fn small_logs_alone_fit_in_memory() {
    let (logs, count) = fill("\n", |n| {
        format!(
            "{{\"discriminator\":{{\"type\":\"health_check\",\"subtype\":\"{n}\"}},\
             \"timestamp\":\"2026-11-22T09:00:00Z\",\"is_healthy\":true}}"
        )
    });
    let lake = store("small logs", &logs, count, 0).await;
    assert_eq!(lake.lines(HEALTH_CHECKS).len() as u64, count);
}

#[tokio::test]
async fn small_failures_alone_fit_in_memory() {
    let (numbers, count) = fill(",", |_| "1".to_owned());
    // The first ten thousand are the same failure.
    let lake = store("numbers", &format!("[{numbers}]"), 0, count).await;
    assert_eq!(lake.lines(FAILURES).len(), 2);
    let stored: usize = lake.objects().values().map(Vec::len).sum();
    assert!(stored < 4 * LIMIT, "{stored} bytes");
    let (lines, count) = fill("\n", |n| format!("{{\"{n}\":0}}"));
    let lake = store("objects", &lines, 0, count).await;
    assert_eq!(lake.lines(FAILURES).len(), 10_001);
}

#[tokio::test]
async fn a_failure_that_grows_when_stored_fits_in_memory() {
    for (name, character) in
        [("quotes", "\""), ("backslashes", "\\"), ("letters", "x"), ("control characters", "\u{1}")]
    {
        let (text, _) = fill("", |_| character.repeat(1000));
        let lake = store(&format!("failure of {name}"), &text, 0, 1).await;
        let record = lake.record(FAILURES);
        let kept = record["payload"].as_str().unwrap();
        if record["payload_encoding"] == "base64" {
            assert!(kept == BASE64.encode(text.as_bytes()), "{name}");
        } else {
            assert!(kept == text, "{name}");
        }
    }
}

#[tokio::test]
async fn endless_brackets_fit_in_memory() {
    for (name, brackets) in
        [("opening", "["), ("pairs", "[]"), ("both kinds", "[{"), ("closing", "]"), ("crossed", "[}{]")]
    {
        let (text, _) = fill("", |_| brackets.repeat(1000));
        let lake = TestLake::start().await;
        let [stored, duplicates, failures] = send(&lake, &format!("[1,{text},2]")).await;
        assert!((stored, duplicates) == (0, 0) && failures > 0, "{name}");
        println!("{name}: peak memory {} MB", lake.peak_memory() >> 20);
        assert!(lake.peak_memory() < MEMORY, "{name}: {} bytes", lake.peak_memory());
    }
}
