//! The result of an invocation, and the HTTP response that AWS makes of the function's answer.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde_json::Value;

/// How an invocation ended.
#[derive(Debug)]
pub enum InvocationResult {
    /// The function's answer.
    Response(Value),
    /// The error that the function reported.
    Error(Value),
    /// The process exited without an answer: its output.
    Exited(String),
    /// No answer came until some seconds after the deadline: the output so far.
    TimedOut(String),
}

impl InvocationResult {
    /// The HTTP response; panics with the output unless the function answered.
    pub fn response(self) -> Response {
        match self {
            Self::Response(answer) => Response::from_answer(&answer),
            Self::Error(error) => panic!("the function reported an error: {error}"),
            Self::Exited(output) | Self::TimedOut(output) => panic!("{output}"),
        }
    }
}

/// The HTTP response that a function URL sends for the function's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers, under lower-case names.
    pub headers: BTreeMap<String, String>,
    /// The body, decoded.
    pub body: String,
}

impl Response {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {:?}", self.body))
    }

    fn from_answer(answer: &Value) -> Self {
        let status = answer["statusCode"].as_u64().and_then(|s| s.try_into().ok());
        let headers = answer["headers"].as_object().into_iter().flatten();
        let mut body = answer["body"].as_str().unwrap_or_default().to_owned();
        if answer["isBase64Encoded"] == true {
            let bytes = BASE64.decode(body.as_bytes()).expect("a body in base64");
            body = String::from_utf8(bytes).expect("a body in UTF-8");
        }
        Self {
            status: status.unwrap_or_else(|| panic!("no statusCode: {answer}")),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .map(|(name, value)| (name, value.as_str().expect("a header with a text value").to_owned()))
                .collect(),
            body,
        }
    }
}
