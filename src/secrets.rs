//! The shared secret, and its rotation.
//!
//! Secrets Manager's versions staged `AWSCURRENT` and `AWSPREVIOUS` both verify, so that Tracebit's side and this one
//! need not change in the same moment.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::{
    Client, config::Builder, error::SdkError, operation::get_secret_value::GetSecretValueError,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use crate::{
    config::SecretSource,
    sdk::{self, Patience},
    signature::{Secret, Signature, Verified, verify},
};

/// How long fetched secrets are used.
const CACHED_FOR: Duration = Duration::from_mins(10);

/// How long after a refetch for a signature that did not verify there is no other.
const REFETCH_PAUSE: Duration = Duration::from_mins(1);

/// How long after a delivery's fetch that failed there is no other: forged requests must not keep the function waiting for a
/// Secrets Manager that is down.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);

/// The most that a delivery waits for the secret.
const MOST_WAIT: Duration = Duration::from_secs(10);

/// How long the signing helper waits for the secret.
const SIGNING_TIME: Duration = Duration::from_secs(30);

/// The secret could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager could not be reached in time, or refused.
    #[error("GetSecretValue failed: {0}")]
    Unavailable(String),
    /// There is no such secret, or it has no such version.
    #[error("GetSecretValue failed: {0}")]
    Missing(String),
    /// A version of the secret is nothing that can be used.
    #[error("the secret cannot be used: {0}")]
    Unusable(String),
}

/// Where signatures are checked.
#[derive(Debug)]
pub struct Secrets(Kind);

#[derive(Debug)]
enum Kind {
    Fixed(Secret),
    Managed(Managed),
}

#[derive(Debug)]
struct Managed {
    client: Client,
    arn: String,
    cache: Mutex<Cache>,
}

/// Wall-clock times, for Lambda freezes the process between invocations and monotonic clocks may stand still.
#[derive(Debug, Default)]
struct Cache {
    secrets: Vec<Secret>,
    fetched: Option<SystemTime>,
    refetched: Option<SystemTime>,
    /// When the last fetch for a delivery that found the cache stale failed, if it did.
    failed: Option<SystemTime>,
    /// Whether the last fetch failed, wholly or in part, so that nobody knows whether these are the right secrets.
    is_in_doubt: bool,
}

impl Secrets {
    /// Secrets from where the configuration says.
    #[must_use]
    pub fn new(sdk: &SdkConfig, source: SecretSource) -> Self {
        Self(match source {
            SecretSource::Fixed(secret) => Kind::Fixed(secret),
            SecretSource::SecretsManager { arn } => {
                let config = Builder::from(sdk).retry_partition(sdk::retry_partition()).build();
                Kind::Managed(Managed { client: Client::from_conf(config), arn, cache: Mutex::default() })
            }
        })
    }

    /// Fetches the secret at INIT, by `until`, so that the first delivery need not.
    ///
    /// # Errors
    /// [`SecretError::Missing`] and [`SecretError::Unusable`]. That Secrets Manager cannot be reached is no mistake in
    /// the configuration; the first delivery tries again.
    pub async fn warm(&self, until: Instant) -> Result<(), SecretError> {
        let Kind::Managed(managed) = &self.0 else { return Ok(()) };
        match managed.fetch(&mut *managed.cache.lock().await, SystemTime::now(), until).await {
            Err(error @ SecretError::Unavailable(_)) => {
                tracing::warn!("the secret could not be fetched at start-up; the first delivery tries again: {error}");
                Ok(())
            }
            other => other,
        }
    }

    /// The signature of `body` under the secret in force: for the signing helper.
    ///
    /// # Errors
    /// [`SecretError`] when the secret cannot be had.
    pub async fn sign(&self, body: &[u8]) -> Result<Signature, SecretError> {
        match &self.0 {
            Kind::Fixed(secret) => Ok(secret.sign(body)),
            Kind::Managed(managed) => {
                Ok(managed.version("AWSCURRENT", Instant::now() + SIGNING_TIME).await?.sign(body))
            }
        }
    }

    /// Checks the signature of `body` and fails by `until`. `None` when it does not hold.
    ///
    /// # Errors
    /// [`SecretError`] when the secrets that are at hand are not known to be the right ones.
    pub async fn verify<'a>(
        &self,
        body: &'a [u8],
        signature: &Signature,
        until: Instant,
    ) -> Result<Option<Verified<'a>>, SecretError> {
        match &self.0 {
            Kind::Fixed(secret) => Ok(verify(body, signature, std::slice::from_ref(secret))),
            Kind::Managed(managed) => managed.verify(body, signature, leave_time_to_store(until)).await,
        }
    }
}

