//! Payload: how a body is split into logs, and what happens to parts that are not JSON.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::support::{
    ALERTS, FAILURES, GZIP, HEALTH_CHECKS, TestLake, ZSTD, alert, alert_with_id, assert_is_json, assert_kept, counts,
    gzip, health_check, zstd,
};

/// The id of a log or record.
fn id_of(text: &str) -> String {
    serde_json::from_str::<Value>(text).unwrap()["id"].to_string()
}

#[tokio::test]
async fn an_unreadable_signed_payload_is_kept() {
    let lake = TestLake::start().await;
    let bodies = [&b"hello"[..], b"{}", b"null", b"\xff\x00", b"{\"a\":", b"[", b"[,", b"[,]"];
    for (sent, body) in bodies.into_iter().enumerate() {
        let response = lake.deliver(body).await;
        assert_eq!(counts(&response), [0, 0, 1], "{body:?}");
        assert_is_json(&response);
        assert_eq!(lake.records(FAILURES).len(), sent + 1, "{body:?}");
    }
}

#[tokio::test]
async fn an_empty_payload_stores_nothing() {
    let lake = TestLake::start().await;
    for body in ["", "\n", " \r\n\r\n\t\n", "[]", " [ \n ] \n"] {
        assert_eq!(counts(&lake.deliver(body).await), [0, 0, 0], "{body:?}");
        assert_eq!(counts(&lake.deliver_with(&[GZIP], gzip(body)).await), [0, 0, 0], "{body:?}");
        assert_eq!(counts(&lake.deliver_with(&[ZSTD], zstd(body)).await), [0, 0, 0], "{body:?}");
    }
    assert!(lake.s3.puts().is_empty());
}

#[tokio::test]
async fn every_stream_type_is_recognised_by_its_content() {
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
        let lake = TestLake::start().await;
        assert_eq!(counts(&lake.deliver(&payload).await), [2, 0, 0], "{payload}");
        assert_eq!(lake.record(ALERTS)["id"], "log-1");
        assert_eq!(lake.record(HEALTH_CHECKS)["is_healthy"], true);
    }
    let pretty = serde_json::to_string_pretty(&logs[0]).unwrap();
    for payload in [first, pretty.clone(), pretty.replace('\n', "\r\n"), format!("\n {pretty} \n")] {
        let lake = TestLake::start().await;
        assert_eq!(counts(&lake.deliver(&payload).await), [1, 0, 0], "{payload}");
        assert_eq!(lake.lines(ALERTS).len(), 1, "a record must be one line");
    }
}

#[tokio::test]
async fn a_bad_line_or_element_leaves_its_neighbours_alone() {
    let good = [alert_with_id("log-1"), alert_with_id("log-2"), health_check("2026-11-22T09:00:00Z")]
        .map(|log| log.to_string());
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
            let lake = TestLake::start().await;
            assert_eq!(counts(&lake.deliver(&payload).await), [3, 0, 1], "{payload}");
            assert_eq!((lake.records(ALERTS).len(), lake.records(HEALTH_CHECKS).len()), (2, 1), "{payload}");
            let failure = lake.record(FAILURES);
            assert_eq!((&failure["payload"], &failure["payload_encoding"]), (&json!(bad), &json!("utf-8")));
        }
    }
}

#[tokio::test]
async fn a_line_or_element_with_broken_syntax_takes_no_neighbour_with_it() {
    let good = ["log-1", "log-2", "log-3"].map(|id| alert_with_id(id).to_string());
    let other = health_check("2026-11-22T09:00:00Z").to_string();
    let cut = &other[..other.len() / 2];
    let without_quote = other.replacen("health_check\"", "health_check", 1);
    let [one_too_few, one_too_many] = [other[..other.len() - 1].to_owned(), format!("{other}}}")];
    let square = other.replacen('}', "]", 1);
    // On a line.
    for bad in
        [&*format!("{other},"), "good,", cut, &without_quote, &one_too_few, &one_too_many, &square, "[", "]", "{\""]
    {
        for at in 0..=3 {
            let mut lines: Vec<_> = good.iter().map(String::as_str).collect();
            lines.insert(at, bad);
            let lake = TestLake::start().await;
            assert_eq!(counts(&lake.deliver(lines.join("\n")).await), [3, 0, 1], "{bad} at {at}");
            assert_eq!(lake.records(ALERTS).len(), 3, "{bad} at {at}");
            assert_eq!(lake.record(FAILURES)["payload"], bad, "at {at}");
        }
    }
    // In an array, on a line of its own or not, printed over several lines or not.
    for bad in [cut, &without_quote, &one_too_few, &one_too_many, &square] {
        for (at, separator) in (0..=3).flat_map(|at| [",", ",\n", "\n,"].map(|separator| (at, separator))) {
            let pretty = good
                .each_ref()
                .map(|log| serde_json::to_string_pretty(&serde_json::from_str::<Value>(log).unwrap()).unwrap());
            for logs in [&good, &pretty] {
                let mut elements: Vec<_> = logs.iter().map(String::as_str).collect();
                elements.insert(at, bad);
                let payload = format!("[\n{}\n]", elements.join(separator));
                let lake = TestLake::start().await;
                let [stored, duplicates, failures] = counts(&lake.deliver(&payload).await);
                assert_eq!((stored, duplicates), (3, 0), "{payload}");
                assert!(failures >= 1, "{payload}");
                let kept: String = lake.records(FAILURES).iter().map(|record| record["payload"].to_string()).collect();
                assert!(kept.contains("health_"), "{payload}: {kept}");
            }
        }
    }
    // A comma that is missing.
    for separator in ["\n", "\r\n\r\n"] {
        let lake = TestLake::start().await;
        let payload = format!("[{}]", good.join(separator));
        assert_eq!(counts(&lake.deliver(&payload).await), [3, 0, 0], "{payload}");
    }
}

