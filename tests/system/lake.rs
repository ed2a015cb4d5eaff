//! What the tests share: a lake to deliver to, and a look at what it stored.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tracebit_lake::signature::Secret;
use tracebit_lake_harness::{
    function_url,
    runtime_api::{Function, Invocation, Response},
    s3::S3,
    secrets_manager,
};

/// The function as it is deployed.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tracebit-lake");
/// The bucket behind every lake here.
pub(crate) const BUCKET: &str = "lake";
/// The secret that a lake has unless its test says otherwise.
pub(crate) const SECRET: &str = "secret-of-the-system-tests";
/// The header that carries the signature, as Tracebit writes it.
pub(crate) const SIGNATURE: &str = "X-Tracebit-Signature-256";
/// What Tracebit's requests have beside the signature.
pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");
/// How long an invocation may take unless its test says otherwise: longer than anything here should.
const DEADLINE: Duration = Duration::from_secs(30);

/// The function with an S3 of its own.
pub(crate) struct Lake {
    pub(crate) s3: S3,
    pub(crate) function: Function,
}

impl Lake {
    /// A lake as most tests want it.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A lake whose function has these environment variables beside, or in place of, the usual ones.
    pub(crate) async fn with(env: &[(&str, &str)]) -> Self {
        Self::on(bucket().await, env).await
    }

    /// The same, on this S3.
    pub(crate) async fn on(s3: S3, env: &[(&str, &str)]) -> Self {
        let function = function(&s3, env).await;
        function.ready().await.unwrap_or_else(|output| panic!("{output}"));
        Self { s3, function }
    }

    /// A lake whose secret is Secrets Manager's.
    pub(crate) async fn with_secrets_manager(endpoint: &str) -> Self {
        Self::with(&secrets_manager_env(endpoint)).await
    }

    /// Another instance of the function on the same bucket, as Lambda starts them under load.
    pub(crate) async fn another_instance(&self) -> Function {
        let function = function(&self.s3, &[]).await;
        function.ready().await.unwrap_or_else(|output| panic!("{output}"));
        function
    }

    /// Sends `body` as Tracebit does, with a good signature.
    pub(crate) async fn deliver(&self, body: impl AsRef<[u8]>) -> Response {
        self.deliver_with(&[JSON], body).await
    }

