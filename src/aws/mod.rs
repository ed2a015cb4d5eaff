//! What all AWS clients share: HTTP, credentials, region, endpoints, and how an error becomes text.

pub(crate) mod deadline;
pub(crate) mod invocation;
pub mod s3;
pub mod secrets;
pub mod sqs;
pub mod sqs_event;

use std::{
    env,
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_config::{BehaviorVersion, SdkConfig, environment::EnvironmentVariableCredentialsProvider};
use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, Region, RuntimeComponents, SharedCredentialsProvider,
        interceptors::FinalizerInterceptorContextRef,
        retry::{RetryPartition, TokenBucket},
    },
    error::{BoxError, ProvideErrorMetadata, SdkError},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::http::{Response as HttpResponse, StatusCode};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use self::deadline::CallPolicy;
pub use self::{deadline::Deadline, invocation::Invocation};

/// Loads region, credentials and endpoints as the AWS SDK defines them, with one HTTP client for all services. An empty
/// endpoint variable counts as unset.
pub async fn load() -> SdkConfig {
    without_empty_endpoints(loader().load().await)
}

/// The same with the given credentials, region and endpoint, for the local mode.
pub async fn load_for(endpoint: &str, region: &'static str, credentials: SharedCredentialsProvider) -> SdkConfig {
    loader().region(Region::from_static(region)).credentials_provider(credentials).endpoint_url(endpoint).load().await
}

/// TLS is rustls with *ring*: aws-lc, the SDK's default, gathers entropy for tens of milliseconds of CPU at start-up.
fn loader() -> aws_config::ConfigLoader {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let CallPolicy { timeouts, retries } = CallPolicy::of_clients();
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
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

/// Retries without the SDK's token bucket. The bucket protects a service from a fleet that retries. Here one alert is on
/// its way, and a bucket that an outage has emptied would give up on the next alert at its first fault.
pub(crate) fn retry_partition() -> RetryPartition {
    RetryPartition::custom("tracebit-lake").token_bucket(TokenBucket::unlimited()).build()
}

/// Records how the attempts of one call end, so that a timeout can name the last fault.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts(Arc<Mutex<AttemptLog>>);

#[derive(Debug, Default)]
struct AttemptLog {
    /// Whether an attempt ended without an answer that says what the service did.
    is_in_doubt: bool,
    last_fault: Option<String>,
}

impl Attempts {
    /// Whether an earlier attempt may have succeeded, because its answer was lost or a server error.
    pub(crate) fn may_have_succeeded(&self) -> bool {
        self.log(|log| log.is_in_doubt)
    }

    /// The text of a call that ran out of time.
    pub(crate) fn timed_out(&self) -> String {
        match self.log(|log| log.last_fault.clone()) {
            Some(fault) => format!("timed out; the last attempt failed: {fault}"),
            None => "timed out without an answer".to_owned(),
        }
    }

    fn log<T>(&self, read: impl FnOnce(&mut AttemptLog) -> T) -> T {
        read(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "attempts"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let status = context.response().map(HttpResponse::status);
        let fault = context.output_or_error().and_then(Result::err);
        self.log(|log| {
            log.is_in_doubt |= status.is_none_or(StatusCode::is_server_error);
            if let Some(fault) = fault {
                let fault = fault.as_operation_error().map_or_else(|| error_chain(fault), |error| error_chain(error));
                log.last_fault = Some(match status {
                    Some(status) => format!("{} {fault}", status.as_u16()),
                    None => fault,
                });
            }
        });
        Ok(())
    }
}

/// The service's code and message, or the transport error. Neither contains a request's body or
/// headers, or a secret.
pub(crate) fn service_error<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug,
{
    match error.as_service_error() {
        Some(service) => {
            format!("{}: {}", service.code().unwrap_or("no code"), service.message().unwrap_or("no message"))
        }
        None => error_chain(error),
    }
}

/// An error and its causes in one line. `Debug` is not used, because it can contain a request or a response.
pub(crate) fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
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
