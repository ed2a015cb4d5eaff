//! The signature of a delivery: HMAC-SHA256 over the body's bytes as they were sent.
//!
//! Tracebit's documentation names the header and the algorithm, but not the encoding of the 32 bytes. So every usual
//! encoding is accepted. The `hmac` crate compares the decoded bytes in constant time.

use std::fmt;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The header that carries the signature.
pub const HEADER: &str = "x-tracebit-signature-256";

/// What may stand before a signature, in any case.
const LABEL: &str = "sha256=";

/// The length of the shortest secret that is accepted, in bytes. HMAC-SHA256 makes full use of up to 64.
pub const MIN_SECRET_BYTES: usize = 16;

/// The secret that Tracebit and this function share. Its bytes are never shown, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// A secret of fewer than [`MIN_SECRET_BYTES`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("shorter than {MIN_SECRET_BYTES} bytes: use a longer secret, in Tracebit and here")]
pub struct SecretTooShort;

impl Secret {
    /// Takes the UTF-8 bytes of `text` without one trailing newline (`\n` or `\r\n`), because files and shells add one.
    ///
    /// # Errors
    /// If fewer than [`MIN_SECRET_BYTES`] bytes are left.
    pub fn new(text: &str) -> Result<Self, SecretTooShort> {
        let text = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(text);
        if text.len() < MIN_SECRET_BYTES {
            return Err(SecretTooShort);
        }
        Ok(Self(Zeroizing::new(text.as_bytes().to_vec())))
    }

    /// What about the secret looks like a mistake in copying it. It verifies nothing then that Tracebit signs, although
    /// it looks right.
    #[must_use]
    pub fn oddity(&self) -> Option<&'static str> {
        let is_space = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
        match self.0.as_slice() {
            secret if secret.starts_with(b"\xef\xbb\xbf") => Some("it begins with a byte order mark"),
            secret if is_space(secret.first()) => Some("it begins with white space"),
            secret if is_space(secret.last()) => Some("it ends in white space, or in more than one newline"),
            [b'"', .., b'"'] | [b'\'', .., b'\''] => Some("it stands in quotation marks"),
            _ => None,
        }
    }

    /// The signature of `body` under this secret, as Tracebit would send it. For the command-line tool and for tests.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> Signature {
        Signature(self.mac(body).finalize().into_bytes().into())
    }

    fn mac(&self, body: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104)")]
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.chain_update(body)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a delivery is not authorised. The cause goes to the log and never into a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The delivery has no signature header.
    #[error("missing")]
    Missing,
    /// The delivery has more than one.
    #[error("repeated")]
    Repeated,
    /// The header is not 32 bytes in a known encoding.
    #[error("malformed")]
    Malformed,
    /// The signature is not that of the body under a known secret.
    #[error("mismatch")]
    Mismatch,
}

/// The 32 bytes of a signature, decoded but not yet verified.
#[derive(Clone, Copy)]
pub struct Signature([u8; 32]);

impl Signature {
    /// Decodes hex in either case, also with a dash after each byte, or base64 (standard or URL alphabet, padded or
    /// not), with an optional `sha256=` in any case before it. Hex has 64 characters, or 95 with dashes, and base64 has
    /// 43, so none can be mistaken for another.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`] if `text` is neither.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        Self::decode(text).ok_or(SignatureError::Malformed)
    }

    fn decode(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_labelled = text.get(..LABEL.len()).is_some_and(|start| start.eq_ignore_ascii_case(LABEL));
        let text = if is_labelled { text.get(LABEL.len()..).unwrap_or_default().trim() } else { text };
        let without_dashes = dashed_hex(text);
        let text = without_dashes.as_deref().unwrap_or(text);
        let bytes = if text.len() == 64 {
            HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?
        } else {
            let unpadded = if text.len() == 44 { text.strip_suffix('=')? } else { text };
            let alphabet = if unpadded.contains(['-', '_']) { BASE64URL_NOPAD } else { BASE64_NOPAD };
            alphabet.decode(unpadded.as_bytes()).ok()?
        };
        bytes.try_into().ok().map(Self)
    }

    /// The signature in lower-case hex.
    #[must_use]
    pub fn to_hex(&self) -> String {
        HEXLOWER_PERMISSIVE.encode(&self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(…)")
    }
}

/// The hex of a text in which a dash stands after each byte but the last, as .NET's `BitConverter` writes it.
fn dashed_hex(text: &str) -> Option<String> {
    let is_dash = |at: usize| at % 3 == 2;
    let is_dashed = text.len() == 95 && text.bytes().enumerate().all(|(at, byte)| is_dash(at) == (byte == b'-'));
    is_dashed.then(|| text.replace('-', ""))
}

/// A body whose signature verifies. Only [`verify`] makes one of a delivery, and nothing else can be decoded.
#[derive(Clone, Copy)]
pub struct Verified<'a>(&'a [u8]);

impl<'a> Verified<'a> {
    /// A payload that the lake holds. It was verified before it was stored.
    pub(super) fn stored(payload: &'a [u8]) -> Self {
        Self(payload)
    }

    /// The body, as it was sent.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({} bytes)", self.0.len())
    }
}

