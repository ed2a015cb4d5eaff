//! The shared secret, from the environment or from Secrets Manager.
//!
//! The versions staged `AWSCURRENT` and `AWSPREVIOUS` both verify, so that Tracebit's secret and this one need not change
//! at the same moment.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::{
    Client, config::Builder, error::SdkError, operation::get_secret_value::GetSecretValueError,
};
use tokio::sync::Mutex;

use super::{
    Attempts,
    deadline::{CallPolicy, Deadline},
};
use crate::{
    aws,
    core::{
        rotation::{Rotation, SecretError, Version},
        signature::{Secret, Signature, SignatureError, Verified, verify},
    },
};

/// How long the command-line tool waits for the secret.
const SIGNING_TIME: Duration = Duration::from_secs(30);

/// Where the shared secret comes from.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// `TRACEBIT_SECRET`: local runs and tests.
    Fixed(Secret),
    /// `TRACEBIT_SECRET_ARN`: a secret in Secrets Manager.
    SecretsManager {
        /// The secret's ARN.
        arn: String,
    },
}

/// A verified body, and how well the secret is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Authorized<'a> {
    /// The body.
    pub(crate) body: Verified<'a>,
    /// Whether the secret is stale because it could not be read again.
    pub(crate) has_stale_secret: bool,
}

/// Verifies signatures.
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
    clock: fn() -> SystemTime,
    rotation: Mutex<Rotation>,
}

impl Secrets {
    /// The secrets of this source.
    #[must_use]
    pub fn new(sdk: &SdkConfig, source: SecretSource) -> Self {
        Self(match source {
            SecretSource::Fixed(secret) => Kind::Fixed(secret),
            SecretSource::SecretsManager { arn } => {
                let config = Builder::from(sdk).retry_partition(aws::retry_partition()).build();
                let client = Client::from_conf(config);
                Kind::Managed(Managed { client, arn, clock: SystemTime::now, rotation: Mutex::default() })
            }
        })
    }

    /// The same secrets, whose age this clock tells.
    pub(crate) fn with_clock(self, clock: fn() -> SystemTime) -> Self {
        Self(match self.0 {
            Kind::Managed(managed) => Kind::Managed(Managed { clock, ..managed }),
            fixed @ Kind::Fixed(_) => fixed,
        })
    }

    /// Fetches the secret at INIT, so that the first delivery need not wait for it.
    ///
    /// # Errors
    /// [`SecretError::Missing`] and [`SecretError::Unusable`], because the configuration is wrong then. If Secrets Manager
    /// cannot be reached, the first delivery tries again.
    pub async fn warm(&self, deadline: Deadline) -> Result<(), SecretError> {
        let Kind::Managed(managed) = &self.0 else { return Ok(()) };
        let mut rotation = managed.rotation.lock().await;
        match managed.fetch(&mut rotation, deadline).await {
            Err(error @ SecretError::Unavailable(_)) => {
                rotation.forget_failure();
                tracing::warn!("cannot fetch the shared secret at start-up; the first delivery tries again: {error}");
                Ok(())
            }
            other => other,
        }
    }

    /// Signs `body` with the current secret, for the command-line tool.
    ///
    /// # Errors
    /// [`SecretError`] if the secret cannot be fetched.
    pub async fn sign(&self, body: &[u8]) -> Result<Signature, SecretError> {
        match &self.0 {
            Kind::Fixed(secret) => Ok(secret.sign(body)),
            Kind::Managed(managed) => match managed.version("AWSCURRENT", Deadline::after(SIGNING_TIME)).await {
                Version::Secret(secret) => Ok(secret.sign(body)),
                Version::Missing(problem) => Err(SecretError::Missing(problem)),
                Version::Unusable(problem) => Err(SecretError::Unusable(problem)),
                Version::Unavailable(problem) => Err(SecretError::Unavailable(problem)),
            },
        }
    }

    /// Verifies the signature of `body`, within the secret's share of the time until the deadline.
    ///
    /// # Errors
    /// [`SecretError`] if nobody knows whether the signature is right, [`SignatureError`] if it is not.
    pub(crate) async fn verify<'a>(
        &self,
        body: &'a [u8],
        signature: Result<Signature, SignatureError>,
        deadline: Deadline,
    ) -> Result<Result<Authorized<'a>, SignatureError>, SecretError> {
        let signature = match signature {
            Ok(signature) => signature,
            Err(error) => return Ok(Err(error)),
        };
        let authorized = match &self.0 {
            Kind::Fixed(secret) => {
                let body = verify(body, &signature, std::slice::from_ref(secret));
                body.map(|body| Authorized { body, has_stale_secret: false })
            }
            Kind::Managed(managed) => managed.verify(body, &signature, deadline.for_secret()).await?,
        };
        Ok(authorized.ok_or(SignatureError::Mismatch))
    }
}

