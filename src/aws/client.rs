//! How every client reaches AWS: HTTP, credentials, region and endpoints.

use std::{env, error::Error, ffi::OsStr};

use aws_config::{BehaviorVersion, SdkConfig, environment::EnvironmentVariableCredentialsProvider};
use aws_sdk_s3::{
    config::{
        Region, SharedCredentialsProvider,
        retry::{RetryPartition, TokenBucket},
    },
    error::SdkError,
};
use aws_smithy_runtime_api::{client::orchestrator::HttpRequest, http::Response};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use super::{
    call::error_chain,
    deadline::{CallPolicy, Deadline},
    http::{self, NoRoots},
};

/// Loads region, credentials and endpoints as the AWS SDK defines them, with one HTTP client for all services. An empty
/// endpoint variable counts as unset.
///
/// # Errors
/// [`NoRoots`] if TLS cannot work. An endpoint without TLS means that this is not AWS, and that nothing needs it.
pub async fn load() -> Result<SdkConfig, NoRoots> {
    let roots = http::find_roots();
    if !has_plain_endpoint() {
        roots?;
    }
    Ok(without_empty_endpoints(loader(roots.is_ok()).load().await))
}

/// The same with the given credentials, region and endpoint without TLS, for the local mode.
pub async fn load_for(endpoint: &str, region: &'static str, credentials: SharedCredentialsProvider) -> SdkConfig {
    let loader = loader(false).region(Region::from_static(region)).credentials_provider(credentials);
    loader.endpoint_url(endpoint).load().await
}

fn loader(has_roots: bool) -> aws_config::ConfigLoader {
    let CallPolicy { timeouts, retries } = CallPolicy::of_clients();
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http::client(has_roots))
        .timeout_config(timeouts)
        .retry_config(retries);
    // The default chain asks the environment first. Building the whole chain would cost every start an STS client.
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("AWS_ACCESS_KEY_ID") && is_set("AWS_SECRET_ACCESS_KEY") {
        loader.credentials_provider(EnvironmentVariableCredentialsProvider::new())
    } else {
        loader
    }
}

/// Retries without the SDK's token bucket. The bucket protects a service from a fleet that retries. Here one alert is
/// on its way, and a bucket that an outage has emptied would give up on the next alert at its first fault.
pub(crate) fn retry_partition() -> RetryPartition {
    RetryPartition::custom("tracebit-lake").token_bucket(TokenBucket::unlimited()).build()
}

/// Resolves the credentials and opens the connection that the first call to `service` will use.
///
/// The request is a CORS preflight, because any other request that a function's role can send would either do something
/// or be denied, and denials raise alarms. Any response is fine. Failures are logged and ignored, because the first
/// call tries again.
pub(crate) async fn warm<T, E>(
    service: &str,
    deadline: Deadline,
    send: impl Future<Output = Result<T, SdkError<E, Response>>>,
) where
    E: Error + 'static,
{
    let problem = match deadline.bound(send).await {
        Some(Err(error)) if error.raw_response().is_none() => error_chain(&error),
        Some(_) => return,
        None => "timed out".to_owned(),
    };
    tracing::warn!("cannot reach {service} at start-up; the first delivery tries again: {problem}");
}

/// Makes a request a CORS preflight of a request with this method.
#[expect(clippy::expect_used, reason = "OPTIONS is a method of HTTP")]
pub(crate) fn preflight(request: &mut HttpRequest, method: &'static str) {
    request.set_method("OPTIONS").expect("OPTIONS is a method");
    request.headers_mut().insert("origin", "https://tracebit-lake.invalid");
    request.headers_mut().insert("access-control-request-method", method);
}

/// Whether a variable such as `AWS_ENDPOINT_URL` or `AWS_ENDPOINT_URL_S3` names an endpoint without TLS.
fn has_plain_endpoint() -> bool {
    let is_plain = |value: &OsStr| value.as_encoded_bytes().starts_with(b"http://");
    env::vars_os().any(|(name, value)| name.as_encoded_bytes().starts_with(b"AWS_ENDPOINT_URL") && is_plain(&value))
}

fn without_empty_endpoints(sdk: SdkConfig) -> SdkConfig {
    let wrapped = NonEmpty(sdk.clone());
    sdk.into_builder().service_config(wrapped).build()
}

/// The settings of single services, such as `AWS_ENDPOINT_URL_S3`, without the empty ones.
#[derive(Debug)]
struct NonEmpty(SdkConfig);

impl LoadServiceConfig for NonEmpty {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        self.0.service_config()?.load_config(key).filter(|value| !value.is_empty())
    }
}
