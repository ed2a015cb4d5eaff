//! The Lambda Runtime API, and the function's process that polls it.
//!
//! As in Lambda, a process gets one invocation at a time. Unlike in Lambda, a function that overruns its deadline stays
//! alive, so that a test can look at it; its late answer gets a 410.

mod invocation;
mod process;
mod wire;

use std::{
    path::Path,
    process::ExitStatus,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tokio::{
    process::Command,
    sync::{Mutex, watch},
    time::{sleep, timeout},
};

pub use invocation::{InvocationResult, Response};
use process::Process;
use wire::{Offer, State};

use crate::{
    s3::{ACCESS_KEY, SECRET_KEY},
    server::{LOOPBACK, Server, unique_id},
};

/// How long a function may take to ask for its first invocation.
const START: Duration = Duration::from_secs(10);
/// How long to wait past the deadline of an invocation.
const GRACE: Duration = Duration::from_secs(2);
/// How long the pipes must be silent before the output counts as complete.
const QUIET: Duration = Duration::from_millis(50);
/// How long `output_with` waits for its marker.
const MARKER: Duration = Duration::from_secs(5);

/// A Lambda function: its process and its Runtime API. Dropping it kills the process.
pub struct Function {
    process: Process,
    state: watch::Sender<State>,
    turn: Mutex<()>,
    _server: Server,
}

impl Function {
    /// Starts the binary with the environment that Lambda sets, overridden by `env`, and nothing else.
    pub async fn start(binary: impl AsRef<Path>, env: &[(&str, &str)]) -> Self {
        Self::start_with_args(binary, &[], env).await
    }

    /// The same for a binary that needs arguments to be a function.
    pub async fn start_with_args(binary: impl AsRef<Path>, args: &[&str], env: &[(&str, &str)]) -> Self {
        let binary = binary.as_ref();
        let binary =
            binary.canonicalize().unwrap_or_else(|e| panic!("no function binary at {}: {e}", binary.display()));
        let task_root = binary.parent().expect("a file has a parent");

        let state = watch::Sender::new(State::default());
        let shared = state.clone();
        let server = Server::start(LOOPBACK, move |request| wire::answer(shared.clone(), request)).await;

        let mut command = Command::new(&binary);
        command
            .args(args)
            .env_clear()
            .current_dir(task_root)
            .env("LAMBDA_TASK_ROOT", task_root)
            .env("AWS_LAMBDA_RUNTIME_API", server.addr().to_string())
            .envs(LAMBDA_ENV)
            .envs(env.iter().copied());
        Self { process: Process::spawn(command), state, turn: Mutex::default(), _server: server }
    }

    /// Waits until the process asks for its first invocation.
    ///
    /// # Errors
    ///
    /// All its output, if it exits, posts an init error or asks for nothing within 10 s.
    pub async fn ready(&self) -> Result<(), String> {
        let mut state = self.state.subscribe();
        let asked = async { state.wait_for(|s| s.asked || s.init_error).await.is_ok() };
        tokio::select! {
            biased;
            _ = asked => {}
            status = self.process.exited() => return Err(self.process.report(&status.to_string())),
            () = sleep(START) => return Err(self.process.report("it did not ask for an event")),
        }
        if self.state.borrow().asked {
            return Ok(());
        }
        // It exits after an init error, and its last output comes at its exit.
        timeout(GRACE, self.process.exited()).await.ok();
        Err(self.process.report("it posted an init error"))
    }

    /// Passes an event to the function, which has 10 s to answer.
    pub async fn invoke(&self, event: &Value) -> InvocationResult {
        self.invoke_within(event, Duration::from_secs(10)).await
    }

    /// Passes an event to the function, which has until `deadline` to answer.
    pub async fn invoke_within(&self, event: &Value, deadline: Duration) -> InvocationResult {
        self.invoke_raw(&event.to_string(), deadline).await
    }

    /// Passes this text to the function as its event, unchanged.
    pub async fn invoke_raw(&self, event_json: &str, deadline: Duration) -> InvocationResult {
        let _turn = self.turn.lock().await;
        let due = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default() + deadline;
        self.state.send_modify(|s| {
            s.running = None;
            s.answer = None;
            s.offer =
                Some(Offer { id: unique_id(), event: event_json.to_owned().into(), deadline_ms: due.as_millis() });
        });

        let mut state = self.state.subscribe();
        let answered = async { state.wait_for(|s| s.answer.is_some()).await.is_ok() };
        let failed = tokio::select! {
            biased;
            _ = answered => None,
            status = self.process.exited() =>
                Some(InvocationResult::Exited(self.process.report(&status.to_string()))),
            () = sleep(deadline + GRACE) =>
                Some(InvocationResult::TimedOut(self.process.report("no answer in time"))),
        };
        let mut answer = None;
        self.state.send_modify(|s| {
            s.offer = None;
            s.running = None;
            answer = s.answer.take();
        });
        answer.or(failed).expect("an answer or a failure")
    }

    /// All stdout and stderr read so far.
    pub fn output(&self) -> String {
        self.process.output.borrow().clone()
    }

    /// The output once the function is idle or has exited, and its pipes are silent.
    pub async fn settled_output(&self) -> String {
        let mut state = self.state.subscribe();
        let idle = async { state.wait_for(|s| s.idle).await.is_ok() };
        tokio::select! {
            _ = idle => {}
            _ = self.process.exited() => {}
            () = sleep(GRACE) => {}
        }
        let mut output = self.process.output.subscribe();
        while timeout(QUIET, output.changed()).await.is_ok() {}
        self.output()
    }

    /// The output once it contains `marker`; panics with the output if that takes more than 5 s.
    pub async fn output_with(&self, marker: &str) -> String {
        let mut output = self.process.output.subscribe();
        let found = async { output.wait_for(|text| text.contains(marker)).await.is_ok() };
        let found = timeout(MARKER, found).await;
        assert!(found.is_ok(), "{}", self.process.report(&format!("it did not print {marker:?}")));
        self.output()
    }

    /// Kills the process (SIGKILL) and waits for its exit.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid
    }

    /// The exit status, if the process has exited.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.process.exit.borrow()
    }
}

