//! A lake to deliver to, and a look at its contents.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use tracebit_lake_harness::{
    function_url,
    runtime_api::{Function, InvocationResult, Response},
    s3::S3,
};

use super::{BUCKET, JSON, secrets_manager_env, signed_event, start_function, start_s3};

/// The default deadline of an invocation: longer than any invocation here should take.
const DEADLINE: Duration = Duration::from_secs(30);

/// An instance of the webhook function, with an S3 server of its own.
pub(crate) struct TestLake {
    pub(crate) s3: S3,
    pub(crate) function: Function,
}

impl TestLake {
    /// A lake with the usual environment.
    pub(crate) async fn start() -> Self {
        Self::with_env(&[]).await
    }

    /// A lake whose function gets these environment variables too; they override the usual ones.
    pub(crate) async fn with_env(env: &[(&str, &str)]) -> Self {
        Self::on(start_s3().await, env).await
    }

    /// The same, on this S3 server.
    pub(crate) async fn on(s3: S3, env: &[(&str, &str)]) -> Self {
        let function = start_function(&s3, env).await;
        function.ready().await.unwrap_or_else(|output| panic!("{output}"));
        Self { s3, function }
    }

    /// A lake whose function reads its secret from Secrets Manager.
    pub(crate) async fn with_secrets_manager(endpoint: &str) -> Self {
        Self::with_env(&secrets_manager_env(endpoint)).await
    }

    /// Another instance of the function on the same bucket, as Lambda starts one under load.
    pub(crate) async fn another_instance(&self) -> Function {
        let function = start_function(&self.s3, &[]).await;
        function.ready().await.unwrap_or_else(|output| panic!("{output}"));
        function
    }

    /// Sends `body` as Tracebit does, with a good signature.
    pub(crate) async fn deliver(&self, body: impl AsRef<[u8]>) -> Response {
        self.deliver_with(&[JSON], body).await
    }

    /// Sends `body` with these headers and a good signature.
    pub(crate) async fn deliver_with(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Response {
        self.invoke(&signed_event(headers, body.as_ref())).await
    }

    /// Sends `body` with these headers alone.
    pub(crate) async fn post(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Response {
        self.invoke(&function_url::event("POST", headers, body.as_ref())).await
    }

    /// Sends `body` with these headers alone; the function must answer before the deadline.
    pub(crate) async fn post_within(
        &self,
        deadline: Duration,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Response {
        self.invoke_within(deadline, &function_url::event("POST", headers, body.as_ref())).await
    }

    /// Sends `body` with a good signature; the function must answer before the deadline.
    pub(crate) async fn deliver_within(&self, deadline: Duration, body: impl AsRef<[u8]>) -> Response {
        self.invoke_within(deadline, &signed_event(&[JSON], body.as_ref())).await
    }

    /// The answer to an event.
    pub(crate) async fn invoke(&self, event: &Value) -> Response {
        self.invoke_within(DEADLINE, event).await
    }

    /// The answer to an event, which must come before the deadline.
    pub(crate) async fn invoke_within(&self, deadline: Duration, event: &Value) -> Response {
        let sent = Instant::now();
        let response = self.function.invoke_within(event, deadline).await.response();
        assert!(sent.elapsed() < deadline, "the answer came after the deadline: {response:?}");
        response
    }

    /// The error that the function reports for an event that is not a request.
    pub(crate) async fn invocation_error(&self, event: &Value) -> String {
        match self.function.invoke(event).await {
            InvocationResult::Error(error) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// Every object, by key.
    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.s3.objects(BUCKET)
    }

    /// Every key, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.objects().into_keys().collect()
    }

    /// The key of the only object.
    pub(crate) fn key(&self) -> String {
        let [key] = self.keys().try_into().unwrap_or_else(|keys| panic!("expected one object: {keys:?}"));
        key
    }

    /// The lines of a table, in the order of their objects' keys.
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
        let [record] = self.records(table).try_into().unwrap_or_else(|all| panic!("expected one record: {all:?}"));
        record
    }

    /// The peak memory of the function in bytes, or 0 where the system is not Linux.
    pub(crate) fn peak_memory(&self) -> usize {
        peak_memory(self.function.pid())
    }
}

/// The most memory that a process had at any time, in bytes. Zero where the system is not Linux.
pub(crate) fn peak_memory(pid: u32) -> usize {
    if !cfg!(target_os = "linux") {
        return 0;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}
