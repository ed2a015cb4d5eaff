//! What all AWS clients share: HTTP, credentials, region, endpoints, time-outs, retries, and how an error is told.

use std::{env, error::Error, fmt, time::Duration};

use aws_config::{
    BehaviorVersion, SdkConfig, environment::EnvironmentVariableCredentialsProvider, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_sdk_s3::{
    config::{
        Region, SharedCredentialsProvider,
        retry::{RetryPartition, TokenBucket},
    },
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use tokio::time::Instant;

/// One attempt, and the connection it may need: a healthy service answers in tens of milliseconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The time that an invocation has left ends the attempts, so their number is only a backstop.
const MAX_ATTEMPTS: u32 = 100;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// What an attempt must be able to move, in bytes a second: hashing and sending take their time on a small share of a
/// processor.
const SLOWEST: usize = 1024 * 1024;

/// Loads region, credentials and endpoints as the AWS SDK defines them, with one HTTP client for all services. An empty
/// endpoint of one service counts as none.
pub async fn load() -> SdkConfig {
    without_empty_endpoints(loader().load().await)
}

/// The same with credentials, region and endpoint as given: for the local mode.
pub async fn load_for(endpoint: &str, region: &'static str, credentials: SharedCredentialsProvider) -> SdkConfig {
    loader().region(Region::from_static(region)).credentials_provider(credentials).endpoint_url(endpoint).load().await
}

/// TLS is rustls with *ring*: aws-lc, the SDK's default, gathers entropy for tens of milliseconds of CPU at start-up.
fn loader() -> aws_config::ConfigLoader {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let Patience { timeouts, retries } = Patience::of(Duration::MAX, 0);
    // The same for every call, whatever time it has: the SDK keeps the connections of each such time-out apart.
    let timeouts = timeouts.to_builder().connect_timeout(CONNECT_TIMEOUT).build();
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(retries);
    // Where they are, the default chain takes no other; making the whole of it ready costs a start an STS client.
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("AWS_ACCESS_KEY_ID") && is_set("AWS_SECRET_ACCESS_KEY") {
        loader.credentials_provider(EnvironmentVariableCredentialsProvider::new())
    } else {
        loader
    }
}

/// How one call spends the time that is left, so that a fault costs it an attempt, and an outage not the invocation.
pub(crate) struct Patience {
    pub(crate) timeouts: TimeoutConfig,
    pub(crate) retries: RetryConfig,
}

impl Patience {
    /// For a call that sends `bytes` and is given up, wherever it stands, at `until`; `None` when that moment has come,
    /// for then no call may begin.
    pub(crate) fn until(until: Instant, bytes: usize) -> Option<Self> {
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| Self::of(left, bytes))
    }

    fn of(left: Duration, bytes: usize) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt_timeout(left, bytes)).build();
        let retries = RetryConfig::standard()
            .with_max_attempts(MAX_ATTEMPTS)
            .with_initial_backoff(FIRST_BACKOFF.min(left / 20))
            .with_max_backoff(MAX_BACKOFF.min(left / 8));
        Self { timeouts, retries }
    }
}

/// Longer for much to send, and never so long that there is no time for a second attempt, but for a large one.
fn attempt_timeout(left: Duration, bytes: usize) -> Duration {
    let moving = Duration::from_secs(u64::try_from(bytes / SLOWEST).unwrap_or(u64::MAX));
    ATTEMPT_TIMEOUT.min(left / 2).saturating_add(moving).min(left)
}

/// Retries without the SDK's token bucket. It protects a service from a fleet that retries; here one alert is on its
/// way, and a bucket that an outage has emptied would give up on the next one at its first fault.
pub(crate) fn retry_partition() -> RetryPartition {
    RetryPartition::custom("tracebit-lake").token_bucket(TokenBucket::unlimited()).build()
}

/// What a service said, its code and message, or else what went wrong on the way: neither holds anything of a request's
/// body or headers, or of a secret.
pub(crate) fn told_by_service<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug,
{
    match error.as_service_error() {
        Some(service) => {
            format!("{}: {}", service.code().unwrap_or("no code"), service.message().unwrap_or("no message"))
        }
        None => told(error),
    }
}

/// An error and its causes in one line, without the `Debug` that may hold a request or an answer.
pub(crate) fn told(error: &dyn Error) -> String {
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

/// The configuration of single services, such as `AWS_ENDPOINT_URL_S3`, less what is empty.
#[derive(Debug)]
struct NonEmpty(SdkConfig);

impl LoadServiceConfig for NonEmpty {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        self.0.service_config()?.load_config(key).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_leaves_time_for_another_unless_there_is_much_to_send() {
        let seconds = Duration::from_secs;
        for (bytes, left, expected) in [
            (2_000, 29, seconds(5)),
            (2_000, 4, seconds(2)),
            (2_000, 0, seconds(0)),
            (16 * SLOWEST, 29, seconds(21)),
            (16 * SLOWEST, 9, seconds(9)),
        ] {
            assert_eq!(attempt_timeout(seconds(left), bytes), expected, "{bytes} bytes, {left} s left");
        }
    }

    #[test]
    fn the_less_time_is_left_the_shorter_are_waits_and_attempts() {
        let mut before = [Duration::MAX; 3];
        for left in [30_000, 10_000, 3_000, 1_000, 100, 10, 0].map(Duration::from_millis) {
            let Patience { timeouts, retries } = Patience::of(left, 2_000);
            let attempt = timeouts.operation_attempt_timeout().unwrap();
            let now = [attempt, retries.initial_backoff(), retries.max_backoff()];
            assert!(now.iter().zip(before).all(|(now, before)| *now <= before), "{left:?}: {now:?}");
            // A first attempt that fails only when its time is out leaves room for the wait and a second one.
            assert!(attempt + retries.initial_backoff() <= left * 3 / 4, "{left:?}: {now:?}");
            assert!(retries.max_backoff() <= left / 4, "{left:?}: {now:?}");
            before = now;
        }
    }
}
