//! §5: compression, limits and stream types.

use std::io::Write as _;

use data_encoding::BASE64;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::{
    lake::{JSON, Lake, counts},
    samples::{ALERTS, FAILURES, HEALTH_CHECKS, alert, alert_with, health_check},
};

pub(crate) const GZIP: (&str, &str) = ("Content-Encoding", "gzip");
pub(crate) const ZSTD: (&str, &str) = ("Content-Encoding", "zstd");

pub(crate) fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    zstd::encode_all(bytes.as_ref(), 3).unwrap()
}

/// A body that inflates to `bytes` spaces: one gzip member or zstd frame over and over, which is quick to make.
pub(crate) fn bomb(compress: fn(Vec<u8>) -> Vec<u8>, bytes: usize) -> Vec<u8> {
    const MEMBER: usize = 1 << 22;
    compress(vec![b' '; MEMBER]).repeat(bytes / MEMBER)
}

/// Checks that `body` became one classification failure, kept byte for byte, whose error tells `problem`.
async fn assert_kept_as_it_came(headers: &[(&str, &str)], body: &[u8], problem: &str) {
    assert_kept_by(&Lake::start().await, headers, body, problem).await;
}

async fn assert_kept_by(lake: &Lake, headers: &[(&str, &str)], body: &[u8], problem: &str) {
    assert_eq!(counts(&lake.deliver_with(headers, body).await), [0, 0, 1], "{headers:?}");
    let record = lake.record(FAILURES);
    let error = record["error"].as_str().unwrap();
    assert!(error.contains(problem), "{headers:?}: {error}");
    assert!(record.get("log_type").is_none());
    let payload = record["payload"].as_str().unwrap();
    if let Ok(text) = std::str::from_utf8(body) {
        assert_eq!((record["payload_encoding"].as_str(), payload), (Some("utf-8"), text));
    } else {
        assert_eq!(record["payload_encoding"], "base64");
        assert!(payload == BASE64.encode(body), "{headers:?}: not the bytes as they came");
    }
}

#[tokio::test]
async fn gzip_and_zstd_are_told_by_header_and_by_content() {
    let body = alert().to_string();
    let lake = Lake::start().await;
    let mut stored = 0;
    for (compressed, name) in [(gzip(&body), "gzip"), (zstd(&body), "zstd")] {
        for headers in [
            &[("Content-Encoding", name)][..],
            &[("content-encoding", &*name.to_uppercase())],
            &[JSON, ("Content-Encoding", name)],
            // The same found by their first bytes.
            &[],
            &[JSON],
            &[("Content-Type", "application/octet-stream")],
        ] {
            let answer = counts(&lake.deliver_with(headers, &compressed).await);
            assert_eq!(answer, if stored == 0 { [1, 0, 0] } else { [0, 1, 0] }, "{name} {headers:?}");
            stored += 1;
        }
    }
    assert_eq!(lake.record(ALERTS)["message"], alert()["message"]);
}

#[tokio::test]
async fn a_compressed_batch_is_read_to_its_end() {
    let [first, second] = ["log-1", "log-2"].map(|id| format!("{}\n", alert_with(id)));
    // Several gzip members or zstd frames are one stream (RFC 1952, RFC 8878).
    for body in [
        gzip(format!("{first}{second}")),
        [gzip(&first), gzip(&second)].concat(),
        [zstd(&first), zstd(&second)].concat(),
    ] {
        let lake = Lake::start().await;
        assert_eq!(counts(&lake.deliver(&body).await), [2, 0, 0]);
    }
}

#[tokio::test]
async fn a_compressed_payload_with_nothing_in_it_is_empty() {
    let lake = Lake::start().await;
    for nothing in ["", "\n\n", "[]"] {
        assert_eq!(counts(&lake.deliver_with(&[GZIP], gzip(nothing)).await), [0, 0, 0], "{nothing:?}");
        assert_eq!(counts(&lake.deliver_with(&[ZSTD], zstd(nothing)).await), [0, 0, 0], "{nothing:?}");
    }
    assert!(lake.s3.puts().is_empty());
}

#[tokio::test]
async fn what_does_not_decompress_is_one_failure_with_the_bytes_as_they_came() {
    let batch = format!("{}\n{}\n", alert_with("log-1"), alert_with("log-2"));
    let [whole_gzip, whole_zstd] = [gzip(&batch), zstd(&batch)];
    let mut damaged = whole_gzip.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    let mut wrong_sum = whole_gzip.clone();
    let sum = wrong_sum.len() - 8;
    wrong_sum[sum] ^= 1;
    for (headers, body, problem) in [
        (&[GZIP][..], &whole_gzip[..whole_gzip.len() - 3], "gzip"),
        (&[], &whole_gzip[..whole_gzip.len() / 2], "gzip"),
        (&[ZSTD], &whole_zstd[..whole_zstd.len() - 3], "zstd"),
        (&[], &whole_zstd[..whole_zstd.len() / 2], "zstd"),
        (&[GZIP], &damaged, "gzip"),
        (&[GZIP], &wrong_sum, "gzip"),
        (&[GZIP], &[&whole_gzip[..], b"rubbish"].concat(), "gzip"),
        // The header says one thing, the bytes another.
        (&[JSON, GZIP], batch.as_bytes(), "gzip"),
        (&[ZSTD], &whole_gzip, "zstd"),
        (&[GZIP], &whole_zstd, "gzip"),
    ] {
        assert_kept_as_it_came(headers, body, problem).await;
    }
}

