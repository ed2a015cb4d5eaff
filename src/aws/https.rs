//! An API that is not AWS's, called as AWS is: by a deadline, with attempts that follow from it, and an error in words
//! for an operator.
//!
//! The client is the SDK's own, so that a function has one HTTP stack, one set of root certificates and one way to try
//! again. It follows no redirect, so a token goes to the API's own host alone.

use std::{fmt, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::BeforeDeserializationInterceptorContextMut,
        retry::{ClassifyRetry, RetryAction},
    },
    error::{BoxError, ErrorMetadata, ProvideErrorMetadata},
    primitives::SdkBody,
};
use aws_smithy_runtime::client::{orchestrator::operation::Operation, retries::classifiers::TransientErrorClassifier};
use aws_smithy_runtime_api::{
    client::{
        interceptors::context::InterceptorContext,
        orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
        retries::ErrorKind,
        runtime_plugin::StaticRuntimePlugin,
    },
    http::Response,
};
use aws_smithy_types::config_bag::Layer;
use chrono::{DateTime, Utc};
use http_body_util::Limited;
use zeroize::Zeroizing;

use super::{
    call::{CallError, call_by},
    client::retry_partition,
    deadline::{CallPolicy, Deadline},
};

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

const USER_AGENT: &str = concat!("tracebit-lake/", env!("CARGO_PKG_VERSION"));

/// What opens the API. It is never shown, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

/// A text that is no bearer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a token: expected one word of letters, digits and -._~+/=")]
pub struct NotAToken;

