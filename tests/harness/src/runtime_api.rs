//! The Lambda Runtime API, and the function's process that asks it for work.
//!
//! As in Lambda, one process gets one invocation at a time. Unlike Lambda, a function that
//! overruns its deadline is left alive, for the test to look at; its late answer gets a 410.

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

pub use invocation::{Invocation, Response};
use process::Process;
use wire::{Offer, State};

use crate::{
    s3::{ACCESS_KEY, SECRET_KEY},
    server::{LOOPBACK, Server, unique_id},
};

/// How long a function may take to ask for its first invocation.
const START: Duration = Duration::from_secs(10);
/// How far past its deadline an invocation is still waited for.
const GRACE: Duration = Duration::from_secs(2);
/// How long the pipes must stay silent before the output counts as whole.
const QUIET: Duration = Duration::from_millis(50);
/// How long `output_with` waits for its marker.
const MARKER: Duration = Duration::from_secs(5);

/// A Lambda function: its process and the Runtime API it talks to. Killed on drop.
pub struct Function {
    process: Process,
    state: watch::Sender<State>,
    turn: Mutex<()>,
    _server: Server,
}

impl Function {
    /// Starts the binary in nothing but the environment Lambda gives, overridden by `env`.
    pub async fn start(binary: impl AsRef<Path>, env: &[(&str, &str)]) -> Self {
        let binary = binary.as_ref();
        let binary =
            binary.canonicalize().unwrap_or_else(|e| panic!("no function binary at {}: {e}", binary.display()));
        let task_root = binary.parent().expect("a file has a parent");

        let state = watch::Sender::new(State::default());
        let shared = state.clone();
        let server = Server::start(LOOPBACK, move |request| wire::answer(shared.clone(), request)).await;

        let mut command = Command::new(&binary);
        command
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
    /// All its output, when it exits, posts an init error or stays silent for 10 s instead.
    pub async fn ready(&self) -> Result<(), String> {
        let mut state = self.state.subscribe();
        let asked = async { state.wait_for(|s| s.asked || s.init_error).await.is_ok() };
        tokio::select! {
            biased;
            _ = asked => {}
            status = self.process.exited() => return Err(self.process.report(&status.to_string())),
            () = sleep(START) => return Err(self.process.report("it never asked for an event")),
        }
        if self.state.borrow().asked {
            return Ok(());
        }
        // It exits after an init error: its last words come with that.
        timeout(GRACE, self.process.exited()).await.ok();
        Err(self.process.report("it posted an init error"))
    }

    /// Hands the function an event, with 10 s to answer it.
    pub async fn invoke(&self, event: &Value) -> Invocation {
        self.invoke_within(event, Duration::from_secs(10)).await
    }

    /// Hands the function an event, with this long to answer it.
    pub async fn invoke_within(&self, event: &Value, deadline: Duration) -> Invocation {
        self.invoke_raw(&event.to_string(), deadline).await
    }

    /// Hands the function this very text as its event.
    pub async fn invoke_raw(&self, event_json: &str, deadline: Duration) -> Invocation {
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
                Some(Invocation::Exited(self.process.report(&status.to_string()))),
            () = sleep(deadline + GRACE) =>
                Some(Invocation::TimedOut(self.process.report("no answer in time"))),
        };
        let mut answer = None;
        self.state.send_modify(|s| {
            s.offer = None;
            s.running = None;
            answer = s.answer.take();
        });
        answer.or(failed).expect("an answer or a failure")
    }

    /// Everything on stdout and stderr that has been read so far.
    pub fn output(&self) -> String {
        self.process.output.borrow().clone()
    }

    /// The output once the function is idle (or gone) and its pipes have fallen silent.
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

    /// The output once it contains `marker`; panics with the output if it never does.
    pub async fn output_with(&self, marker: &str) -> String {
        let mut output = self.process.output.subscribe();
        let found = async { output.wait_for(|text| text.contains(marker)).await.is_ok() };
        let found = timeout(MARKER, found).await;
        assert!(found.is_ok(), "{}", self.process.report(&format!("never printed {marker:?}")));
        self.output()
    }

    /// Kills the process (SIGKILL) and waits for its end.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.process.pid
    }

    /// How the process ended, if it has.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.process.exit.borrow()
    }
}

/// What Lambda sets for every function (the rest depends on the start).
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
    // Keeps an SDK without credentials from looking for them off this machine.
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

    /// A function in shell: good enough to answer, to time out and to die.
    async fn function(script: &str) -> Function {
        let bootstrap = concat!(env!("CARGO_MANIFEST_DIR"), "/src/runtime_api/bootstrap.sh");
        Function::start(bootstrap, &[("SCRIPT", script)]).await
    }

    #[tokio::test]
    async fn answers_then_exits() {
        let answer = r#"{"statusCode":201,"headers":{"X-A":"b"},"body":"aGk=","isBase64Encoded":true}"#;
        let script = format!("next; echo \"$event\"; post invocation/$id/response '{answer}'; next");
        let function = function(&script).await;
        function.ready().await.unwrap();
        let response = function.invoke_raw("[1]", START).await.response();
        assert_eq!((response.status, &*response.body), (201, "hi"));
        assert_eq!(response.headers["x-a"], "b");
        assert_eq!(function.settled_output().await, "[1]\n202\n");
        let gone = function.invoke(&Value::Null).await;
        assert!(matches!(gone, Invocation::Exited(_)), "{gone:?}");
    }

    #[tokio::test]
    async fn a_hung_handler_hangs_no_test() {
        let script =
            "next; sleep 3; post invocation/$id/error '{}'; next; post invocation/$id/error '{\"errorType\":\"late\"}'";
        let mut function = function(script).await;
        let hung = function.invoke_within(&Value::Null, Duration::ZERO).await;
        assert!(matches!(hung, Invocation::TimedOut(_)), "{hung:?}");
        let next = function.invoke(&Value::Null).await;
        let Invocation::Error(error) = next else { panic!("{next:?}") };
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
    async fn dropping_it_kills_it() {
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
