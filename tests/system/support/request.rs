//! Requests: headers, compression and signatures.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use tracebit_lake::core::signature::Secret;
use tracebit_lake_harness::function_url;

use super::SECRET;

/// The content type of Tracebit's requests.
pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");
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

/// A body that decompresses to `bytes` spaces. It repeats one gzip member or zstd frame, because that is quick to make.
pub(crate) fn bomb(compress: fn(Vec<u8>) -> Vec<u8>, bytes: usize) -> Vec<u8> {
    const MEMBER: usize = 1 << 22;
    compress(vec![b' '; MEMBER]).repeat(bytes / MEMBER)
}

/// The header that carries the signature, spelled as Tracebit spells it.
pub(crate) const SIGNATURE: &str = "X-Tracebit-Signature-256";

/// The signature of `body` with the usual secret, in hex.
pub(crate) fn sign(body: impl AsRef<[u8]>) -> String {
    sign_with(SECRET, body)
}

/// The signature of `body` with `secret`, in hex.
pub(crate) fn sign_with(secret: &str, body: impl AsRef<[u8]>) -> String {
    Secret::new(secret).unwrap().sign(body.as_ref()).to_hex()
}

/// The event of a `POST` with a good signature.
pub(crate) fn signed_event(headers: &[(&str, &str)], body: &[u8]) -> Value {
    signed_event_with(SECRET, headers, body)
}

/// The event of a `POST` that is signed with `secret`.
pub(crate) fn signed_event_with(secret: &str, headers: &[(&str, &str)], body: &[u8]) -> Value {
    let signature = sign_with(secret, body);
    let headers = [headers, &[(SIGNATURE, signature.as_str())]].concat();
    function_url::event("POST", &headers, body)
}