/// The variables that Lambda sets for every function; `start` adds those that depend on the process.
const LAMBDA_ENV: [(&str, &str); 18] = [
    ("AWS_LAMBDA_FUNCTION_NAME", "tracebit-lake"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
    ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
    ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/tracebit-lake"),
    ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/01/[$LATEST]0123"),
    ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
    ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
    ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
    // Keeps an SDK without credentials from asking another machine for them.
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("_HANDLER", "bootstrap"),
    ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
    ("LANG", "en_US.UTF-8"),
    ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"),
    ("TZ", ":UTC"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A function in shell that can answer, time out and exit.
    async fn function(script: &str) -> Function {
        let bootstrap = concat!(env!("CARGO_MANIFEST_DIR"), "/src/runtime_api/bootstrap.sh");
        Function::start(bootstrap, &[("SCRIPT", script)]).await
    }

    #[tokio::test]
    async fn a_function_answers_and_then_exits() {
        let answer = r#"{"statusCode":201,"headers":{"X-A":"b"},"body":"aGk=","isBase64Encoded":true}"#;
        let script = format!("next; echo \"$event\"; post invocation/$id/response '{answer}'; next");
        let function = function(&script).await;
        function.ready().await.unwrap();
        let response = function.invoke_raw("[1]", START).await.response();
        assert_eq!((response.status, &*response.body), (201, "hi"));
        assert_eq!(response.headers["x-a"], "b");
        assert_eq!(function.settled_output().await, "[1]\n202\n");
        let gone = function.invoke(&Value::Null).await;
        assert!(matches!(gone, InvocationResult::Exited(_)), "{gone:?}");
    }

    #[tokio::test]
    async fn a_hanging_handler_does_not_hang_the_test() {
        let script =
            "next; sleep 3; post invocation/$id/error '{}'; next; post invocation/$id/error '{\"errorType\":\"late\"}'";
        let mut function = function(script).await;
        let hung = function.invoke_within(&Value::Null, Duration::ZERO).await;
        assert!(matches!(hung, InvocationResult::TimedOut(_)), "{hung:?}");
        let next = function.invoke(&Value::Null).await;
        let InvocationResult::Error(error) = next else { panic!("{next:?}") };
        assert_eq!(error["errorType"], "late");
        assert!(function.output().starts_with("410\n"));
        function.kill().await;
        assert!(function.exit_status().is_some());
    }

    #[tokio::test]
    async fn an_init_error_is_not_ready() {
        let function = function("echo why >&2; post init/error '{}'; exit 3").await;
        let output = function.ready().await.unwrap_err();
        assert!(output.contains("why"), "{output}");
        assert_eq!(function.exit_status().unwrap().code(), Some(3));
    }

    #[tokio::test]
    async fn dropping_a_function_kills_its_process() {
        let function = function("next; sleep 60").await;
        function.ready().await.unwrap();
        let process = format!("/proc/{}", function.pid());
        drop(function);
        let gone = async {
            while Path::new(&process).exists() {
                sleep(QUIET).await;
            }
        };
        timeout(GRACE, gone).await.unwrap();
    }
}
