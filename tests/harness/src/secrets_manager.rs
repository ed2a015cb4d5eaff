//! Secrets Manager over AWS JSON 1.1: `GetSecretValue` of one secret.

use std::{
    future::pending,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use data_encoding::BASE64;
use http::Request;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{
    fault::{ErrorReplies, Faults},
    front::Front,
    server::{LOOPBACK, Reply, error_reply, header, is_signed, json_reply, reply, unique_id},
};

/// The name of the secret.
pub const NAME: &str = "tracebit-lake/webhook";
/// The ARN of the secret.
pub const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:tracebit-lake/webhook-AbCdEf";

/// A Secrets Manager on loopback. Its secret has no value until a test sets one. Dropping it closes its port.
pub struct SecretsManager {
    secret: Arc<StagedSecret>,
    front: Front,
}

impl SecretsManager {
    /// Starts on a free port.
    pub async fn start() -> Self {
        let secret = Arc::<StagedSecret>::default();
        let front = Front::start(LOOPBACK, Arc::clone(&secret), StagedSecret::answer).await;
        Self { secret, front }
    }

    /// Sets the secret's `AWSCURRENT` and `AWSPREVIOUS`.
    pub fn set(&self, current: &str, previous: Option<&str>) {
        self.secret.versions(|v| {
            v.current = Some(Version::of("SecretString", current));
            v.previous = previous.map(|text| Version::of("SecretString", text));
        });
    }

    /// Sets the secret to a binary value without a previous version.
    pub fn set_binary(&self, current: &[u8]) {
        self.secret.versions(|v| {
            v.current = Some(Version::of("SecretBinary", &BASE64.encode(current)));
            v.previous = None;
        });
    }

    /// Makes this the current version, and the current one the previous.
    pub fn rotate(&self, new: &str) {
        self.secret.versions(|v| {
            v.previous = v.current.replace(Version::of("SecretString", new));
        });
    }

    /// Lets every further request for the previous version hang.
    pub fn withhold_previous(&self) {
        self.secret.versions(|v| v.withholds_previous = true);
    }

    /// How many `GetSecretValue` calls have arrived.
    pub fn requests(&self) -> usize {
        self.secret.versions(|v| v.requests)
    }
}

impl Deref for SecretsManager {
    type Target = Front;

    fn deref(&self) -> &Front {
        &self.front
    }
}

#[derive(Default)]
struct StagedSecret {
    versions: Mutex<Versions>,
}

#[derive(Default)]
struct Versions {
    current: Option<Version>,
    previous: Option<Version>,
    withholds_previous: bool,
    requests: usize,
}

#[derive(Clone)]
struct Version {
    id: String,
    /// The member of the reply that carries the value.
    member: &'static str,
    value: String,
}

impl Version {
    fn of(member: &'static str, value: &str) -> Self {
        Self { id: unique_id(), member, value: value.to_owned() }
    }
}

/// Its replies have no checksum, so a body that is cut short replaces the wrong one.
const ERRORS: ErrorReplies =
    ErrorReplies { error: error_reply, wrong_checksum: || reply(200, "application/x-amz-json-1.1", "{\"ARN\":") };

impl StagedSecret {
    async fn answer(self: Arc<Self>, faults: Arc<Faults>, request: Request<Incoming>) -> Option<Reply> {
        if header(&request, "x-amz-target") != "secretsmanager.GetSecretValue" {
            return Some(error_reply(400, "UnknownOperationException"));
        }
        self.versions(|v| v.requests += 1);
        faults.apply(request, &ERRORS, async |request| Some(self.get(&request).await)).await
    }

    async fn get(&self, request: &Request<Bytes>) -> Reply {
        if !is_signed(request) {
            return error_reply(400, "UnrecognizedClientException");
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let known = [ARN, NAME].map(Some).contains(&body["SecretId"].as_str());
        let stage = body["VersionStage"].as_str().unwrap_or("AWSCURRENT");
        if stage == "AWSPREVIOUS" && self.versions(|v| v.withholds_previous) {
            pending::<()>().await;
        }
        let version = self.versions(|v| match stage {
            "AWSCURRENT" => v.current.clone(),
            "AWSPREVIOUS" => v.previous.clone(),
            _ => None,
        });
        let Some(version) = version.filter(|_| known) else {
            return error_reply(400, "ResourceNotFoundException");
        };
        let mut found = json!({
            "ARN": ARN,
            "Name": NAME,
            "VersionId": version.id,
            "VersionStages": [stage],
            "CreatedDate": 1_767_225_600.0,
        });
        found[version.member] = version.value.into();
        json_reply(200, &found)
    }

    fn versions<T>(&self, act: impl FnOnce(&mut Versions) -> T) -> T {
        act(&mut self.versions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_secretsmanager::{
        Client,
        config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
        error::ProvideErrorMetadata,
    };

    use super::*;
    use crate::{
        Fault,
        s3::{ACCESS_KEY, SECRET_KEY},
    };

    /// The secret's text at a stage, or the error's code.
    async fn get(manager: &SecretsManager, stage: &str) -> Result<String, String> {
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
            .endpoint_url(manager.endpoint())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new("us-east-1"))
            .retry_config(RetryConfig::disabled());
        let request = Client::from_conf(config.build()).get_secret_value();
        match request.secret_id(ARN).version_stage(stage).send().await {
            Ok(found) => Ok(match found.secret_binary() {
                Some(blob) => String::from_utf8(blob.as_ref().to_vec()).unwrap(),
                None => found.secret_string().unwrap().to_owned(),
            }),
            Err(error) => Err(error.code().unwrap_or_default().to_owned()),
        }
    }

    #[tokio::test]
    async fn a_secret_rotates_and_fails() {
        let manager = SecretsManager::start().await;
        let missing = Err("ResourceNotFoundException".to_owned());
        assert_eq!(get(&manager, "AWSCURRENT").await, missing);
        manager.set("one", None);
        assert_eq!(get(&manager, "AWSPREVIOUS").await, missing);
        manager.rotate("two");
        assert_eq!(get(&manager, "AWSCURRENT").await.unwrap(), "two");
        assert_eq!(get(&manager, "AWSPREVIOUS").await.unwrap(), "one");
        manager.set_binary(b"three");
        assert_eq!(get(&manager, "AWSCURRENT").await.unwrap(), "three");

        let (status, code) = (400, "ThrottlingException");
        manager.fail_always(Fault::Status { status, code });
        assert_eq!(get(&manager, "AWSCURRENT").await.unwrap_err(), code);
        manager.heal();
        assert!(get(&manager, "AWSCURRENT").await.is_ok());
        assert_eq!(manager.requests(), 7);
    }
}
