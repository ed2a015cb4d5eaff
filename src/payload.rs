//! From the verified body to single logs: decompression, then the split into elements.
//!
//! The split looks at brackets and strings alone. Whether an element is good JSON is for [`crate::schema`] to say, so
//! one bad element or line never takes its neighbours with it.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use http::{HeaderMap, header::CONTENT_ENCODING};
use memchr::{memchr, memchr2};

use crate::signature::Verified;

/// The first bytes of a gzip member (RFC 1952) and of a Zstandard frame (RFC 8878).
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The largest Zstandard window that a decoder must be able to take, 8 MiB (RFC 8878, 3.1.1.1.2); larger ones are
/// refused, so that a frame of a few bytes cannot reserve the function's memory.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Why a payload could not be decoded. The whole body then is one classification failure.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// `Content-Encoding` is neither `gzip` nor `zstd`, or names several.
    #[error("payload: content encoding not known, expected gzip or zstd")]
    UnknownEncoding,
    /// The compressed data is damaged, cut short, or not of the encoding that was named.
    #[error("payload: does not decompress as {encoding}: {cause}")]
    Damaged {
        /// `gzip` or `zstd`.
        encoding: &'static str,
        /// What the decoder said.
        cause: io::Error,
    },
    /// More than `MAX_PAYLOAD_BYTES` after decompression.
    #[error("payload: larger than {limit} bytes (MAX_PAYLOAD_BYTES)")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

#[derive(Clone, Copy)]
enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

/// Decompresses the body where its `Content-Encoding` or its first bytes ask for it, to `limit` bytes at most.
///
/// # Errors
/// [`DecodeError`] when it does not decompress, is too large, or has an encoding that is not known.
pub fn decode<'a>(body: Verified<'a>, headers: &HeaderMap, limit: usize) -> Result<Cow<'a, [u8]>, DecodeError> {
    let bytes = body.bytes();
    match encoding(bytes, headers)? {
        // Nothing is nothing, whatever it is called.
        _ if bytes.is_empty() => Ok(Cow::Borrowed(bytes)),
        Encoding::Plain if bytes.len() > limit => Err(DecodeError::TooLarge { limit }),
        Encoding::Plain => Ok(Cow::Borrowed(bytes)),
        Encoding::Gzip => inflate("gzip", flate2::read::MultiGzDecoder::new(bytes), limit).map(Cow::Owned),
        Encoding::Zstd => {
            let damaged = |cause| DecodeError::Damaged { encoding: "zstd", cause };
            let mut decoder = zstd::Decoder::with_buffer(bytes).map_err(damaged)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(damaged)?;
            inflate("zstd", decoder, limit).map(Cow::Owned)
        }
    }
}

fn encoding(bytes: &[u8], headers: &HeaderMap) -> Result<Encoding, DecodeError> {
    let mut named = headers.get_all(CONTENT_ENCODING).iter();
    let name = match (named.next(), named.next()) {
        (Some(only), None) => only.to_str().map_err(|_| DecodeError::UnknownEncoding)?,
        (None, _) => "",
        _ => return Err(DecodeError::UnknownEncoding),
    };
    match name.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "zstd" => Ok(Encoding::Zstd),
        "" | "identity" if bytes.starts_with(GZIP_MAGIC) => Ok(Encoding::Gzip),
        "" | "identity" if bytes.starts_with(ZSTD_MAGIC) => Ok(Encoding::Zstd),
        "" | "identity" => Ok(Encoding::Plain),
        _ => Err(DecodeError::UnknownEncoding),
    }
}

fn inflate(encoding: &'static str, decoder: impl Read, limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::new();
    // One byte beyond the limit tells "just fits" from "goes on".
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(one_more).read_to_end(&mut bytes).map_err(|cause| DecodeError::Damaged { encoding, cause })?;
    if bytes.len() > limit { Err(DecodeError::TooLarge { limit }) } else { Ok(bytes) }
}

/// Splits a payload into its logs, each without the white space around it. Blank lines and elements are left out.
///
/// The stream type is told from the content: an array, one object (over several lines, too), or an object on each
/// line. Text that is none of these is one element, and so is text of brackets and commas alone: what was signed is
/// kept, unless there is nothing in it.
#[must_use]
pub fn elements(payload: &[u8]) -> Elements<'_> {
    let payload = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload).trim_ascii();
    let whole = Elements { rest: payload, separator: Separator::None };
    let (is_array, value) = (payload.first() == Some(&b'['), value_len(payload));
    if value == Some(payload.len()) {
        let inside = payload.get(1..payload.len() - 1).unwrap_or_default();
        let is_empty_array = inside.trim_ascii().is_empty();
        return if is_array { array(inside, is_empty_array).unwrap_or(whole) } else { whole };
    }
    if has_object_lines(payload) {
        return Elements { separator: Separator::Newline, ..whole };
    }
    if is_array && value.is_none() {
        // The array was cut, or an element's brackets do not match.
        let inside = payload.get(1..).unwrap_or_default();
        return array(inside.strip_suffix(b"]").unwrap_or(inside), false).unwrap_or(whole);
    }
    whole
}

