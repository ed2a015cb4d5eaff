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
    sdk,
    signature::{Secret, Signature, Verified, verify},
};

/// How long fetched secrets are used.
const CACHED_FOR: Duration = Duration::from_mins(10);

/// How long after a refetch for a signature that did not verify there is no other.
const REFETCH_PAUSE: Duration = Duration::from_mins(1);

/// How long after a delivery's fetch that failed there is no other: forged requests must not keep the function waiting for a
/// Secrets Manager that is down.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);

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
    /// When a delivery that found the cache stale last had it filled.
    refilled: Option<SystemTime>,
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

    /// Fetches the secret at INIT, so that the first delivery need not. The current version will do, and takes one
    /// connection and one call: a signature that it does not verify has both fetched, as any such signature has.
    ///
    /// # Errors
    /// [`SecretError::Missing`] and [`SecretError::Unusable`]. That Secrets Manager cannot be reached is no mistake in
    /// the configuration; the first delivery tries again.
    pub async fn warm(&self) -> Result<(), SecretError> {
        let Kind::Managed(managed) = &self.0 else { return Ok(()) };
        match managed.version("AWSCURRENT").await {
            Ok(current) => {
                let fetched = Some(SystemTime::now());
                *managed.cache.lock().await = Cache { secrets: vec![current], fetched, ..Cache::default() };
                Ok(())
            }
            Err(error @ SecretError::Unavailable(_)) => {
                tracing::warn!("the secret could not be fetched at start-up; the first delivery tries again: {error}");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The signature of `body` under the secret in force: for the signing helper.
    ///
    /// # Errors
    /// [`SecretError`] when the secret cannot be had.
    pub async fn sign(&self, body: &[u8]) -> Result<Signature, SecretError> {
        match &self.0 {
            Kind::Fixed(secret) => Ok(secret.sign(body)),
            Kind::Managed(managed) => Ok(managed.version("AWSCURRENT").await?.sign(body)),
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
            Kind::Managed(managed) => timeout_at(until, managed.verify(body, signature))
                .await
                .unwrap_or_else(|_| Err(SecretError::Unavailable("no answer in the time that was left".to_owned()))),
        }
    }
}

impl Managed {
    async fn verify<'a>(&self, body: &'a [u8], signature: &Signature) -> Result<Option<Verified<'a>>, SecretError> {
        let mut cache = self.cache.lock().await;
        let now = SystemTime::now();
        let is_stale = !cache.is_fresh(now);
        if is_stale {
            if is_within(cache.refilled, now, FAILURE_PAUSE) {
                return Err(SecretError::Unavailable("the last attempt failed a moment ago".to_owned()));
            }
            cache.refilled = Some(now);
            self.fetch(&mut cache, now).await?;
        }
        if let Some(verified) = verify(body, signature, &cache.secrets) {
            return Ok(Some(verified));
        }
        // The secret may have been rotated since it was fetched.
        if !is_stale && cache.may_refetch(now) {
            cache.refetched = Some(now);
            self.fetch(&mut cache, now).await?;
            if let Some(verified) = verify(body, signature, &cache.secrets) {
                return Ok(Some(verified));
            }
        }
        if cache.is_in_doubt {
            return Err(SecretError::Unavailable("the last attempt failed".to_owned()));
        }
        Ok(None)
    }

    async fn fetch(&self, cache: &mut Cache, now: SystemTime) -> Result<(), SecretError> {
        // In doubt until the answers are there, also when the time runs out while waiting for them.
        cache.is_in_doubt = true;
        let (current, previous) = tokio::join!(self.version("AWSCURRENT"), self.version("AWSPREVIOUS"));
        let mut secrets = vec![current?];
        let mut is_in_doubt = false;
        match previous {
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

    /// The version with this staging label.
    async fn version(&self, stage: &str) -> Result<Secret, SecretError> {
        let result = self.client.get_secret_value().secret_id(&self.arn).version_stage(stage).send().await;
        let output = match result {
            Ok(output) => output,
            Err(error) if is_missing(&error) => return Err(SecretError::Missing(sdk::told_by_service(&error))),
            Err(error) => return Err(SecretError::Unavailable(sdk::told_by_service(&error))),
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

/// Whether `then` lies less than `span` before `now`; a clock that was set back makes it false.
fn is_within(then: Option<SystemTime>, now: SystemTime, span: Duration) -> bool {
    then.is_some_and(|then| now.duration_since(then).is_ok_and(|age| age < span))
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
