//! What all AWS clients share: HTTP, credentials, region, endpoints, time-outs and retries.

use std::time::Duration;

use aws_config::{BehaviorVersion, ConfigLoader, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

/// One attempt, and the connection it may need. A healthy service answers in tens of milliseconds; the attempts share
/// the time that the invocation has left, which bounds them all.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_ATTEMPTS: u32 = 8;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// Loads region, credentials and endpoints as the AWS SDK defines them, with one HTTP client for all services.
///
/// TLS by rustls with *ring*: aws-lc, the SDK's default, gathers entropy for tens of milliseconds of CPU at start-up.
#[must_use]
pub fn loader() -> ConfigLoader {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    let retries = RetryConfig::standard()
        .with_max_attempts(MAX_ATTEMPTS)
        .with_initial_backoff(FIRST_BACKOFF)
        .with_max_backoff(MAX_BACKOFF);
    aws_config::defaults(BehaviorVersion::latest()).http_client(http).timeout_config(timeouts).retry_config(retries)
}
