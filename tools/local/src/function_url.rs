//! Function URLs: the events, payload format 2.0, that AWS builds from HTTP requests, and a URL on loopback.

use std::{collections::BTreeMap, net::SocketAddr};

use data_encoding::BASE64;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{
    guard,
    server::{Reply, Server, reply, unique_id, whole},
};

const URL_ID: &str = "abcdefghijklmnopqrstuvwxyz012345";

/// A function URL on loopback. Dropping it closes its port.
pub struct FunctionUrl(Server);

impl FunctionUrl {
    /// Serves `function`, which maps the event of each request to the function's answer; port 0 takes a free port.
    pub async fn start<H, F>(addr: SocketAddr, function: H) -> Self
    where
        H: Fn(Value) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Value> + Send + 'static,
    {
        Self(
            Server::start(addr, move |request: Request<Incoming>| {
                let function = function.clone();
                async move {
                    let request = whole(request).await?;
                    if let Some(problem) = guard::refusal(&request, addr.ip()) {
                        return Some(reply(403, "application/json", json!({"error": problem}).to_string()));
                    }
                    let headers: Vec<_> = request
                        .headers()
                        .iter()
                        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
                        .collect();
                    let answer = function(event(request.method().as_str(), &headers, request.body()));
                    Some(http_answer(&answer.await))
                }
            })
            .await,
        )
    }

    /// The URL.
    pub fn endpoint(&self) -> String {
        self.0.endpoint()
    }
}

/// The HTTP response that AWS makes of the function's answer.
fn http_answer(answer: &Value) -> Reply {
    let status = answer["statusCode"].as_u64().and_then(|code| u16::try_from(code).ok()).expect("a statusCode");
    let mut response = Response::builder().status(status);
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        response = response.header(name, value.as_str().expect("a header's value"));
    }
    let body = answer["body"].as_str().unwrap_or_default().to_owned();
    response.body(Full::new(body.into())).expect("a valid status and valid headers")
}

/// The event that AWS passes to the function for this request to the root of its URL.
pub fn event(method: &str, headers: &[(&str, &str)], body: &[u8]) -> Value {
    let domain = format!("{URL_ID}.lambda-url.us-east-1.on.aws");
    let now = chrono::Utc::now();

    let mut sent = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        sent.entry(name.to_ascii_lowercase())
            .and_modify(|joined| {
                joined.push(',');
                joined.push_str(value);
            })
            .or_insert_with(|| (*value).to_owned());
    }
    let trace = format!("Root=1-{:08x}-0123456789abcdef01234567", now.timestamp());
    for (name, value) in [
        ("host", domain.clone()),
        ("content-length", body.len().to_string()),
        ("x-amzn-trace-id", trace),
        ("x-forwarded-for", "203.0.113.7".to_owned()),
        ("x-forwarded-port", "443".to_owned()),
        ("x-forwarded-proto", "https".to_owned()),
    ] {
        sent.entry(name.to_owned()).or_insert(value);
    }

    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "requestContext": {
            "accountId": "anonymous",
            "apiId": URL_ID,
            "domainName": domain,
            "domainPrefix": URL_ID,
            "http": {
                "method": method,
                "path": "/",
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": sent.get("user-agent"),
            },
            "requestId": unique_id(),
            "routeKey": "$default",
            "stage": "$default",
            "time": now.format("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": now.timestamp_millis(),
        },
        "isBase64Encoded": false,
    });
    if !body.is_empty() {
        if let Some(text) = as_text(&sent, body) {
            event["body"] = text.into();
        } else {
            event["body"] = BASE64.encode(body).into();
            event["isBase64Encoded"] = true.into();
        }
    }
    event["headers"] = json!(sent);
    event
}

/// The body as text, if AWS would pass it as text.
fn as_text<'body>(headers: &BTreeMap<String, String>, body: &'body [u8]) -> Option<&'body str> {
    let content_type = headers.get("content-type")?.to_ascii_lowercase();
    let media_type = content_type.split(';').next()?.trim();
    let textual = media_type.starts_with("text/")
        || matches!(media_type, "application/json" | "application/xml" | "application/javascript");
    if !textual || headers.contains_key("content-encoding") {
        return None;
    }
    std::str::from_utf8(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: (&str, &str) = ("Content-Type", "application/json; charset=utf-8");

    #[test]
    fn utf8_of_a_textual_type_stays_text() {
        let event = event("POST", &[JSON], "{\"é\":1}".as_bytes());
        assert_eq!(event["body"], "{\"é\":1}");
        assert_eq!(event["isBase64Encoded"], false);
        assert_eq!(event["headers"]["content-length"], "8");
    }

    #[test]
    fn every_other_body_is_base64() {
        let gzip = ("content-encoding", "gzip");
        let form = ("content-type", "application/x-www-form-urlencoded");
        for (headers, body) in [(&[JSON][..], &b"\xff"[..]), (&[JSON, gzip], b"{}"), (&[form], b"a=1"), (&[], b"{}")] {
            let event = event("POST", headers, body);
            assert_eq!(event["body"], BASE64.encode(body), "{headers:?}");
            assert_eq!(event["isBase64Encoded"], true, "{headers:?}");
        }
    }

    #[test]
    fn an_empty_body_is_omitted_and_repeated_headers_join() {
        let event = event("GET", &[("X-A", "1"), ("x-a", "2")], b"");
        assert!(event.get("body").is_none());
        assert_eq!(event["isBase64Encoded"], false);
        assert_eq!(event["headers"]["x-a"], "1,2");
    }
}
