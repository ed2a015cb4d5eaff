//! Payloads that the holder of the key made to hurt: as large as they may get, and of the shapes that cost most. Each is
//! answered, kept whole, and leaves the function below the smallest memory size that Lambda has.

use std::{fmt::Write as _, time::Duration};

use data_encoding::BASE64;

use crate::{
    lake::{Lake, counts, signed_event},
    payloads::{ZSTD, zstd},
    samples::{ALERTS, FAILURES, HEALTH_CHECKS, alert},
};

/// `MAX_PAYLOAD_BYTES`, unless the configuration says otherwise.
const LIMIT: usize = 16 * 1024 * 1024;
/// The smallest function, in bytes.
const MEMORY: usize = 128 * 1024 * 1024;

/// Without optimisation, and beside other tests, it takes a while.
const DEADLINE: Duration = Duration::from_mins(5);

/// Sends a payload compressed: logs stored, duplicates, failures.
async fn send(lake: &Lake, payload: &str) -> [u64; 3] {
    counts(&lake.invoke_by(DEADLINE, &signed_event(&[ZSTD], &zstd(payload))).await)
}

/// A lake that has filed this payload, which makes so many logs and failures.
async fn filed(name: &str, payload: &str, logs: u64, failures: u64) -> Lake {
    assert!(payload.len() <= LIMIT && payload.len() > LIMIT - LIMIT / 8, "{name}: {} bytes", payload.len());
    let lake = Lake::start().await;
    let idle = lake.peak_memory();
    assert_eq!(send(&lake, payload).await, [logs, 0, failures], "{name}");
    let peak = lake.peak_memory();
    println!(
        "{name}: {} bytes of payload, peak memory {} MB, {} MB of them before",
        payload.len(),
        peak >> 20,
        idle >> 20
    );
    assert!(peak < MEMORY, "{name}: {peak} bytes");
    lake
}

/// An alert with this member in front of its own.
fn alert_and(member: &str) -> String {
    alert().to_string().replacen('{', &format!("{{{member},"), 1)
}

/// `make(0)`, `make(1)`, … joined, as many as fit the limit with room for a log around them.
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
async fn one_log_of_a_million_members() {
    // In no order, so that the canonical form has to sort them.
    let (members, _) = fill(",", |n| format!("\"{:x}\":0", n.wrapping_mul(0x9e37_79b9) & 0xffff_ffff));
    let lake = filed("members at the top", &alert_and(&members), 1, 0).await;
    assert!(lake.lines(ALERTS)[0].contains(&members));
    let lake = filed("members below", &alert_and(&format!("\"x\":{{{members}}}")), 1, 0).await;
    assert!(lake.lines(ALERTS)[0].contains(&members));
}

#[tokio::test]
async fn one_log_of_a_million_labels() {
    let (labels, _) = fill(",", |n| format!("{{\"value\":\"{n}\",\"name\":\"n\"}}"));
    let log = alert().to_string().replacen(
        "\"canary_credential\":null",
        &format!("\"canary_credential\":{{\"labels\":[{labels}]}}"),
        1,
    );
    let lake = filed("labels", &log, 1, 0).await;
    assert!(lake.lines(ALERTS)[0].contains(&labels));
}

#[tokio::test]
async fn one_log_of_one_string() {
    for (name, character) in [("letters", "x"), ("escapes", "\\u0000"), ("quotes", "\\\""), ("lines", "\\n")] {
        let (string, _) = fill("", |_| character.repeat(1000));
        let lake = filed(name, &alert_and(&format!("\"x\":\"{string}\"")), 1, 0).await;
        assert!(lake.lines(ALERTS)[0].contains(&string), "{name}");
    }
}

#[tokio::test]
async fn one_log_of_white_space() {
    let (space, _) = fill("", |_| " \r\n\t".repeat(1000));
    let lake = filed("white space", &alert_and(&format!("\"x\":{space}0")), 1, 0).await;
    assert_eq!(lake.lines(ALERTS).len(), 1);
}

#[tokio::test]
async fn nothing_but_small_logs() {
    let (logs, count) = fill("\n", |n| {
        format!(
            "{{\"discriminator\":{{\"type\":\"health_check\",\"subtype\":\"{n}\"}},\
             \"timestamp\":\"2026-11-22T09:00:00Z\",\"is_healthy\":true}}"
        )
    });
    let lake = filed("small logs", &logs, count, 0).await;
    assert_eq!(lake.lines(HEALTH_CHECKS).len() as u64, count);
}

#[tokio::test]
async fn nothing_but_small_failures() {
    let (numbers, count) = fill(",", |_| "1".to_owned());
    let lake = filed("numbers", &format!("[{numbers}]"), 0, count).await;
    assert_eq!(lake.lines(FAILURES).len(), 10_001);
    let (lines, count) = fill("\n", |n| format!("{{\"{n}\":0}}"));
    let lake = filed("objects", &lines, 0, count).await;
    assert_eq!(lake.lines(FAILURES).len(), 10_001);
}

#[tokio::test]
async fn one_failure_of_whatever_grows_when_it_is_kept() {
    for (name, character) in
        [("quotes", "\""), ("backslashes", "\\"), ("letters", "x"), ("control characters", "\u{1}")]
    {
        let (text, _) = fill("", |_| character.repeat(1000));
        let lake = filed(&format!("failure of {name}"), &text, 0, 1).await;
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
async fn brackets_without_end() {
    for (name, brackets) in
        [("opening", "["), ("pairs", "[]"), ("both kinds", "[{"), ("closing", "]"), ("crossed", "[}{]")]
    {
        let (text, _) = fill("", |_| brackets.repeat(1000));
        let lake = Lake::start().await;
        let [stored, duplicates, failures] = send(&lake, &format!("[1,{text},2]")).await;
        assert!((stored, duplicates) == (0, 0) && failures > 0, "{name}");
        println!("{name}: peak memory {} MB", lake.peak_memory() >> 20);
        assert!(lake.peak_memory() < MEMORY, "{name}: {} bytes", lake.peak_memory());
    }
}
