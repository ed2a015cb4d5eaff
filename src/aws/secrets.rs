//! The shared secret, from the environment or from Secrets Manager.
//!
//! The versions staged `AWSCURRENT` and `AWSPREVIOUS` both verify, so that Tracebit's secret and this one need not
//! change at the same moment.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::{Client, config::Builder};
use tokio::sync::Mutex;

use super::{
    call::{CallError, call},
    client::retry_partition,
    deadline::Deadline,
    https::Token,
};
use crate::core::{
    rotation::{Rotation, SecretError, Version},
    signature::{Secret, Signature, SignatureError, Verified, verify},
};

const OPERATION: &str = "GetSecretValue";

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

/// A verified delivery, and how well the secret is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Authorized<'a> {
    /// The body.
    pub(crate) body: Verified<'a>,
    /// Its signature.
    pub(crate) signature: Signature,
    /// Whether the secret is stale because it could not be read again.
    pub(crate) has_stale_secret: bool,
    /// Whether it is signed with an earlier secret than the current one, as far as this instance knows. After a
    /// rotation the old secret counts as the current one, until the secrets are fetched again.
    pub(crate) has_earlier_secret: bool,
}

/// Why a delivery is not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// The signature is missing, malformed or wrong.
    #[error(transparent)]
    Unauthorized(#[from] SignatureError),
    /// The signature matches no known secret, and it is too early to look for a new one.
    #[error("the signature matches no known secret, which was read a moment ago")]
    TooSoon,
    /// The secret is not known, so nobody knows whether the signature is right.
    #[error(transparent)]
    SecretUnavailable(#[from] SecretError),
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
                let config = Builder::from(sdk).retry_partition(retry_partition()).build();
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

    /// Fetches the secret at INIT, so that the first delivery need not wait for it, and says what is odd about it.
    ///
    /// # Errors
    /// [`SecretError::Missing`] and [`SecretError::Unusable`], because the configuration is wrong then. If Secrets
    /// Manager cannot be reached, the first delivery tries again.
    pub async fn warm(&self, deadline: Deadline) -> Result<(), SecretError> {
        let managed = match &self.0 {
            Kind::Fixed(secret) => {
                warn_if_odd(std::slice::from_ref(secret));
                return Ok(());
            }
            Kind::Managed(managed) => managed,
        };
        let mut rotation = managed.rotation.lock().await;
        match managed.fetch_at_start(&mut rotation, deadline).await {
            Ok(()) => {
                warn_if_odd(rotation.secrets((managed.clock)()));
                Ok(())
            }
            Err(error @ SecretError::Unavailable(_)) => {
                rotation.forget_failure();
                tracing::warn!("cannot fetch the shared secret at start-up; the first delivery tries again: {error}");
                Ok(())
            }
            Err(error) => Err(error),
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
                Version::Unread => Err(unavailable("was not sent")),
            },
        }
    }

    /// Verifies the signature of `body`, within the secret's share of the time until the deadline.
    ///
    /// # Errors
    /// [`Refused`] if the signature is not right, or nobody knows.
    pub(crate) async fn verify<'a>(
        &self,
        body: &'a [u8],
        signature: Result<Signature, SignatureError>,
        deadline: Deadline,
    ) -> Result<Authorized<'a>, Refused> {
        let signature = signature?;
        match &self.0 {
            Kind::Fixed(secret) => {
                let body = verify(body, &signature, std::slice::from_ref(secret)).ok_or(SignatureError::Mismatch)?;
                Ok(Authorized { body, signature, has_stale_secret: false, has_earlier_secret: false })
            }
            Kind::Managed(managed) => managed.verify(body, signature, deadline.for_secret()).await,
        }
    }
}

/// Where the token for Tracebit's API comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// `TRACEBIT_API_TOKEN`: local runs and tests.
    Fixed(Token),
    /// `TRACEBIT_API_TOKEN_ARN`: a secret in Secrets Manager.
    SecretsManager {
        /// The secret's ARN.
        arn: String,
    },
}

/// The token for Tracebit's API.
#[derive(Debug)]
pub struct Tokens {
    client: Client,
    source: TokenSource,
}

impl Tokens {
    /// The token of this source.
    #[must_use]
    pub fn new(sdk: &SdkConfig, source: TokenSource) -> Self {
        let config = Builder::from(sdk).retry_partition(retry_partition()).build();
        Self { client: Client::from_conf(config), source }
    }