    /// Sends `body` under these headers and a good signature.
    pub(crate) async fn deliver_with(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Response {
        self.invoke(&signed_event(headers, body.as_ref())).await
    }

    /// Sends `body` under these headers alone.
    pub(crate) async fn post(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Response {
        self.invoke(&function_url::event("POST", headers, body.as_ref())).await
    }

    /// Sends `body` under these headers alone to a function that has this long to answer, and must.
    pub(crate) async fn post_by(
        &self,
        deadline: Duration,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Response {
        self.invoke_by(deadline, &function_url::event("POST", headers, body.as_ref())).await
    }

    /// Sends `body` with a good signature to a function that has this long to answer, and must.
    pub(crate) async fn deliver_by(&self, deadline: Duration, body: impl AsRef<[u8]>) -> Response {
        self.invoke_by(deadline, &signed_event(&[JSON], body.as_ref())).await
    }

    /// The answer to an event.
    pub(crate) async fn invoke(&self, event: &Value) -> Response {
        self.invoke_by(DEADLINE, event).await
    }

    /// The answer to an event, within this long.
    pub(crate) async fn invoke_by(&self, deadline: Duration, event: &Value) -> Response {
        let sent = Instant::now();
        let response = self.function.invoke_within(event, deadline).await.response();
        assert!(sent.elapsed() < deadline, "the answer came after the deadline: {response:?}");
        response
    }

    /// The error that the function reports for an event that is no request.
    pub(crate) async fn error_of(&self, event: &Value) -> String {
        match self.function.invoke(event).await {
            Invocation::Error(error) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// Every object, by key.
    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.s3.objects(BUCKET)
    }

    /// Every object's key, in order.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.objects().into_keys().collect()
    }

    /// The key of the only object.
    pub(crate) fn key(&self) -> String {
        let [key] = self.keys().try_into().unwrap_or_else(|keys| panic!("not one object: {keys:?}"));
        key
    }

    /// The lines of a table, as text, in the order of their objects' keys.
    pub(crate) fn lines(&self, table: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for (key, body) in self.objects() {
            if key.starts_with(&format!("{table}/")) {
                let text = String::from_utf8(body).unwrap();
                assert!(text.ends_with('\n'), "{key} does not end with a newline: {text}");
                lines.extend(text.lines().map(str::to_owned));
            }
        }
        lines
    }

    /// The records of a table.
    pub(crate) fn records(&self, table: &str) -> Vec<Value> {
        self.lines(table).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only record of a table.
    pub(crate) fn record(&self, table: &str) -> Value {
        let [record] = self.records(table).try_into().unwrap_or_else(|all| panic!("not one record: {all:?}"));
        record
    }

    /// The most memory that the function has had so far, in bytes; told on Linux alone, and 0 elsewhere.
    pub(crate) fn peak_memory(&self) -> usize {
        if !cfg!(target_os = "linux") {
            return 0;
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.function.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }
}

/// An S3 with the bucket.
pub(crate) async fn bucket() -> S3 {
    let s3 = S3::start().await;
    s3.create_bucket(BUCKET);
    s3
}

/// The function in front of `s3`, perhaps not ready yet; `env` wins over what a lake has otherwise.
pub(crate) async fn function(s3: &S3, env: &[(&str, &str)]) -> Function {
    let endpoint = s3.endpoint();
    let all = [&env_of(&endpoint)[..], env].concat();
    Function::start(BINARY, &all).await
}

/// What a lake's functions are told of an S3.
pub(crate) fn env_of(s3_endpoint: &str) -> [(&'static str, &str); 3] {
    [("LAKE_BUCKET", BUCKET), ("TRACEBIT_SECRET", SECRET), ("AWS_ENDPOINT_URL_S3", s3_endpoint)]
}

/// What makes a lake use the harness's Secrets Manager.
pub(crate) fn secrets_manager_env(endpoint: &str) -> [(&'static str, &str); 3] {
    [
        ("TRACEBIT_SECRET", ""),
        ("TRACEBIT_SECRET_ARN", secrets_manager::ARN),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint),
    ]
}

/// What gives a lake the harness's queue to spill into.
pub(crate) fn spill_env<'a>(endpoint: &'a str, queue_url: &'a str) -> [(&'static str, &'a str); 2] {
    [("SPILL_QUEUE_URL", queue_url), ("AWS_ENDPOINT_URL_SQS", endpoint)]
}

/// The signature of `body` under the usual secret, in hex.
pub(crate) fn sign(body: impl AsRef<[u8]>) -> String {
    sign_under(SECRET, body)
}

/// The signature of `body` under `secret`, in hex.
pub(crate) fn sign_under(secret: &str, body: impl AsRef<[u8]>) -> String {
    Secret::new(secret).unwrap().sign(body.as_ref()).to_hex()
}

/// The event of a `POST` with a good signature.
pub(crate) fn signed_event(headers: &[(&str, &str)], body: &[u8]) -> Value {
    signed_event_under(SECRET, headers, body)
}

/// The event of a `POST` with the signature that it has under `secret`.
pub(crate) fn signed_event_under(secret: &str, headers: &[(&str, &str)], body: &[u8]) -> Value {
    let signature = sign_under(secret, body);
    let headers = [headers, &[(SIGNATURE, signature.as_str())]].concat();
    function_url::event("POST", &headers, body)
}

/// What a 200 says: logs stored, duplicates, classification failures.
#[track_caller]
pub(crate) fn counts(response: &Response) -> [u64; 3] {
    assert_eq!(response.status, 200, "{response:?}");
    let body = response.json();
    let members = body.as_object().unwrap();
    assert_eq!(members.len(), 3, "{response:?}");
    ["stored", "duplicates", "failures"].map(|name| members[name].as_u64().unwrap())
}

/// Checks that the delivery is said to wait in the spill queue.
#[track_caller]
pub(crate) fn assert_queued(response: &Response) {
    assert_eq!((response.status, response.json()), (202, json!({"queued": true})), "{response:?}");
}

/// Checks that nothing was acknowledged, and that the sender is asked to come back.
#[track_caller]
pub(crate) fn assert_try_again(response: &Response) {
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.headers["retry-after"].parse::<u32>().is_ok(), "{response:?}");
    assert!(response.json()["error"].is_string(), "{response:?}");
}
