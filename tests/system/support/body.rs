//! Headers of a body, and compression.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

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
