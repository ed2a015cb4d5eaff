//! Secrets Manager's `GetSecretValue` over AWS JSON 1.1, for one secret.

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use data_encoding::BASE64;
use http::Request;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{
    fault::{Excuses, Fault, Faults},
    json_service::{header, is_signed, json_reply, refuse},
    server::{LOOPBACK, Reply, Server, reply, unique_id},
};

/// The name of the secret.
pub const NAME: &str = "tracebit-lake/webhook";
/// The ARN of the secret.
pub const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:tracebit-lake/webhook-AbCdEf";

/// A Secrets Manager in this process. Its secret has no value until one is set.
pub struct SecretsManager {
    store: Arc<Store>,
    server: Server,
}

impl SecretsManager {
    /// Starts on a free port.
    pub async fn start() -> Self {
        let store = Arc::<Store>::default();
        let shared = Arc::clone(&store);
        let server = Server::start(LOOPBACK, move |request| Arc::clone(&shared).answer(request)).await;
        Self { store, server }
    }

    /// The URL to point an SDK at.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// Sets the secret's `AWSCURRENT` and `AWSPREVIOUS`.
    pub fn set(&self, current: &str, previous: Option<&str>) {
        self.store.versions(|v| {
            v.current = Some(Version::of("SecretString", current));
            v.previous = previous.map(|text| Version::of("SecretString", text));
        });
    }

    /// Makes the secret binary, with no previous version.
    pub fn set_binary(&self, current: &[u8]) {
        self.store.versions(|v| {
            v.current = Some(Version::of("SecretBinary", &BASE64.encode(current)));
            v.previous = None;
        });
    }

    /// Makes this the current version, and the current one the previous.
    pub fn rotate(&self, new: &str) {
        self.store.versions(|v| {
            v.previous = v.current.replace(Version::of("SecretString", new));
        });
    }

    /// Leaves every request for the previous version without an answer from here on.
    pub fn withhold_previous(&self) {
        self.store.versions(|v| v.withholds_previous = true);
    }

    /// Fails the next `n` calls, after those already due to fail.
    pub fn fail_next(&self, n: usize, fault: Fault) {
        self.store.faults.fail_next(n, fault);
    }

    /// Fails every call from here on, or none.
    pub fn fail(&self, fault: Option<Fault>) {
        self.store.faults.heal();
        if let Some(fault) = fault {
            self.store.faults.fail_always(fault);
        }
    }

    /// How many `GetSecretValue` calls have arrived.
    pub fn requests(&self) -> usize {
        self.store.versions(|v| v.requests)
    }

    /// How many requests met a fault so far.
    pub fn faults(&self) -> usize {
        self.store.faults.met()
    }

    /// Closes all connections; from then on the endpoint refuses them.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Serves again.
    pub fn resume(&self) {
        self.server.resume();
    }
}

#[derive(Default)]
struct Store {
    versions: Mutex<Versions>,
    faults: Faults,
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
    /// Which member of the answer carries the value.
    member: &'static str,
    value: String,
}

impl Version {
    fn of(member: &'static str, value: &str) -> Self {
        Self { id: unique_id(), member, value: value.to_owned() }
    }
}

/// Its answers have no checksum: one that is no JSON has to do.
const EXCUSES: Excuses = Excuses { refusal: refuse, mistake: || reply(200, "application/x-amz-json-1.1", "{\"ARN\":") };

impl Store {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Option<Reply> {
        if header(&request, "x-amz-target") != "secretsmanager.GetSecretValue" {
            return Some(refuse(400, "UnknownOperationException"));
        }
        self.versions(|v| v.requests += 1);
        self.faults.apply(request, &EXCUSES, async |request| Some(self.get(&request).await)).await
    }

    async fn get(&self, request: &Request<Bytes>) -> Reply {
        if !is_signed(request) {
            return refuse(400, "UnrecognizedClientException");
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
            return refuse(400, "ResourceNotFoundException");
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
    use crate::s3::{ACCESS_KEY, SECRET_KEY};

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
        manager.fail(Some(Fault::Status { status, code }));
        assert_eq!(get(&manager, "AWSCURRENT").await.unwrap_err(), code);
        manager.fail(None);
        assert!(get(&manager, "AWSCURRENT").await.is_ok());
        assert_eq!(manager.requests(), 7);
    }
}
