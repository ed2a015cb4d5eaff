//! What the services that speak JSON share: headers, signatures, replies.

use bytes::Bytes;
use http::{Request, header::AUTHORIZATION};
use serde_json::{Value, json};

use crate::{
    s3::ACCESS_KEY,
    server::{Reply, reply},
};

pub(crate) fn header<'request>(request: &'request Request<impl Sized>, name: &str) -> &'request str {
    let value = request.headers().get(name);
    value.and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// Whether the request names the known access key in its signature. Only S3 verifies signatures.
pub(crate) fn is_signed(request: &Request<Bytes>) -> bool {
    header(request, AUTHORIZATION.as_str()).starts_with(&format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/"))
}

pub(crate) fn error_reply(status: u16, code: &str) -> Reply {
    let message = format!("{code}, from the test harness");
    json_reply(status, &json!({ "__type": code, "message": message }))
}

pub(crate) fn json_reply(status: u16, body: &Value) -> Reply {
    reply(status, "application/x-amz-json-1.1", body.to_string())
}
