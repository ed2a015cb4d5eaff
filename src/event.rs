//! The function-URL event (payload format 2.0) and its answer.
//!
//! Source of the format: AWS's documentation, "Invoking Lambda function URLs".

use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use lambda_http::{Response, aws_lambda_events::apigw::ApiGatewayV2httpResponse};
use serde::{Deserialize, Deserializer, de::Error as _};

/// What an event that is none is told.
const EXPECTED: &str = "this event is no request to a Lambda function URL (payload format 2.0): expected \
    requestContext.http.method, headers, body and isBase64Encoded; events/ in the project has one of each kind to try, \
    and `cargo run -p tracebit-lake-tools -- sign --event FILE` makes one of any file";

/// The HTTP request that an event stands for, its body as the sender's bytes.
#[derive(Debug)]
pub struct Event(pub http::Request<Vec<u8>>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionUrlEvent {
    request_context: RequestContext,
    #[serde(default, deserialize_with = "headers")]
    headers: HeaderMap,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
struct RequestContext {
    http: HttpContext,
}

#[derive(Deserialize)]
struct HttpContext {
    method: String,
}

impl<'de> Deserialize<'de> for Event {
    /// Fails with a message that says what was expected, and nothing of what was found.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = FunctionUrlEvent::deserialize(deserializer).map_err(|_| D::Error::custom(EXPECTED))?;
        event.request().ok_or_else(|| D::Error::custom(EXPECTED))
    }
}

impl FunctionUrlEvent {
    fn request(self) -> Option<Event> {
        let body = match self.body {
            Some(text) if self.is_base64_encoded => BASE64.decode(text.as_bytes()).ok()?,
            Some(text) => text.into_bytes(),
            None => Vec::new(),
        };
        let mut request = http::Request::new(body);
        *request.method_mut() = Method::from_bytes(self.request_context.http.method.as_bytes()).ok()?;
        *request.headers_mut() = self.headers;
        Some(Event(request))
    }
}

/// Header names of any case; a name that comes twice is kept twice. What is no header at all is left out: two headers
/// count here, and an odd third one must not cost a delivery.
fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderMap, D::Error> {
    struct Visitor;

    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = HeaderMap;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object of headers")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<HeaderMap, A::Error> {
            let mut headers = HeaderMap::new();
            while let Some((name, value)) = members.next_entry::<String, String>()? {
                if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                    headers.append(name, value);
                }
            }
            Ok(headers)
        }
    }

    deserializer.deserialize_map(Visitor)
}

/// The answer in the form that the function URL turns into HTTP; it is API Gateway's, payload format 2.0.
#[must_use]
pub fn answer(response: Response<String>) -> ApiGatewayV2httpResponse {
    let (parts, body) = response.into_parts();
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = parts.status.as_u16().into();
    answer.headers = parts.headers;
    answer.body = Some(body.into());
    answer
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(event: &Value) -> Result<http::Request<Vec<u8>>, String> {
        serde_json::from_str::<Event>(&event.to_string()).map(|event| event.0).map_err(|error| error.to_string())
    }

    #[test]
    fn text_and_base64_bodies_become_the_senders_bytes() {
        for (body, is_base64) in [("é\"\n", false), ("w6kiCg==", true)] {
            let event = json!({
                "version": "2.0",
                "headers": {"X-Any": "value"},
                "requestContext": {"http": {"method": "POST", "path": "/"}},
                "body": body,
                "isBase64Encoded": is_base64,
            });
            let request = request(&event).unwrap();
            assert_eq!(request.body(), "é\"\n".as_bytes());
            assert_eq!(request.method(), Method::POST);
            assert_eq!(request.headers()["x-any"], "value");
        }
    }

    #[test]
    fn odd_headers_are_left_out() {
        let event = json!({
            "requestContext": {"http": {"method": "POST"}},
            "headers": {"bad name": "1", "x-bad": "a\u{1}b", "x-good": "é"},
        });
        assert_eq!(request(&event).unwrap().headers().keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-good"]);
    }

    #[test]
    fn no_body_is_an_empty_body() {
        let request = request(&json!({"requestContext": {"http": {"method": "GET"}}})).unwrap();
        assert!(request.body().is_empty() && request.headers().is_empty());
    }

    #[test]
    fn other_events_are_told_what_was_expected() {
        let context = json!({"http": {"method": "POST"}});
        for event in [
            json!({"key1": "value1", "key2": "value2"}),
            json!({"Records": [{"eventSource": "aws:sqs", "body": "private"}]}),
            json!({"httpMethod": "POST", "headers": {}, "body": "private", "requestContext": {}}),
            json!({"requestContext": context, "body": "not base64!", "isBase64Encoded": true}),
            json!({"requestContext": context, "headers": ["private"]}),
            json!({"requestContext": {"http": {"method": "B A D"}}}),
            json!("private"),
            json!(null),
        ] {
            let error = request(&event).unwrap_err();
            assert!(error.contains("events/") && error.contains("payload format 2.0"), "{error}");
            assert!(!error.contains("private"), "{error}");
        }
    }
}
