//! Decoding never exceeds its limit, the split leaves out nothing but separators, and no broken element or line takes a
//! neighbour with it.
//!
//! Input: two bytes for the limit, then the body.
#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use tracebit_lake::core::{
    payload::{decode, elements},
    schema::probe,
    signature::{Secret, verify},
};

/// A log that must be found whatever stands beside it.
const LOG: &[u8] = br#"{"discriminator":{"type":"health_check","subtype":"]},{"},"in":[{"a":1},{"b":[2]}]}"#;

fuzz_target!(|input: &[u8]| {
    let [high, low, body @ ..] = input else { return };
    let limit = usize::from(u16::from_be_bytes([*high, *low]));

    let secret = Secret::new("tracebit-lake-development-secret").unwrap();
    let verified = verify(body, &secret.sign(body), &[secret]).unwrap();
    let Ok(payload) = decode(verified, limit) else { return };
    assert!(payload.len() <= limit);
    if let Cow::Borrowed(payload) = payload {
        assert_eq!(payload, body);
    }
    loses_only_separators(&payload);
    keeps_neighbours(&payload);
});

fn loses_only_separators(payload: &[u8]) {
    let (mut left_out, mut end) = (Vec::new(), 0);
    for element in elements(payload, probe) {
        assert!(!element.is_empty() && element == element.trim_ascii());
        let start = element.as_ptr().addr() - payload.as_ptr().addr();
        left_out.extend_from_slice(&payload[end..start]);
        end = start + element.len();
    }
    left_out.extend_from_slice(&payload[end..]);
    // White space, byte order marks, commas, and the brackets of one array.
    let is_kept = |byte: &u8| !byte.is_ascii_whitespace() && ![0xef, 0xbb, 0xbf].contains(byte);
    let left_out: Vec<u8> = left_out.iter().copied().filter(is_kept).collect();
    let separators =
        left_out.strip_prefix(b"[").map_or(&left_out[..], |inner| inner.strip_suffix(b"]").unwrap_or(inner));
    assert!(separators.iter().all(|byte| *byte == b','), "{left_out:?}");
}

fn keeps_neighbours(broken: &[u8]) {
    let array = [b"[", LOG, b",\n", broken, b",\n", LOG, b"]"].concat();
    let lines = [LOG, b"\n", broken, b"\n", LOG].concat();
    for payload in [array, lines] {
        let found = elements(&payload, probe).filter(|element| *element == LOG).count();
        assert!(found >= 2, "{}", String::from_utf8_lossy(&payload));
    }
}
