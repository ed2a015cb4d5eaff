//! Signatures and signed events.

use serde_json::Value;
use tracebit_lake::core::signature::Secret;
use tracebit_lake_harness::function_url;

use super::SECRET;

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