    /// The token as it is now.
    ///
    /// # Errors
    /// [`CallError`] if Secrets Manager does not have it, or it is no token.
    pub async fn get(&self, deadline: Deadline) -> Result<Token, CallError> {
        let arn = match &self.source {
            TokenSource::Fixed(token) => return Ok(token.clone()),
            TokenSource::SecretsManager { arn } => arn,
        };
        let get = self.client.get_secret_value().secret_id(arn);
        let output = call(OPERATION, deadline, 0, |attempts| get.customize().interceptor(attempts).send()).await?;
        let token = Token::new(output.secret_string().unwrap_or_default());
        token.map_err(|error| CallError::of_answer(OPERATION, &error.to_string()))
    }
}

impl Managed {
    async fn verify<'a>(
        &self,
        body: &'a [u8],
        signature: Signature,
        deadline: Deadline,
    ) -> Result<Authorized<'a>, Refused> {
        let mut rotation = deadline.bound(self.rotation.lock()).await.ok_or_else(out_of_time)?;
        let now = (self.clock)();
        let check = |rotation: &Rotation| {
            // Not the time above, because a fetch takes time, and secrets from the future count as unknown.
            let now = (self.clock)();
            // The current secret is the first.
            let mut secrets = rotation.secrets(now).chunks(1).enumerate();
            let (place, body) = secrets.find_map(|(place, one)| Some((place, verify(body, &signature, one)?)))?;
            let has_stale_secret = rotation.is_stale(now);
            Some(Authorized { body, signature, has_stale_secret, has_earlier_secret: place > 0 })
        };
        let must_fetch = rotation.must_fetch(now);
        if must_fetch {
            self.refresh(&mut rotation, deadline).await?;
        } else if rotation.secrets(now).is_empty() {
            return Err(unavailable("failed a moment ago").into());
        }
        if let Some(authorized) = check(&rotation) {
            return Ok(authorized);
        }
        if !must_fetch {
            if !rotation.begin_refetch(now) {
                return Err(Refused::TooSoon);
            }
            self.fetch(&mut rotation, deadline).await?;
            if let Some(authorized) = check(&rotation) {
                return Ok(authorized);
            }
            rotation.begin_pause(now);
        }
        if rotation.is_in_doubt() {
            Err(unavailable("failed for one version").into())
        } else {
            Err(SignatureError::Mismatch.into())
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
            Version::Missing(_) | Version::Unavailable(_) | Version::Unread => Version::Missing(String::new()),
        };
        // The pause after a failure begins when the call ends.
        rotation.update(current, previous, (self.clock)())
    }

    /// Reads the current version alone, because most deliveries are signed with it. The previous one is read when a
    /// signature does not verify, or if the current one cannot be used.
    async fn fetch_at_start(&self, rotation: &mut Rotation, deadline: Deadline) -> Result<(), SecretError> {
        let current = self.version("AWSCURRENT", deadline).await;
        let previous = match current {
            Version::Unusable(_) => self.version("AWSPREVIOUS", deadline).await,
            _ => Version::Unread,
        };
        rotation.update(current, previous, (self.clock)())
    }

    /// The version with this staging label.
    async fn version(&self, stage: &str, deadline: Deadline) -> Version {
        let get = self.client.get_secret_value().secret_id(&self.arn).version_stage(stage);
        match call(OPERATION, deadline, 0, |attempts| get.customize().interceptor(attempts).send()).await {
            Ok(output) => match output.secret_string() {
                Some(text) => usable(text),
                None => Version::Unusable("it is binary, expected a plain string".to_owned()),
            },
            Err(error) if error.code() == Some("ResourceNotFoundException") => Version::Missing(error.to_string()),
            Err(error) => Version::Unavailable(error.to_string()),
        }
    }
}

/// A secret that was copied with something around it refuses every delivery, and nothing else would say why.
fn warn_if_odd(secrets: &[Secret]) {
    if let Some(oddity) = secrets.iter().find_map(Secret::oddity) {
        tracing::warn!("the shared secret looks wrong: {oddity}; it is used as it is");
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

fn unavailable(problem: &str) -> SecretError {
    SecretError::Unavailable(format!("{OPERATION} {problem}"))
}

fn out_of_time() -> SecretError {
    SecretError::Unavailable(CallError::out_of_time(OPERATION).to_string())
}
