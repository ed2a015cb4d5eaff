//! Decoding never exceeds its limit, and the split into elements leaves out nothing but separators.
//!
//! Input: a byte that chooses the `Content-Encoding`, two for the limit, then the body.
#![no_main]

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};
use libfuzzer_sys::fuzz_target;
use tracebit_lake::{
    payload::{decode, elements},
    signature::{Secret, verify},
};

const ENCODINGS: [&str; 6] = ["", "gzip", "zstd", "identity", "ZSTD", "br"];

fuzz_target!(|input: &[u8]| {
    let [encoding, high, low, body @ ..] = input else { return };
    let mut headers = HeaderMap::new();
    if let Some(name @ [_, ..]) = ENCODINGS.get(usize::from(*encoding)).map(|name| name.as_bytes()) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_bytes(name).unwrap());
    }
    let limit = usize::from(u16::from_be_bytes([*high, *low]));

    let secret = Secret::new("tracebit-lake-development-secret").unwrap();
    let verified = verify(body, &secret.sign(body), &[secret]).unwrap();
    let Ok(payload) = decode(verified, &headers, limit) else { return };
    assert!(payload.len() <= limit);
    if let Cow::Borrowed(payload) = payload {
        assert_eq!(payload, body);
    }
    loses_only_separators(&payload);
});

fn loses_only_separators(payload: &[u8]) {
    let (mut left_out, mut end) = (Vec::new(), 0);
    for element in elements(payload) {
        assert!(!element.is_empty() && element == element.trim_ascii());
        let start = element.as_ptr().addr() - payload.as_ptr().addr();
        left_out.extend_from_slice(&payload[end..start]);
        end = start + element.len();
    }
    left_out.extend_from_slice(&payload[end..]);
    // White space, a byte order mark at the very start, and the brackets and commas of one array.
    let left_out = left_out.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&left_out);
    let left_out: Vec<u8> = left_out.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let separators = left_out.strip_prefix(b"[").map(|inner| inner.strip_suffix(b"]").unwrap_or(inner));
    assert!(separators.unwrap_or(&left_out).iter().all(|byte| *byte == b',' && separators.is_some()), "{left_out:?}");
}
