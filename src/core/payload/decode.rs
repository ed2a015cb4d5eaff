//! Decompresses a verified body, up to a limit. The body decides: many senders name a content encoding that the body
//! does not have (`UTF-8`, `none`, `gzip` on a body that a proxy has inflated), so no header counts.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use crate::core::signature::Verified;

/// The first bytes of a gzip member (RFC 1952), of a Zstandard frame (RFC 8878), and of UTF-16 (its byte order mark).
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const UTF16_LE: &[u8] = &[0xff, 0xfe];
const UTF16_BE: &[u8] = &[0xfe, 0xff];

/// How often a body may be compressed.
const MAX_LAYERS: usize = 3;

/// The largest Zstandard window that a decoder must support, 8 MiB (RFC 8878, 3.1.1.1.2). Larger windows are refused,
/// because a frame of a few bytes could reserve the function's memory.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Why a payload cannot be decoded. The whole body becomes one classification failure.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The compressed data is damaged or cut short.
    #[error("payload: does not decompress as {encoding}: {cause}")]
    Damaged {
        /// `gzip` or `zstd`.
        encoding: &'static str,
        /// The decoder's message.
        cause: io::Error,
    },
    /// It begins as UTF-16 does, and is none.
    #[error("payload: has the byte order mark of UTF-16 and is none")]
    NotUtf16,
    /// More than `MAX_PAYLOAD_BYTES` after decompression.
    #[error("payload: larger than {limit} bytes (MAX_PAYLOAD_BYTES)")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

/// Whether the first bytes say that a body is compressed.
#[must_use]
pub fn is_compressed(body: &[u8]) -> bool {
    body.starts_with(GZIP_MAGIC) || body.starts_with(ZSTD_MAGIC)
}

/// Decompresses the body, up to `limit` bytes, if its first bytes say that it is compressed. UTF-16 becomes UTF-8.
///
/// # Errors
/// [`DecodeError`] if it does not decompress or is too large.
pub fn decode(body: Verified<'_>, limit: usize) -> Result<Cow<'_, [u8]>, DecodeError> {
    let mut payload = Cow::Borrowed(body.bytes());
    for _ in 0..MAX_LAYERS {
        payload = match &payload[..] {
            bytes if bytes.starts_with(GZIP_MAGIC) => Cow::Owned(inflate("gzip", bytes, limit, gzip_member)?),
            bytes if bytes.starts_with(ZSTD_MAGIC) => Cow::Owned(inflate("zstd", bytes, limit, zstd_frame)?),
            _ => break,
        };
    }
    let payload = match &payload[..] {
        bytes if bytes.starts_with(UTF16_LE) => Cow::Owned(utf8_of(bytes, u16::from_le_bytes)?),
        bytes if bytes.starts_with(UTF16_BE) => Cow::Owned(utf8_of(bytes, u16::from_be_bytes)?),
        _ => payload,
    };
    if payload.len() > limit { Err(DecodeError::TooLarge { limit }) } else { Ok(payload) }
}

/// Decompresses a payload that the lake holds. It was verified before it was stored.
///
/// # Errors
/// As [`decode`].
pub fn decode_stored(payload: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, DecodeError> {
    decode(Verified::stored(payload), limit)
}

/// Appends one member of a compressed text to `bytes`, but no more than `most`, and returns what follows it.
type Member = for<'t> fn(text: &'t [u8], most: u64, bytes: &mut Vec<u8>) -> io::Result<&'t [u8]>;

/// The members of a compressed text, one after the other. Zero bytes and white space behind them are padding.
fn inflate(encoding: &'static str, mut text: &[u8], limit: usize, member: Member) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::new();
    while text.iter().any(|byte| *byte != 0 && !byte.is_ascii_whitespace()) {
        // One byte more than the limit shows whether the payload goes on.
        let most = u64::try_from(limit - bytes.len()).unwrap_or(u64::MAX).saturating_add(1);
        text = member(text, most, &mut bytes).map_err(|cause| DecodeError::Damaged { encoding, cause })?;
        if bytes.len() > limit {
            return Err(DecodeError::TooLarge { limit });
        }
    }
    Ok(bytes)
}

fn gzip_member<'t>(text: &'t [u8], most: u64, bytes: &mut Vec<u8>) -> io::Result<&'t [u8]> {
    let mut decoder = flate2::bufread::GzDecoder::new(text);
    (&mut decoder).take(most).read_to_end(bytes)?;
    Ok(decoder.into_inner())
}