/// The elements of an array with this inside; `None` where there are none, unless that is as it should be.
fn array(inside: &[u8], may_be_empty: bool) -> Option<Elements<'_>> {
    let elements = Elements { rest: inside, separator: Separator::Comma };
    (may_be_empty || elements.clone().next().is_some()).then_some(elements)
}

/// Whether these are lines with an object on each, some of them perhaps broken. Lines that end in a comma belong to an
/// array or an object that was printed over several lines.
fn has_object_lines(payload: &[u8]) -> bool {
    let lines = || Elements { rest: payload, separator: Separator::Newline };
    let is_object = |line: &[u8]| line.first() == Some(&b'{') && value_len(line) == Some(line.len());
    lines().any(is_object) && !lines().any(|line| line.last() == Some(&b','))
}

/// The logs of a payload; see [`elements`].
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    rest: &'a [u8],
    separator: Separator,
}

#[derive(Debug, Clone, Copy)]
enum Separator {
    Comma,
    Newline,
    None,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = match self.separator {
                Separator::Comma => comma(self.rest),
                Separator::Newline => memchr(b'\n', self.rest),
                Separator::None => None,
            };
            let (element, rest) = match end {
                Some(end) => self.rest.split_at_checked(end).unwrap_or((self.rest, &[])),
                None => (self.rest, &[][..]),
            };
            self.rest = rest.get(1..).unwrap_or_default();
            let element = element.trim_ascii();
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

/// The length of the bracketed value at the start of `text`; `None` when it does not start with a bracket, or its
/// brackets do not match.
fn value_len(text: &[u8]) -> Option<usize> {
    let mut open = Vec::new();
    for (at, byte) in structure(text) {
        match byte {
            b'{' | b'[' => open.push(byte),
            b'}' | b']' if open.pop() != Some(opening(byte)) => return None,
            _ => {}
        }
        if open.is_empty() {
            return (at > 0).then_some(at + 1);
        }
    }
    None
}

/// The place of the first comma outside brackets. A closing bracket closes whatever was left open inside its own pair,
/// and one without a pair is passed over, so that an element with broken brackets ends where it most likely does.
fn comma(text: &[u8]) -> Option<usize> {
    let mut open = Vec::new();
    // How many of `open` are square: so that a bracket without a pair is told without a search.
    let mut square = 0;
    for (at, byte) in structure(text) {
        match byte {
            b',' if open.is_empty() => return Some(at),
            b'{' | b'[' => {
                open.push(byte);
                square += usize::from(byte == b'[');
            }
            b'}' | b']' => {
                let has_pair = if byte == b']' { square > 0 } else { square < open.len() };
                while has_pair && let Some(opened) = open.pop() {
                    square -= usize::from(opened == b'[');
                    if opened == opening(byte) {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    None
}

fn opening(closing: u8) -> u8 {
    if closing == b'}' { b'{' } else { b'[' }
}

/// The brackets and commas of `text` that are not part of a string, each with its place. A string that does not end
/// goes on to the end of the text.
fn structure(text: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let byte = *text.get(at)?;
            let place = at;
            at += 1;
            match byte {
                b'"' => at = string_end(text, at)? + 1,
                b'{' | b'}' | b'[' | b']' | b',' => return Some((place, byte)),
                _ => {}
            }
        }
    })
}

/// The place of the quote that ends the string whose content starts at `at`.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::signature::{Secret, verify};

    fn decoded(body: &[u8], encoding: Option<&str>, limit: usize) -> Result<Vec<u8>, String> {
        let secret = Secret::new("a secret for unit tests").unwrap();
        let verified = verify(body, &secret.sign(body), std::slice::from_ref(&secret)).unwrap();
        let mut headers = HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, encoding.parse().unwrap());
        }
        decode(verified, &headers, limit).map(Cow::into_owned).map_err(|error| error.to_string())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).unwrap()
    }

    fn split(payload: &str) -> Vec<&str> {
        elements(payload.as_bytes()).map(|element| std::str::from_utf8(element).unwrap()).collect()
    }

    #[test]
    fn compressed_bodies_are_told_by_header_and_by_content() {
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
    fn one_object_is_one_element_however_it_is_printed() {
        assert_eq!(split(" {\"a\": 1}\r\n"), ["{\"a\": 1}"]);
        assert_eq!(split("{\n  \"a\": {\n    \"b\": \"}{\"\n  }\n}\n"), ["{\n  \"a\": {\n    \"b\": \"}{\"\n  }\n}"]);
        assert_eq!(split("\u{feff}{}"), ["{}"]);
    }

    #[test]
    fn an_array_is_split_at_its_own_commas() {
        assert_eq!(split("[{\"a\":[1,2]}, {\"b\":\"x,\\\",]\"} ,3]"), ["{\"a\":[1,2]}", "{\"b\":\"x,\\\",]\"}", "3"]);
        assert_eq!(split("[\n{\"a\":tru},\n{\"b\":2}\n]"), ["{\"a\":tru}", "{\"b\":2}"]);
        assert_eq!(split("[{\"a\":1},{\"b\":"), ["{\"a\":1}", "{\"b\":"]);
        assert_eq!(split("[{\"a\":1},]"), ["{\"a\":1}"]);
        assert_eq!(split("[{\"a\":1}},{\"b\":2}]"), ["{\"a\":1}}", "{\"b\":2}"]);
        assert_eq!(split("[{\"a\":[1},{\"b\":2}]"), ["{\"a\":[1}", "{\"b\":2}"]);
        assert_eq!(split("[\n{\"a\":1}},\n{\"b\":2},\n{\"c\":3}\n]"), ["{\"a\":1}}", "{\"b\":2}", "{\"c\":3}"]);
        assert_eq!(split("[{\"a\":1},{\"b\":2}}"), ["{\"a\":1}", "{\"b\":2}}"]);
    }

    #[test]
    fn lines_are_split_and_blank_ones_skipped() {
        assert_eq!(split("{\"a\":1}\r\n\n  \n{\"b\":2}"), ["{\"a\":1}", "{\"b\":2}"]);
        assert_eq!(split("{\"a\":\"cut\n{\"b\":2}\nrubbish"), ["{\"a\":\"cut", "{\"b\":2}", "rubbish"]);
        assert_eq!(split("[1]\n{\"b\":2}"), ["[1]", "{\"b\":2}"]);
        assert_eq!(split("[broken\n{\"b\":2}"), ["[broken", "{\"b\":2}"]);
    }

    #[test]
    fn a_damaged_object_stays_in_one_piece() {
        assert_eq!(split("{\n \"a\": {\n \"b\": 1\n"), ["{\n \"a\": {\n \"b\": 1"]);
        assert_eq!(split("hello\nworld"), ["hello\nworld"]);
    }

    #[test]
    fn nothing_is_no_element() {
        for payload in ["", " \r\n\t\n ", "[]", " [ ] ", "[\n]"] {
            assert_eq!(split(payload), [""; 0], "{payload:?}");
        }
        for encoding in [None, Some("gzip"), Some("zstd")] {
            assert_eq!(decoded(b"", encoding, 100).unwrap(), b"", "{encoding:?}");
        }
    }

    #[test]
    fn brackets_and_commas_alone_are_kept() {
        for payload in ["[", "[,", "[,]", "[,,,", ",", "]", "[]]", "[],[]"] {
            assert_eq!(split(payload), [payload]);
        }
        assert_eq!(split("[}"), ["}"]);
    }

    #[test]
    fn brackets_without_a_pair_cost_no_search() {
        let many = 1_000_000;
        for (open, close) in [("{", "]"), ("[", "}")] {
            let payload = format!("[{}{}", open.repeat(many), close.repeat(many));
            assert_eq!(split(&payload).len(), 1);
        }
    }

    #[test]
    fn deep_nesting_is_scanned_without_recursion() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(split(&deep).len(), 1);
    }

    proptest! {
        #[test]
        fn no_payload_panics_or_loses_a_byte(payload in prop::collection::vec(prop::sample::select(&b"{}[],\"\\\n a1"[..]), 0..60)) {
            // What is left out is white space, separators and the brackets of an array.
            let kept: Vec<u8> = elements(&payload).flatten().copied().filter(|b| !b" \n,[]".contains(b)).collect();
            let sent: Vec<u8> = payload.iter().copied().filter(|b| !b" \n,[]".contains(b)).collect();
            prop_assert_eq!(kept, sent);
        }

        #[test]
        fn serialised_logs_come_back_whatever_the_stream_type(
            texts in prop::collection::vec("\\PC*", 1..6),
        ) {
            let logs: Vec<serde_json::Value> = texts.iter().map(|text| serde_json::json!({ text.clone(): [text, {}] })).collect();
            let lines = logs.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            for payload in [serde_json::to_string(&logs).unwrap(), serde_json::to_string_pretty(&logs).unwrap(), lines] {
                let back: Vec<serde_json::Value> = elements(payload.as_bytes()).map(|element| serde_json::from_slice(element).unwrap()).collect();
                prop_assert_eq!(&back, &logs);
            }
        }
    }
}
