//! A delivery: what Tracebit sent, as it came in through the function URL or out of the spill queue.

use chrono::{DateTime, Utc};

use super::{
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
    /// Its content encoding.
    pub encoding: ContentEncoding,
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

    /// The header as a content encoding.
    #[must_use]
    pub fn content_encoding(&self) -> ContentEncoding {
        match self {
            Self::Missing => ContentEncoding::None,
            Self::Once(name) => ContentEncoding::parse(name),
            Self::Repeated => ContentEncoding::Unknown,
        }
    }
}

/// How the body is compressed, as far as its headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentEncoding {
    /// No encoding is named, so the first bytes of the body decide.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// An encoding that cannot be decoded, or several.
    Unknown,
}

impl ContentEncoding {
    /// Reads the name of an encoding. Case and spaces around it do not matter.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Self::None,
            "gzip" | "x-gzip" => Self::Gzip,
            "zstd" => Self::Zstd,
            _ => Self::Unknown,
        }
    }

    /// The name by which [`ContentEncoding::parse`] reads it again.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Unknown => "unknown",
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
    fn an_encoding_survives_its_name() {
        use ContentEncoding::{Gzip, None, Unknown, Zstd};
        for (values, encoding) in [
            (&[][..], None),
            (&["identity"], None),
            (&[" GZip "], Gzip),
            (&["x-gzip"], Gzip),
            (&["zstd"], Zstd),
            (&["br"], Unknown),
            (&["gzip, gzip"], Unknown),
            (&["gzip", "gzip"], Unknown),
            (&["é"], Unknown),
        ] {
            assert_eq!(header(values).content_encoding(), encoding, "{values:?}");
            assert_eq!(ContentEncoding::parse(encoding.name()), encoding);
        }
    }
}