impl Token {
    /// Takes the text without white space around it, because files and shells add a newline.
    ///
    /// # Errors
    /// If the rest is not what RFC 6750 calls a bearer token.
    pub fn new(text: &str) -> Result<Self, NotAToken> {
        let text = text.trim();
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if text.is_empty() || !text.bytes().all(is_fit) {
            return Err(NotAToken);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A client of one API.
#[derive(Debug, Clone)]
pub struct Api {
    sdk: SdkConfig,
    origin: String,
}

impl Api {
    /// A client of the API at `origin`: scheme, host and port.
    #[must_use]
    pub fn new(sdk: &SdkConfig, origin: String) -> Self {
        Self { sdk: sdk.clone(), origin }
    }

    /// Fetches what is at `path`, which has the query, too.
    ///
    /// # Errors
    /// [`CallError`] if there is no whole answer with status 200 by the deadline. `Retry-After` is obeyed where it ends
    /// before that.
    pub async fn get(
        &self,
        operation: &'static str,
        path: &str,
        token: &Token,
        deadline: Deadline,
    ) -> Result<Vec<u8>, CallError> {
        let policy = deadline.call(0).ok_or_else(|| CallError::out_of_time(operation))?;
        let policy = policy.with_waits_up_to(deadline.left());
        let (path, token) = (path.to_owned(), token.clone());
        let request = move |(): ()| {
            let mut request = HttpRequest::get(&path)?;
            let headers = request.headers_mut();
            headers.try_insert("authorization", format!("Bearer {}", *token.0))?;
            headers.try_insert("accept", "application/json")?;
            headers.try_insert("user-agent", USER_AGENT)?;
            Ok(request)
        };
        let CallPolicy { timeouts, retries } = CallPolicy::of_clients();
        let mut layer = Layer::new("tracebit-lake");
        layer.store_put(retry_partition());
        let mut get = Operation::builder()
            .service_name("api")
            .operation_name(operation)
            .endpoint_url(&self.origin)
            .no_auth()
            .timeout_config(timeouts)
            .standard_retry(&retries)
            .retry_classifier(AsTheAnswerSays(deadline))
            .retry_classifier(TransientErrorClassifier::<Refusal>::new())
            .runtime_plugin(StaticRuntimePlugin::new().with_config(layer.freeze()))
            .interceptor(LimitAnswer)
            .serializer(request)
            .deserializer(answer);
        if let Some(client) = self.sdk.http_client() {
            get = get.http_client(client);
        }
        if let Some(sleep) = self.sdk.sleep_impl() {
            get = get.sleep_impl(sleep);
        }
        if let Some(time) = self.sdk.time_source() {
            get = get.time_source(time);
        }
        call_by(policy, operation, deadline, async |attempts| get.interceptor(attempts).build().invoke(()).await).await
    }
}

/// An answer with another status than 200.
#[derive(Debug, thiserror::Error)]
#[error("status {status}")]
struct Refusal {
    status: u16,
    metadata: ErrorMetadata,
}

impl ProvideErrorMetadata for Refusal {
    fn meta(&self) -> &ErrorMetadata {
        &self.metadata
    }
}

/// The bytes of the answer. The text of an error is not shown, because anybody may have written it.
fn answer(response: &HttpResponse) -> Result<Vec<u8>, OrchestratorError<Refusal>> {
    let status = response.status().as_u16();
    if status == 200 {
        return response
            .body()
            .bytes()
            .map(<[u8]>::to_vec)
            .ok_or_else(|| OrchestratorError::other("the body is missing"));
    }
    let message = match status {
        300..=399 => "a redirect, which is not followed, because the token is for this host alone",
        401 | 403 => "the token is refused; it needs the permissions alerts:all:list and alerts:all:get",
        404 => "the API is not there; check TRACEBIT_API_URL",
        429 => "too many requests",
        500.. => "the API is out of order",
        _ => "an unexpected status",
    };
    let code = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let metadata = ErrorMetadata::builder().code(code.unwrap_or("no name")).message(message).build();
    Err(OrchestratorError::operation(Refusal { status, metadata }))
}

/// Tries again after 429 and 5xx, unless the API names a wait (`Retry-After`) that ends after the deadline.
#[derive(Debug)]
struct AsTheAnswerSays(Deadline);

impl ClassifyRetry for AsTheAnswerSays {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(response) = context.response() else { return RetryAction::NoActionIndicated };
        let kind = match response.status().as_u16() {
            429 => ErrorKind::ThrottlingError,
            500.. => ErrorKind::ServerError,
            _ => return RetryAction::NoActionIndicated,
        };
        match response.headers().get("retry-after").and_then(|text| wait(text, Utc::now())) {
            Some(wait) if wait < self.0.left() => RetryAction::retryable_error_with_explicit_delay(kind, wait),
            Some(_) => RetryAction::RetryForbidden,
            None => RetryAction::retryable_error(kind),
        }
    }

    fn name(&self) -> &'static str {
        "as the answer says"
    }
}

/// How long `Retry-After` says to wait: seconds, or a date (RFC 9110, 10.2.3).
fn wait(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    match text.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => DateTime::parse_from_rfc2822(text).ok().map(|at| (at.to_utc() - now).to_std().unwrap_or_default()),
    }
}

/// Breaks off an answer that is larger than memory has room for.
#[derive(Debug)]
struct LimitAnswer;

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for LimitAnswer {
    fn name(&self) -> &'static str {
        "limit the answer"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response: &mut Response = context.response_mut();
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        *response.body_mut() = SdkBody::from_body_1_x(Limited::new(body, MAX_ANSWER));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_never_shown() {
        let token = Token::new("  abc-DEF._~+/=9\n").unwrap();
        assert_eq!((token.0.as_str(), format!("{token:?}").as_str()), ("abc-DEF._~+/=9", "Token(…)"));
        for text in ["", " \n", "two words", "a\r\nHost: evil", "ü", "{\"token\":\"x\"}"] {
            assert_eq!(Token::new(text), Err(NotAToken), "{text:?}");
        }
    }

    #[test]
    fn a_wait_is_a_number_of_seconds_or_a_date() {
        let now = "2026-11-27T10:00:00Z".parse().unwrap();
        for (text, seconds) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Fri, 27 Nov 2026 10:00:30 GMT", Some(30)),
            ("Fri, 27 Nov 2026 09:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(wait(text, now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
