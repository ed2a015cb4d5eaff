//! A delivery: what Tracebit sent, as it came in through the function URL or out of the spill queue.

use chrono::{DateTime, Utc};

use super::{
    payload::is_compressed,
    redacted::Redacted,
    signature::{Signature, SignatureError},
};

/// What was sent, not yet verified.
#[derive(Debug)]
pub struct Delivery {
    /// When the function URL received it.
    pub received: DateTime<Utc>,
    /// Its signature, or why it has none.
    pub signature: Result<Signature, SignatureError>,
    /// Whether a header says that the body is compressed. The body itself decides how it is decoded.
    pub is_labelled_compressed: bool,
    /// The body as it was sent.
    pub body: Redacted<Vec<u8>>,
}

/// A header of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Header {
    /// The request does not have it.
    #[default]
    Missing,
    /// The request has it once.
    Once(Redacted<String>),
    /// The request has it more than once.
    Repeated,
}

impl Header {
    /// Adds a value that the request has under the header's name.
    pub fn add(&mut self, value: String) {
        *self = match self {
            Self::Missing => Self::Once(Redacted(value)),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }

    /// The header as a signature.
    ///
    /// # Errors
    /// [`SignatureError`] if the header is missing, repeated or malformed.
    pub fn signature(&self) -> Result<Signature, SignatureError> {
        match self {
            Self::Missing => Err(SignatureError::Missing),
            Self::Once(text) => Signature::parse(text),
            Self::Repeated => Err(SignatureError::Repeated),
        }
    }

    /// Whether the header, as a content encoding, names gzip or zstd.
    #[must_use]
    pub fn names_compression(&self) -> bool {
        let Self::Once(name) = self else { return false };
        ["gzip", "x-gzip", "zstd"].iter().any(|known| known.eq_ignore_ascii_case(name.trim()))
    }
}

impl Delivery {
    /// What shows that something on the way changed the body, so that its signature cannot verify. An HTTP API, for
    /// instance, reads a gzip body that is labelled JSON as text.
    #[must_use]
    pub fn sign_of_change(&self) -> Option<&'static str> {
        const REPLACEMENT: &str = "\u{fffd}";
        if self.is_labelled_compressed && !is_compressed(&self.body) {
            Some("a header says that the body is compressed, and it is not")
        } else if memchr::memmem::find(&self.body, REPLACEMENT.as_bytes()).is_some() {
            Some("the body holds U+FFFD, which stands for bytes that are no text")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(values: &[&str]) -> Header {
        let mut header = Header::default();
        for value in values {
            header.add((*value).to_owned());
        }
        header
    }

    #[test]
    fn a_signature_header_comes_exactly_once() {
        let good = &*"ab".repeat(32);
        assert!(header(&[good]).signature().is_ok());
        for (values, error) in [
            (&[][..], SignatureError::Missing),
            (&[good, good], SignatureError::Repeated),
            (&["rubbish"], SignatureError::Malformed),
            (&["\u{1}é"], SignatureError::Malformed),
        ] {
            assert_eq!(header(values).signature().unwrap_err(), error, "{values:?}");
        }
    }

    #[test]
    fn a_body_that_was_changed_on_the_way_shows_it() {
        let delivery = |encoding: &[&str], body: &[u8]| Delivery {
            received: Utc::now(),
            signature: Err(SignatureError::Missing),
            is_labelled_compressed: header(encoding).names_compression(),
            body: Redacted(body.to_vec()),
        };
        for (encoding, body, is_changed) in [
            (&[][..], &b"{}"[..], false),
            (&["GZip "], b"\x1f\x8b\x08", false),
            (&["zstd"], b"\x28\xb5\x2f\xfd", false),
            (&["x-gzip"], b"{}", true),
            (&["UTF-8"], b"{}", false),
            (&["gzip"], "\u{1f}\u{fffd}\u{8}".as_bytes(), true),
            (&[], "\u{1f}\u{fffd}\u{8}".as_bytes(), true),
        ] {
            assert_eq!(delivery(encoding, body).sign_of_change().is_some(), is_changed, "{encoding:?} {body:?}");
        }
    }
}