fn zstd_frame<'t>(text: &'t [u8], most: u64, bytes: &mut Vec<u8>) -> io::Result<&'t [u8]> {
    let mut decoder = zstd::Decoder::with_buffer(text)?.single_frame();
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    (&mut decoder).take(most).read_to_end(bytes)?;
    Ok(decoder.finish())
}

fn utf8_of(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Vec<u8>, DecodeError> {
    let (units, odd) = bytes.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(DecodeError::NotUtf16);
    }
    // The first unit is the byte order mark.
    let units = units.iter().skip(1).map(|bytes| unit(*bytes));
    let text = char::decode_utf16(units).collect::<Result<String, _>>().map_err(|_| DecodeError::NotUtf16)?;
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::core::signature::{Secret, verify};

    fn decoded(body: &[u8], limit: usize) -> Result<Vec<u8>, String> {
        let secret = Secret::new("a secret for unit tests").unwrap();
        let verified = verify(body, &secret.sign(body), std::slice::from_ref(&secret)).unwrap();
        decode(verified, limit).map(Cow::into_owned).map_err(|error| error.to_string())
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
    fn compression_is_found_by_its_first_bytes() {
        for body in [gzip(b"{}"), zstd(b"{}"), zstd(&gzip(b"{}")), gzip(&gzip(b"{}")), b"{}".to_vec()] {
            assert_eq!(decoded(&body, 100).unwrap(), b"{}");
        }
        for compress in [gzip, zstd] {
            let two_members = [compress(b"{\"a\":1}\n"), compress(b"{\"b\":2}")].concat();
            assert_eq!(decoded(&two_members, 100).unwrap(), b"{\"a\":1}\n{\"b\":2}");
        }
        assert_eq!(decoded(b"", 100).unwrap(), b"");
    }

    #[test]
    fn zero_bytes_and_white_space_behind_a_stream_are_padding() {
        for padding in [&b"\0"[..], b"\0\0\0\0\0\0\0\0\0\0", b"\n", b" \r\n\0"] {
            for compress in [gzip, zstd] {
                assert_eq!(decoded(&[&compress(b"{}"), padding].concat(), 100).unwrap(), b"{}", "{padding:?}");
                assert!(decoded(&[&compress(b"{}"), padding, b"rubbish"].concat(), 100).is_err(), "{padding:?}");
            }
        }
    }

    #[test]
    fn utf_16_with_a_byte_order_mark_becomes_utf_8() {
        let text = "{\"é\":\"名😀\"}";
        let units = || std::iter::once(0xfeff).chain(text.encode_utf16());
        let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
        for body in [little.clone(), big, gzip(&little)] {
            assert_eq!(decoded(&body, 100).unwrap(), text.as_bytes());
        }
        assert!(decoded(&little, 15).unwrap_err().contains("MAX_PAYLOAD_BYTES"));
        for broken in [&little[..little.len() - 1], b"\xff\xfe\x00\xd8{\0"] {
            assert!(decoded(broken, 100).unwrap_err().contains("UTF-16"));
        }
    }

    #[test]
    fn inflating_stops_at_the_limit() {
        let bomb = vec![b' '; 1000];
        for body in [bomb.clone(), gzip(&bomb), zstd(&bomb), [gzip(&bomb[..600]), gzip(&bomb[..400])].concat()] {
            assert_eq!(decoded(&body, 1000).unwrap().len(), 1000);
            assert_eq!(decoded(&body, 999).unwrap_err(), "payload: larger than 999 bytes (MAX_PAYLOAD_BYTES)");
        }
    }

    #[test]
    fn damage_is_an_error() {
        for whole in [gzip(b"{\"some\":\"text\"}"), zstd(b"{\"some\":\"text\"}")] {
            let cut = &whole[..whole.len() - 5];
            assert!(decoded(cut, 100).unwrap_err().contains("does not decompress"));
        }
    }

    #[test]
    fn a_huge_zstd_window_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(b"{}").unwrap();
        assert!(decoded(&encoder.finish().unwrap(), 100).is_err());
    }
}
