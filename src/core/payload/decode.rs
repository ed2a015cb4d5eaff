//! Decompresses a verified body, up to a limit.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use crate::core::{delivery::ContentEncoding, signature::Verified};

/// The first bytes of a gzip member (RFC 1952) and of a Zstandard frame (RFC 8878).
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The largest Zstandard window that a decoder must support, 8 MiB (RFC 8878, 3.1.1.1.2). Larger windows are refused,
/// because a frame of a few bytes could reserve the function's memory.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Why a payload cannot be decoded. The whole body becomes one classification failure.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// `Content-Encoding` is neither `gzip` nor `zstd`, or names several.
    #[error("payload: content encoding not known, expected gzip or zstd")]
    UnknownEncoding,
    /// The compressed data is damaged, cut short, or not in the encoding that the header names.
    #[error("payload: does not decompress as {encoding}: {cause}")]
    Damaged {
        /// `gzip` or `zstd`.
        encoding: &'static str,
        /// The decoder's message.
        cause: io::Error,
    },
    /// More than `MAX_PAYLOAD_BYTES` after decompression.
    #[error("payload: larger than {limit} bytes (MAX_PAYLOAD_BYTES)")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

/// Decompresses the body, up to `limit` bytes, if its encoding or its first bytes say that it is compressed.
///
/// # Errors
/// [`DecodeError`] if it does not decompress, is too large, or has an unknown encoding.
pub fn decode(body: Verified<'_>, encoding: ContentEncoding, limit: usize) -> Result<Cow<'_, [u8]>, DecodeError> {
    let bytes = body.bytes();
    match encoding_of(bytes, encoding) {
        ContentEncoding::Unknown => Err(DecodeError::UnknownEncoding),
        // An empty body is an empty payload, even if it claims to be compressed.
        _ if bytes.is_empty() => Ok(Cow::Borrowed(bytes)),
        ContentEncoding::None if bytes.len() > limit => Err(DecodeError::TooLarge { limit }),
        ContentEncoding::None => Ok(Cow::Borrowed(bytes)),
        ContentEncoding::Gzip => inflate("gzip", flate2::read::MultiGzDecoder::new(bytes), limit).map(Cow::Owned),
        ContentEncoding::Zstd => {
            let damaged = |cause| DecodeError::Damaged { encoding: "zstd", cause };
            let mut decoder = zstd::Decoder::with_buffer(bytes).map_err(damaged)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(damaged)?;
            inflate("zstd", decoder, limit).map(Cow::Owned)
        }
    }
}

/// Decompresses a payload that the lake holds, if its first bytes say that it is compressed. It was verified before it
/// was stored.
///
/// # Errors
/// As [`decode`].
pub fn decode_stored(payload: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, DecodeError> {
    decode(Verified::stored(payload), ContentEncoding::None, limit)
}

/// The encoding that the header names, or else the one that the first bytes show.
fn encoding_of(bytes: &[u8], named: ContentEncoding) -> ContentEncoding {
    match named {
        ContentEncoding::None if bytes.starts_with(GZIP_MAGIC) => ContentEncoding::Gzip,
        ContentEncoding::None if bytes.starts_with(ZSTD_MAGIC) => ContentEncoding::Zstd,
        named => named,
    }
}

fn inflate(encoding: &'static str, decoder: impl Read, limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::new();
    // One byte more than the limit shows whether the payload goes on.
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(one_more).read_to_end(&mut bytes).map_err(|cause| DecodeError::Damaged { encoding, cause })?;
    if bytes.len() > limit { Err(DecodeError::TooLarge { limit }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::core::signature::{Secret, verify};

    fn decoded(body: &[u8], encoding: Option<&str>, limit: usize) -> Result<Vec<u8>, String> {
        let secret = Secret::new("a secret for unit tests").unwrap();
        let verified = verify(body, &secret.sign(body), std::slice::from_ref(&secret)).unwrap();
        let encoding = encoding.map_or(ContentEncoding::None, ContentEncoding::parse);
        decode(verified, encoding, limit).map(Cow::into_owned).map_err(|error| error.to_string())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).unwrap()
    }

    #[test]
    fn compression_is_found_by_header_and_by_content() {
        for (body, name) in [(gzip(b"{}"), "gzip"), (zstd(b"{}"), "zstd")] {
            for encoding in [None, Some(name), Some("identity"), Some(&*name.to_uppercase())] {
                assert_eq!(decoded(&body, encoding, 100).unwrap(), b"{}", "{name} {encoding:?}");
            }
        }
        let two_members = [gzip(b"{\"a\":1}\n"), gzip(b"{\"b\":2}")].concat();
        assert_eq!(decoded(&two_members, None, 100).unwrap(), b"{\"a\":1}\n{\"b\":2}");
        let two_frames = [zstd(b"{\"a\":1}\n"), zstd(b"{\"b\":2}")].concat();
        assert_eq!(decoded(&two_frames, None, 100).unwrap(), b"{\"a\":1}\n{\"b\":2}");
    }

    #[test]
    fn inflating_stops_at_the_limit() {
        let bomb = vec![b' '; 1000];
        for body in [bomb.clone(), gzip(&bomb), zstd(&bomb)] {
            assert_eq!(decoded(&body, None, 1000).unwrap().len(), 1000);
            assert_eq!(decoded(&body, None, 999).unwrap_err(), "payload: larger than 999 bytes (MAX_PAYLOAD_BYTES)");
        }
    }

    #[test]
    fn damage_and_unknown_encodings_are_errors() {
        for encoding in ["br", "gzip, zstd", "deflate", "ü"] {
            assert!(decoded(b"{}", Some(encoding), 100).unwrap_err().contains("not known"), "{encoding}");
        }
        for name in ["gzip", "zstd"] {
            assert!(decoded(b"{}", Some(name), 100).unwrap_err().contains(name), "plain text as {name}");
        }
        for whole in [gzip(b"{\"some\":\"text\"}"), zstd(b"{\"some\":\"text\"}")] {
            let cut = &whole[..whole.len() - 5];
            assert!(decoded(cut, None, 100).unwrap_err().contains("does not decompress"));
        }
    }

    #[test]
    fn a_huge_zstd_window_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(b"{}").unwrap();
        assert!(decoded(&encoder.finish().unwrap(), None, 100).is_err());
    }

    #[test]
    fn an_empty_body_is_an_empty_payload() {
        for encoding in [None, Some("gzip"), Some("zstd")] {
            assert_eq!(decoded(b"", encoding, 100).unwrap(), b"", "{encoding:?}");
        }
    }
}