/// Verifies `body` against each secret in turn. During a rotation the current and the previous secret both verify.
#[must_use]
pub fn verify<'a>(body: &'a [u8], signature: &Signature, secrets: &[Secret]) -> Option<Verified<'a>> {
    secrets.iter().any(|secret| secret.mac(body).verify_slice(&signature.0).is_ok()).then_some(Verified(body))
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL, HEXUPPER};
    use proptest::prelude::*;

    use super::*;

    /// Secret, body and signature, computed with Python's `hmac` module.
    const KNOWN: (&str, &[u8], &str) = (
        "tracebit-lake-development-secret",
        b"{\"hello\":\"canary\"}",
        "35e46bcdf846aac8cf1847f26449fe68351bcd0295ac5e92e8dd8a5afc095b19",
    );

    fn secret() -> Secret {
        Secret::new(KNOWN.0).unwrap()
    }

    #[test]
    fn known_answer() {
        assert_eq!(secret().sign(KNOWN.1).to_hex(), KNOWN.2);
        let signature = Signature::parse(KNOWN.2).unwrap();
        assert_eq!(verify(KNOWN.1, &signature, &[secret()]).unwrap().bytes(), KNOWN.1);
    }

    #[test]
    fn every_usual_encoding_is_accepted() {
        // A body whose signature has both characters in which the base64 alphabets differ.
        let body = (0..10_000u32)
            .map(u32::to_be_bytes)
            .find(|body| {
                let text = BASE64.encode(&secret().sign(body).0);
                text.contains('+') && text.contains('/')
            })
            .unwrap();
        let raw = secret().sign(&body).0;
        let dashed = raw.map(|byte| format!("{byte:02X}")).join("-");
        let encodings = [
            dashed.clone(),
            dashed.to_lowercase(),
            HEXLOWER_PERMISSIVE.encode(&raw),
            HEXUPPER.encode(&raw),
            BASE64.encode(&raw),
            BASE64_NOPAD.encode(&raw),
            BASE64URL.encode(&raw),
            BASE64URL_NOPAD.encode(&raw),
        ];
        for text in encodings {
            for sent in [text.clone(), format!("sha256={text}"), format!("SHA256={text}"), format!("  sha256= {text} ")]
            {
                let signature = Signature::parse(&sent).unwrap_or_else(|_| panic!("{sent}"));
                assert!(verify(&body, &signature, &[secret()]).is_some(), "{sent}");
            }
        }
    }

    #[test]
    fn text_that_is_not_32_bytes_is_malformed() {
        let hex = secret().sign(b"x").to_hex();
        let long = format!("{hex}00");
        let twice = format!("{hex},{hex}");
        let prefixed_twice = format!("sha256=sha256={hex}");
        let not_hex = hex.replace(|c: char| c.is_ascii_digit(), "g");
        let [dashes, few_dashes] = ["-".repeat(95), format!("{}-{}", &hex[..32], &hex[32..])];
        let dash_at_the_end: String =
            hex.as_bytes().chunks(2).flat_map(|byte| [byte[0] as char, byte[1] as char, '-']).collect();
        for text in [
            &*dashes,
            &few_dashes,
            &dash_at_the_end,
            "",
            "sha256=",
            "sha256",
            &hex[..62],
            &long,
            &twice,
            &prefixed_twice,
            &not_hex,
            "==",
            "ü",
        ] {
            assert!(Signature::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn either_secret_of_a_rotation_verifies() {
        let (new, old) = (Secret::new("the new secret, long").unwrap(), secret());
        let signature = old.sign(b"body");
        assert!(verify(b"body", &signature, &[new.clone(), old]).is_some());
        assert!(verify(b"body", &signature, &[new]).is_none());
        assert!(verify(b"body", &signature, &[]).is_none());
    }

    #[test]
    fn an_odd_secret_says_what_is_odd() {
        for (text, oddity) in [
            ("\"0123456789abcdef\"", "quotation marks"),
            ("'0123456789abcdef'", "quotation marks"),
            (" 0123456789abcdef", "begins with white space"),
            ("0123456789abcdef ", "ends in white space"),
            ("0123456789abcdef\n\n", "more than one newline"),
            ("\u{feff}0123456789abcdef", "byte order mark"),
        ] {
            assert!(Secret::new(text).unwrap().oddity().unwrap().contains(oddity), "{text:?}");
        }
        for text in ["0123456789abcdef\n", "0123456789 \"abcdef", "'0123456789abcdef"] {
            assert_eq!(Secret::new(text).unwrap().oddity(), None, "{text:?}");
        }
    }

    #[test]
    fn secrets_lose_one_newline_and_must_be_long_enough() {
        assert_eq!(Secret::new("0123456789abcdef\n"), Secret::new("0123456789abcdef"));
        assert_eq!(Secret::new("0123456789abcdef\r\n"), Secret::new("0123456789abcdef"));
        assert_ne!(Secret::new("0123456789abcdef\n\n"), Secret::new("0123456789abcdef"));
        assert_ne!(Secret::new("0123456789abcdef\r"), Secret::new("0123456789abcdef"));
        assert_eq!(Secret::new("0123456789abcde\n"), Err(SecretTooShort));
    }

    #[test]
    fn debug_shows_nothing() {
        let shown = format!("{:?} {:?} {:?}", secret(), secret().sign(b"x"), Verified(b"private"));
        assert_eq!(shown, "Secret(…) Signature(…) Verified(7 bytes)");
    }

    proptest! {
        #[test]
        fn a_changed_body_or_signature_never_verifies(
            body in prop::collection::vec(any::<u8>(), 1..200),
            at in any::<prop::sample::Index>(),
            flip in 1u8..,
        ) {
            let signature = secret().sign(&body);
            prop_assert!(verify(&body, &signature, &[secret()]).is_some());

            let mut changed = body.clone();
            changed[at.index(body.len())] ^= flip;
            prop_assert!(verify(&changed, &signature, &[secret()]).is_none());

            let mut forged = signature;
            forged.0[at.index(32)] ^= flip;
            prop_assert!(verify(&body, &forged, &[secret()]).is_none());
        }

        #[test]
        fn no_header_panics(text in "\\PC*") {
            let _ = Signature::parse(&text);
        }
    }
}