#[tokio::test]
async fn an_unknown_encoding_is_one_failure_with_the_bytes_as_they_came() {
    let body = alert().to_string();
    for name in ["br", "deflate", "compress", "gzip, gzip", "gzip;q=1", "\u{fc}"] {
        let headers = [JSON, ("Content-Encoding", name)];
        assert_kept_as_it_came(&headers, body.as_bytes(), "encoding").await;
    }
    assert_kept_as_it_came(&[GZIP, ZSTD], &gzip(&body), "encoding").await;
}

#[tokio::test]
async fn inflating_stops_at_the_limit() {
    const GIGABYTE: usize = 1 << 30;
    for bomb in [bomb(gzip, GIGABYTE), bomb(zstd, GIGABYTE)] {
        let lake = Lake::start().await;
        assert_kept_by(&lake, &[], &bomb, "MAX_PAYLOAD_BYTES").await;
        let peak = lake.peak_memory();
        assert!(peak < GIGABYTE / 8, "{peak} bytes");
    }
}

#[tokio::test]
async fn the_limit_is_the_configurations_to_the_byte() {
    let body = alert().to_string();
    let [limit, one_less] = [body.len(), body.len() - 1].map(|limit| limit.to_string());
    for (headers, sent) in [(&[JSON][..], body.clone().into_bytes()), (&[GZIP], gzip(&body)), (&[ZSTD], zstd(&body))] {
        let lake = Lake::with(&[("MAX_PAYLOAD_BYTES", &limit)]).await;
        assert_eq!(counts(&lake.deliver_with(headers, &sent).await), [1, 0, 0], "{headers:?}");
        let lake = Lake::with(&[("MAX_PAYLOAD_BYTES", &one_less)]).await;
        assert_kept_by(&lake, headers, &sent, "MAX_PAYLOAD_BYTES").await;
    }
}

#[tokio::test]
async fn a_frame_that_asks_for_a_huge_window_costs_no_memory() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(30).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(alert().to_string().as_bytes()).unwrap();
    let lake = Lake::start().await;
    assert_kept_by(&lake, &[ZSTD], &encoder.finish().unwrap(), "zstd").await;
    assert!(lake.peak_memory() < 1 << 27);
}

#[tokio::test]
async fn every_stream_type_is_told_from_the_content() {
    let logs = [alert(), health_check("2026-11-22T09:00:00Z")];
    let [first, second] = logs.each_ref().map(Value::to_string);
    for payload in [
        format!("{first}\n{second}"),
        format!("{first}\n{second}\n"),
        format!("\n\r\n{first}\r\n \t\r\n{second}\r\n\r\n"),
        format!("[{first},{second}]"),
        format!(" [\n{first} ,\n\n{second}\n]\n"),
        serde_json::to_string_pretty(&logs).unwrap(),
    ] {
        let lake = Lake::start().await;
        assert_eq!(counts(&lake.deliver(&payload).await), [2, 0, 0], "{payload}");
        assert_eq!(lake.record(ALERTS)["id"], "log-1");
        assert_eq!(lake.record(HEALTH_CHECKS)["is_healthy"], true);
    }
    let pretty = serde_json::to_string_pretty(&logs[0]).unwrap();
    for payload in [first, pretty.clone(), pretty.replace('\n', "\r\n"), format!("\n {pretty} \n")] {
        let lake = Lake::start().await;
        assert_eq!(counts(&lake.deliver(&payload).await), [1, 0, 0], "{payload}");
        assert_eq!(lake.lines(ALERTS).len(), 1, "a record is one line");
    }
}

#[tokio::test]
async fn a_bad_line_or_element_never_takes_its_neighbours_with_it() {
    let good =
        [alert_with("log-1"), alert_with("log-2"), health_check("2026-11-22T09:00:00Z")].map(|log| log.to_string());
    for bad in [
        "7",
        "\"text\"",
        "null",
        "true",
        "{}",
        "[]",
        "{\"a\":tru}",
        "{\"a\":01}",
        "{\"discriminator\":{\"type\":\"unheard_of\"}}",
        "{\"discriminator\":{\"type\":\"tracebit_alert_log\"}}",
        "{\"discriminator\":\"tracebit_alert_log\"}",
    ] {
        let lines = format!("{}\n{bad}\n{}\n{}\n", good[0], good[1], good[2]);
        let array = format!("[{},{},{bad},{}]", good[0], good[1], good[2]);
        for payload in [lines, array] {
            let lake = Lake::start().await;
            assert_eq!(counts(&lake.deliver(&payload).await), [3, 0, 1], "{payload}");
            assert_eq!((lake.records(ALERTS).len(), lake.records(HEALTH_CHECKS).len()), (2, 1), "{payload}");
            let failure = lake.record(FAILURES);
            assert_eq!((&failure["payload"], &failure["payload_encoding"]), (&json!(bad), &json!("utf-8")));
        }
    }
}