impl Managed {
    async fn verify<'a>(
        &self,
        body: &'a [u8],
        signature: &Signature,
        until: Instant,
    ) -> Result<Option<Verified<'a>>, SecretError> {
        let mut cache = timeout_at(until, self.cache.lock()).await.map_err(|_| out_of_time())?;
        let now = SystemTime::now();
        let is_stale = !cache.is_fresh(now);
        if is_stale {
            if is_within(cache.failed, now, FAILURE_PAUSE) {
                return Err(SecretError::Unavailable("the last attempt failed a moment ago".to_owned()));
            }
            let fetched = self.fetch(&mut cache, now, until).await;
            // The end of it, for waiting in vain takes longer than the pause.
            cache.failed = fetched.is_err().then(SystemTime::now);
            fetched?;
        }
        if let Some(verified) = verify(body, signature, &cache.secrets) {
            return Ok(Some(verified));
        }
        // The secret may have been rotated since it was fetched.
        if !is_stale && cache.may_refetch(now) {
            cache.refetched = Some(now);
            self.fetch(&mut cache, now, until).await?;
            if let Some(verified) = verify(body, signature, &cache.secrets) {
                return Ok(Some(verified));
            }
        }
        if cache.is_in_doubt {
            return Err(SecretError::Unavailable("the last attempt failed".to_owned()));
        }
        Ok(None)
    }

    async fn fetch(&self, cache: &mut Cache, now: SystemTime, until: Instant) -> Result<(), SecretError> {
        // In doubt until the answers are there, also when the time runs out while waiting for them.
        cache.is_in_doubt = true;
        // One after the other on one connection: a second would cost a start another handshake.
        let mut secrets = vec![self.version("AWSCURRENT", until).await?];
        let mut is_in_doubt = false;
        match self.version("AWSPREVIOUS", until).await {
            Ok(previous) => secrets.push(previous),
            Err(SecretError::Missing(_)) => {}
            Err(SecretError::Unusable(problem)) => {
                tracing::warn!("the secret's previous version is not used: {problem}");
            }
            Err(unavailable) => {
                tracing::warn!("the secret's previous version is not at hand: {unavailable}");
                is_in_doubt = true;
            }
        }
        *cache = Cache { secrets, fetched: Some(now), is_in_doubt, ..*cache };
        Ok(())
    }

    /// The version with this staging label, or a failure by `until`.
    async fn version(&self, stage: &str, until: Instant) -> Result<Secret, SecretError> {
        let Patience { timeouts, retries } = Patience::until(until, 0).ok_or_else(out_of_time)?;
        let get = self
            .client
            .get_secret_value()
            .secret_id(&self.arn)
            .version_stage(stage)
            .customize()
            .config_override(Builder::new().timeout_config(timeouts).retry_config(retries));
        let output = match timeout_at(until, get.send()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) if is_missing(&error) => return Err(SecretError::Missing(sdk::told_by_service(&error))),
            Ok(Err(error)) => return Err(SecretError::Unavailable(sdk::told_by_service(&error))),
            Err(_) => return Err(out_of_time()),
        };
        let text = output
            .secret_string()
            .ok_or_else(|| SecretError::Unusable("binary, expected a plain string".to_owned()))?;
        Secret::new(text).map_err(|error| SecretError::Unusable(error.to_string()))
    }
}

impl Cache {
    fn is_fresh(&self, now: SystemTime) -> bool {
        is_within(self.fetched, now, CACHED_FOR)
    }

    fn may_refetch(&self, now: SystemTime) -> bool {
        !is_within(self.refetched, now, REFETCH_PAUSE)
    }
}

/// The moment until which a delivery waits for the secret: half of its time, so that what verifies can still be stored.
fn leave_time_to_store(until: Instant) -> Instant {
    let now = Instant::now();
    now + (until.saturating_duration_since(now) / 2).min(MOST_WAIT)
}

/// Whether `then` lies less than `span` before `now`; a clock that was set back makes it false.
fn is_within(then: Option<SystemTime>, now: SystemTime, span: Duration) -> bool {
    then.is_some_and(|then| now.duration_since(then).is_ok_and(|age| age < span))
}

fn out_of_time() -> SecretError {
    SecretError::Unavailable("no answer in the time that was left for it".to_owned())
}

fn is_missing(error: &SdkError<GetSecretValueError>) -> bool {
    error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_lives_ten_minutes_and_refetches_once_a_minute() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        let cache = Cache { fetched: Some(start), refetched: Some(start), ..Cache::default() };
        for (seconds, is_fresh, may_refetch) in
            [(0, true, false), (59, true, false), (60, true, true), (599, true, true), (600, false, true)]
        {
            let now = start + Duration::from_secs(seconds);
            assert_eq!((cache.is_fresh(now), cache.may_refetch(now)), (is_fresh, may_refetch), "after {seconds} s");
        }
        let before = start - Duration::from_secs(1);
        assert_eq!((cache.is_fresh(before), cache.may_refetch(before)), (false, true), "a clock that was set back");
        assert_eq!((Cache::default().is_fresh(start), Cache::default().may_refetch(start)), (false, true));
    }
}