impl Managed {
    async fn verify<'a>(
        &self,
        body: &'a [u8],
        signature: &Signature,
        deadline: Deadline,
    ) -> Result<Option<Authorized<'a>>, SecretError> {
        let mut rotation = deadline.bound(self.rotation.lock()).await.ok_or_else(timed_out)?;
        let now = (self.clock)();
        let check = |rotation: &Rotation| {
            // Not the time above, because a fetch takes time, and secrets from the future count as unknown.
            let now = (self.clock)();
            let body = verify(body, signature, rotation.secrets(now))?;
            Some(Authorized { body, has_stale_secret: rotation.is_stale(now) })
        };
        let must_fetch = rotation.must_fetch(now);
        if must_fetch {
            self.refresh(&mut rotation, deadline).await?;
        } else if rotation.secrets(now).is_empty() {
            return Err(SecretError::Unavailable("failed a moment ago".to_owned()));
        }
        if let Some(authorized) = check(&rotation) {
            return Ok(Some(authorized));
        }
        if !must_fetch {
            if !rotation.begin_refetch(now) {
                return Err(SecretError::Withheld);
            }
            self.fetch(&mut rotation, deadline).await?;
            if let Some(authorized) = check(&rotation) {
                return Ok(Some(authorized));
            }
        }
        if rotation.is_in_doubt() {
            Err(SecretError::Unavailable("failed for one version".to_owned()))
        } else {
            Ok(None)
        }
    }

    /// Fetches stale secrets. If that fails, known ones stay good for a day.
    async fn refresh(&self, rotation: &mut Rotation, deadline: Deadline) -> Result<(), SecretError> {
        match self.fetch(rotation, deadline).await {
            Err(error) if rotation.secrets((self.clock)()).is_empty() => Err(error),
            Err(error) => {
                tracing::error!("cannot fetch the shared secret; the one that is known stays in use: {error}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn fetch(&self, rotation: &mut Rotation, deadline: Deadline) -> Result<(), SecretError> {
        // One call after the other on one connection, because a second connection would cost a start another handshake.
        let current = self.version("AWSCURRENT", deadline).await;
        let previous = match current {
            Version::Secret(_) | Version::Unusable(_) => self.version("AWSPREVIOUS", deadline).await,
            Version::Missing(_) | Version::Unavailable(_) => Version::Missing(String::new()),
        };
        // The pause after a failure begins when the call ends.
        rotation.update(current, previous, (self.clock)())
    }

    /// The version with this staging label.
    async fn version(&self, stage: &str, deadline: Deadline) -> Version {
        let attempts = Attempts::default();
        let Some(CallPolicy { timeouts, retries }) = deadline.call(0) else {
            return Version::Unavailable(attempts.timed_out());
        };
        let get = self
            .client
            .get_secret_value()
            .secret_id(&self.arn)
            .version_stage(stage)
            .customize()
            .config_override(Builder::new().timeout_config(timeouts).retry_config(retries))
            .interceptor(attempts.clone());
        match deadline.bound(get.send()).await {
            Some(Ok(output)) => match output.secret_string() {
                Some(text) => usable(text),
                None => Version::Unusable("it is binary, expected a plain string".to_owned()),
            },
            Some(Err(error)) if is_missing(&error) => Version::Missing(aws::service_error(&error)),
            Some(Err(error)) => Version::Unavailable(format!("failed: {}", aws::service_error(&error))),
            None => Version::Unavailable(attempts.timed_out()),
        }
    }
}

/// The secret in the text that Secrets Manager holds.
fn usable(text: &str) -> Version {
    if serde_json::from_str::<serde_json::Map<_, _>>(text).is_ok() {
        return Version::Unusable(
            "it is a JSON object, as the console's key/value editor makes it; in the console, edit the secret's value as \
             plaintext and leave nothing but the secret there"
                .to_owned(),
        );
    }
    match Secret::new(text) {
        Ok(secret) => Version::Secret(secret),
        Err(error) => Version::Unusable(error.to_string()),
    }
}

fn timed_out() -> SecretError {
    SecretError::Unavailable(Attempts::default().timed_out())
}

fn is_missing(error: &SdkError<GetSecretValueError>) -> bool {
    error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception)
}