#[tokio::test]
async fn a_line_or_an_array_that_is_cut_short_loses_only_its_last_log() {
    let [first, second] = ["log-1", "log-2"].map(|id| alert_with(id).to_string());
    let cut = &second[..second.len() / 2];
    for payload in [format!("{first}\n{cut}"), format!("[{first},{cut}")] {
        let lake = Lake::start().await;
        assert_eq!(counts(&lake.deliver(&payload).await), [1, 0, 1], "{payload}");
        assert_eq!(lake.record(ALERTS)["id"], "log-1");
        assert_eq!(lake.record(FAILURES)["payload"], cut);
    }
}

#[tokio::test]
async fn a_line_that_is_not_utf_8_is_kept_as_base64() {
    let lake = Lake::start().await;
    let good = alert().to_string();
    let bad = b"{\"discriminator\":{\"type\":\"health_check\",\"subtype\":\"\xff\xfe\"}}";
    let payload = [good.as_bytes(), b"\n", bad, b"\n"].concat();
    assert_eq!(counts(&lake.deliver(&payload).await), [1, 0, 1]);
    let failure = lake.record(FAILURES);
    assert_eq!(failure["payload_encoding"], "base64");
    assert_eq!(failure["payload"], BASE64.encode(bad));
}

#[tokio::test]
async fn a_body_that_is_no_text_at_all_is_kept_as_base64() {
    let body: Vec<u8> = (0..=255).rev().cycle().take(5000).collect();
    assert_kept_as_it_came(&[], &body, "").await;
}

#[tokio::test]
async fn json_nested_ten_thousand_deep_is_a_failure_that_hurts_nobody() {
    const DEEP: usize = 10_000;
    let lake = Lake::start().await;
    let good = health_check("2026-11-22T09:00:00Z").to_string();
    let mut sent = Vec::new();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = format!("{}1{}", open.repeat(DEEP), close.repeat(DEEP));
        let inside = alert().to_string().replacen('{', &format!("{{\"unknown\":{nested},"), 1);
        let after = alert().to_string().replacen("\"High\"", &format!("\"High\",\"unknown\":{nested}"), 1);
        sent.extend([inside, after, open.repeat(DEEP)]);
        sent.extend((open == "{\"a\":").then_some(nested));
    }
    for (at, bad) in sent.iter().enumerate() {
        // On a line by itself, for ten thousand opening brackets would else be all that is looked at.
        let answer = counts(&lake.deliver(format!("{good}\n{bad}\n")).await);
        assert_eq!(answer, [u64::from(at == 0), u64::from(at > 0), 1], "{}", &bad[..60]);
    }
    let failures = lake.records(FAILURES);
    assert_eq!(failures.len(), sent.len());
    for failure in failures {
        assert!(sent.iter().any(|bad| failure["payload"] == *bad), "{}", failure["error"]);
    }
    // And the whole payload, too.
    let deep = format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP));
    assert_eq!(counts(&lake.deliver(&deep).await), [0, 0, 1]);
}

#[tokio::test]
async fn an_array_of_five_thousand_logs_in_six_megabytes_is_stored_whole() {
    let logs: Vec<String> = (0..5000)
        .map(|n| {
            let mut log = alert_with(&format!("log-{n}"));
            log["padding"] = "x".repeat(300).into();
            log.to_string()
        })
        .collect();
    let payload = format!("[{}]", logs.join(","));
    assert!((5_000_000..6_291_456).contains(&payload.len()), "{}", payload.len());
    let lake = Lake::start().await;
    assert_eq!(counts(&lake.deliver(&payload).await), [5000, 0, 0]);
    assert_eq!(counts(&lake.deliver(&payload).await), [0, 5000, 0]);
    let records = lake.lines(ALERTS);
    assert_eq!((lake.keys().len(), records.len()), (1, 5000));
    for (record, log) in records.iter().zip(&logs) {
        assert!(record.starts_with(&log[..log.len() - 1]), "{record}");
    }
    assert!(lake.peak_memory() < 1 << 27, "{}", lake.peak_memory());
}

#[tokio::test]
async fn a_payload_of_nothing_but_tiny_failures_stays_bounded() {
    let payload = format!("[{}]", vec!["1"; 2_000_000].join(","));
    let lake = Lake::start().await;
    assert_eq!(counts(&lake.deliver(&payload).await), [0, 0, 2_000_000]);
    let stored: usize = lake.objects().values().map(Vec::len).sum();
    assert!(stored < 4 * payload.len(), "{stored} bytes");
    assert!(lake.peak_memory() < 1 << 27, "{}", lake.peak_memory());
}
