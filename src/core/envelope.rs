//! A delivery as the spill queue holds it.
//!
//! An envelope holds what the sender sent, with its signature. So the drain verifies it again and stores it through the
//! same pipeline, as if it had just arrived.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::{
    delivery::Delivery,
    redacted::Redacted,
    signature::{Signature, Verified},
    time,
};

/// A delivery as JSON. Nothing in it is verified when it comes out of the queue.
#[derive(Serialize, Deserialize)]
pub struct Envelope {
    received: String,
    signature: String,
    body: String,
}

/// How long ago a delivery in the queue was received, at most: thrice the longest retention of SQS, because each
/// redrive from the dead letters begins it anew.
const OLDEST: TimeDelta = TimeDelta::days(42);

/// How far the clock of the function that received it may be ahead of the drain's.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// A message that is not an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a delivery of this function")]
pub struct NotAnEnvelope;

impl Envelope {
    /// The size of an envelope without the body, in bytes, at most.
    const OVERHEAD_BYTES: usize = 1024;

    /// How many bytes the message of this body has at most.
    #[must_use]
    pub fn max_bytes(body: Verified<'_>) -> usize {
        BASE64.encode_len(body.bytes().len()) + Self::OVERHEAD_BYTES
    }

    /// Wraps a delivery with a verified body.
    #[must_use]
    pub fn seal(delivery: &Delivery, body: Verified<'_>, signature: &Signature) -> Self {
        Self {
            received: delivery.received.to_rfc3339_opts(SecondsFormat::Millis, true),
            signature: signature.to_hex(),
            body: BASE64.encode(body.bytes()),
        }
    }

    /// The message for the queue.
    #[must_use]
    pub fn to_message(&self) -> String {
        // Texts alone cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a message of the queue.
    ///
    /// # Errors
    /// [`NotAnEnvelope`] if the message is not what [`Envelope::seal`] made. The signature does not cover the time of
    /// receipt, so a time that no message in a queue can have is refused: otherwise whoever may send to the queue could
    /// store one failure under any hour, again and again.
    pub fn open(message: &str, now: DateTime<Utc>) -> Result<Delivery, NotAnEnvelope> {
        let envelope: Self = serde_json::from_str(message).map_err(|_| NotAnEnvelope)?;
        let received = time::parse(&envelope.received).map_err(|_| NotAnEnvelope)?;
        if !(now - OLDEST..=now + CLOCK_SKEW).contains(&received) {
            return Err(NotAnEnvelope);
        }
        Ok(Delivery {
            received,
            signature: Ok(Signature::parse(&envelope.signature).map_err(|_| NotAnEnvelope)?),
            is_labelled_compressed: false,
            body: Redacted(BASE64.decode(envelope.body.as_bytes()).map_err(|_| NotAnEnvelope)?),
        })
    }
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Envelope({} bytes)", self.body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::signature::{Secret, verify};

    #[test]
    fn a_delivery_comes_out_as_it_went_in() {
        let secret = Secret::new("a secret for unit tests").unwrap();
        let body = b"\xff\x00 any bytes".to_vec();
        let signature = secret.sign(&body);
        let received = time::parse("2026-11-22T10:20:30.567Z").unwrap();
        let delivery =
            Delivery { received, signature: Ok(signature), is_labelled_compressed: true, body: Redacted(body) };
        let verified = verify(&delivery.body, &signature, std::slice::from_ref(&secret)).unwrap();
        let message = Envelope::seal(&delivery, verified, &signature).to_message();
        assert!(message.len() <= Envelope::max_bytes(verified));
        let back = Envelope::open(&message, received).unwrap();
        assert_eq!((back.received, &back.body), (received, &delivery.body));
        assert!(verify(&back.body, &back.signature.unwrap(), std::slice::from_ref(&secret)).is_some());
        // An earlier release wrote the content encoding, too.
        assert!(Envelope::open(&message.replacen('{', r#"{"content_encoding":"gzip","#, 1), received).is_ok());
    }

    #[test]
    fn a_time_of_receipt_that_no_message_can_have_is_refused() {
        let received = time::parse("2026-11-22T10:20:30Z").unwrap();
        let message =
            r#"{"received":"2026-11-22T10:20:30Z","signature":"SIG","body":"e30="}"#.replace("SIG", &"0".repeat(64));
        for (age, is_possible) in [
            (TimeDelta::zero(), true),
            (TimeDelta::days(28), true),
            (OLDEST, true),
            (OLDEST + TimeDelta::seconds(1), false),
            (-CLOCK_SKEW, true),
            (-CLOCK_SKEW - TimeDelta::seconds(1), false),
        ] {
            assert_eq!(Envelope::open(&message, received + age).is_ok(), is_possible, "{age}");
        }
    }

    #[test]
    fn anything_else_is_not_an_envelope() {
        let good =
            r#"{"received":"2026-11-22T10:20:30Z","signature":"SIG","body":"e30="}"#.replace("SIG", &"0".repeat(64));
        let now = time::parse("2026-11-22T10:20:31Z").unwrap();
        assert!(Envelope::open(&good, now).is_ok());
        for (from, to) in [("2026-11-22T", ""), ("e30=", "!"), ("00", "0"), ("\"body\"", "\"bod\""), ("{", "")] {
            assert_eq!(Envelope::open(&good.replacen(from, to, 1), now).unwrap_err(), NotAnEnvelope, "{from}");
        }
    }
}
