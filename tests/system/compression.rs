//! Payload: compression, and the limit on the decompressed size.

use std::io::Write as _;

use crate::support::{ALERTS, GZIP, JSON, TestLake, ZSTD, alert, alert_with_id, assert_kept, bomb, counts, gzip, zstd};

/// The same check, on a lake of its own.
async fn assert_kept_alone(headers: &[(&str, &str)], body: &[u8], problem: &str) {
    assert_kept(&TestLake::start().await, headers, body, problem).await;
}

#[tokio::test]
async fn gzip_and_zstd_are_recognised_by_header_and_content() {
    let body = alert().to_string();
    let lake = TestLake::start().await;
    let mut stored = 0;
    for (compressed, name) in [(gzip(&body), "gzip"), (zstd(&body), "zstd")] {
        for headers in [
            &[("Content-Encoding", name)][..],
            &[("content-encoding", &*name.to_uppercase())],
            &[JSON, ("Content-Encoding", name)],
            // Recognised by the first bytes.
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
async fn concatenated_members_and_frames_are_one_stream() {
    let [first, second] = ["log-1", "log-2"].map(|id| format!("{}\n", alert_with_id(id)));
    // RFC 1952 and RFC 8878: several gzip members or zstd frames are one stream.
    for body in [
        gzip(format!("{first}{second}")),
        [gzip(&first), gzip(&second)].concat(),
        [zstd(&first), zstd(&second)].concat(),
    ] {
        let lake = TestLake::start().await;
        assert_eq!(counts(&lake.deliver(&body).await), [2, 0, 0]);
    }
}

#[tokio::test]
async fn a_body_that_does_not_decompress_is_kept_as_sent() {
    let batch = format!("{}\n{}\n", alert_with_id("log-1"), alert_with_id("log-2"));
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
    ] {
        assert_kept_alone(headers, body, problem).await;
    }
}

#[tokio::test]
async fn the_body_decides_whatever_the_header_says() {
    let names = [
        "UTF-8",
        "none",
        "json",
        "aws-chunked",
        "identity, identity",
        "br",
        "deflate",
        "gzip",
        "zstd",
        "gzip, gzip",
        "gzip;q=1",
        "\u{fc}",
    ];
    let text = |n: usize| alert_with_id(&format!("log-{n}")).to_string();
    let bodies: [fn(&str) -> Vec<u8>; 4] = [
        |text| text.as_bytes().to_vec(),
        |text| gzip(text),
        |text| zstd(text),
        |text| [&gzip(text)[..], b"\0\0\0\r\n"].concat(),
    ];
    let lake = TestLake::start().await;
    let mut sent = 0;
    for name in names {
        for body in bodies {
            sent += 1;
            let headers = [JSON, ("Content-Encoding", name)];
            assert_eq!(counts(&lake.deliver_with(&headers, body(&text(sent))).await), [1, 0, 0], "{name}");
        }
    }
    assert_eq!(counts(&lake.deliver_with(&[GZIP, ZSTD], gzip(text(0))).await), [1, 0, 0]);
    assert_eq!(lake.records(ALERTS).len(), sent + 1);
}

#[tokio::test]
async fn utf_16_and_byte_order_marks_are_read() {
    let lake = TestLake::start().await;
    let text = |id: &str| format!("\u{feff}{}", alert_with_id(id));
    let utf_16: Vec<u8> = text("log-1").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(counts(&lake.deliver_with(&[], utf_16).await), [1, 0, 0]);
    let lines = ["log-2", "log-3", "log-4"].map(text).join("\n");
    assert_eq!(counts(&lake.deliver(lines).await), [3, 0, 0]);
    let array = format!("\u{feff}[{}]", ["log-5", "log-6"].map(text).join(", "));
    assert_eq!(counts(&lake.deliver(array).await), [2, 0, 0]);
}

#[tokio::test]
async fn decompression_stops_at_the_limit() {
    const GIGABYTE: usize = 1 << 30;
    for bomb in [bomb(gzip, GIGABYTE), bomb(zstd, GIGABYTE)] {
        let lake = TestLake::start().await;
        assert_kept(&lake, &[], &bomb, "MAX_PAYLOAD_BYTES").await;
        let peak = lake.peak_memory();
        assert!(peak < GIGABYTE / 8, "{peak} bytes");
    }
}

#[tokio::test]
async fn the_configured_limit_is_exact_to_the_byte() {
    let body = alert().to_string();
    let [limit, one_less] = [body.len(), body.len() - 1].map(|limit| limit.to_string());
    for (headers, sent) in [(&[JSON][..], body.clone().into_bytes()), (&[GZIP], gzip(&body)), (&[ZSTD], zstd(&body))] {
        let lake = TestLake::with_env(&[("MAX_PAYLOAD_BYTES", &limit)]).await;
        assert_eq!(counts(&lake.deliver_with(headers, &sent).await), [1, 0, 0], "{headers:?}");
        let lake = TestLake::with_env(&[("MAX_PAYLOAD_BYTES", &one_less)]).await;
        assert_kept(&lake, headers, &sent, "MAX_PAYLOAD_BYTES").await;
    }
}

#[tokio::test]
async fn a_frame_with_a_huge_window_costs_no_memory() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(30).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(alert().to_string().as_bytes()).unwrap();
    let lake = TestLake::start().await;
    assert_kept(&lake, &[ZSTD], &encoder.finish().unwrap(), "zstd").await;
    assert!(lake.peak_memory() < 1 << 27);
}