#[tokio::test]
async fn a_truncated_payload_loses_only_its_last_log() {
    let [first, second] = ["log-1", "log-2"].map(|id| alert_with_id(id).to_string());
    let cut = &second[..second.len() / 2];
    for payload in [format!("{first}\n{cut}"), format!("[{first},{cut}")] {
        let lake = TestLake::start().await;
        assert_eq!(counts(&lake.deliver(&payload).await), [1, 0, 1], "{payload}");
        assert_eq!(lake.record(ALERTS)["id"], "log-1");
        assert_eq!(lake.record(FAILURES)["payload"], cut);
    }
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_are_kept_as_base64() {
    let lake = TestLake::start().await;
    let good = alert().to_string();
    let bad = b"{\"discriminator\":{\"type\":\"health_check\",\"subtype\":\"\xff\xfe\"}}";
    let payload = [good.as_bytes(), b"\n", bad, b"\n"].concat();
    assert_eq!(counts(&lake.deliver(&payload).await), [1, 0, 1]);
    let failure = lake.record(FAILURES);
    assert_eq!(failure["payload_encoding"], "base64");
    assert_eq!(failure["payload"], BASE64.encode(bad));

    // A whole body that is not text.
    let body: Vec<u8> = (0..=255).rev().cycle().take(5000).collect();
    assert_kept(&TestLake::start().await, &[], &body, "").await;
}

#[tokio::test]
async fn json_nested_ten_thousand_deep_is_one_failure() {
    const DEEP: usize = 10_000;
    let lake = TestLake::start().await;
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
        // Each is on a line by itself, because a payload that opens with a bracket is read as one array.
        let answer = counts(&lake.deliver(format!("{good}\n{bad}\n")).await);
        assert_eq!(answer, [u64::from(at == 0), u64::from(at > 0), 1], "{}", &bad[..60]);
    }
    let failures = lake.records(FAILURES);
    assert_eq!(failures.len(), sent.len());
    for failure in failures {
        assert!(sent.iter().any(|bad| failure["payload"] == *bad), "{}", failure["error"]);
    }
    // A whole payload can be as deep.
    let deep = format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP));
    assert_eq!(counts(&lake.deliver(&deep).await), [0, 0, 1]);
}

#[tokio::test]
async fn five_thousand_logs_in_six_megabytes_are_all_stored() {
    let logs: Vec<String> = (0..5000)
        .map(|n| {
            let mut log = alert_with_id(&format!("log-{n}"));
            log["padding"] = "x".repeat(300).into();
            log.to_string()
        })
        .collect();
    let payload = format!("[{}]", logs.join(","));
    assert!((5_000_000..6_291_456).contains(&payload.len()), "{}", payload.len());
    let lake = TestLake::start().await;
    assert_eq!(counts(&lake.deliver(&payload).await), [5000, 0, 0]);
    assert_eq!(counts(&lake.deliver(&payload).await), [0, 5000, 0]);
    let records = lake.lines(ALERTS);
    assert_eq!((lake.keys().len(), records.len()), (10, 5000), "500 logs share an object");
    let records: BTreeMap<_, _> = records.iter().map(|record| (id_of(record), record)).collect();
    for log in &logs {
        let record = records[&id_of(log)];
        assert!(record.starts_with(&log[..log.len() - 1]), "{record}");
    }
    assert!(lake.peak_memory() < 1 << 27, "{}", lake.peak_memory());
}
