//! The function's process: its output, its exit status and its kill switch.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Command,
    sync::{oneshot, watch},
    time::timeout,
};

/// A process that its own task waits for. Dropping it kills the process.
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) output: watch::Sender<String>,
    /// Set once the process has exited and its pipes are read to their end.
    pub(super) exit: watch::Receiver<Option<ExitStatus>>,
    /// Dropping it kills the process.
    kill: Option<oneshot::Sender<()>>,
}

impl Process {
    pub(super) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The runtime may end before the task below sees the kill switch.
            .kill_on_drop(true)
            .spawn()
            .expect("starting the function");
        let output = watch::Sender::new(String::new());
        let out = collect(child.stdout.take().expect("a pipe"), output.clone());
        let err = collect(child.stderr.take().expect("a pipe"), output.clone());
        let pipes = tokio::spawn(async { tokio::join!(out, err) });

        let (kill, killed) = oneshot::channel::<()>();
        let (ended, exit) = watch::channel(None);
        let pid = child.id().expect("the id of a running child");
        tokio::spawn(async move {
            tokio::select! {
                _ = child.wait() => {}
                _ = killed => { child.start_kill().ok(); }
            }
            let status = child.wait().await.expect("waiting for the function");
            // Bounded, because a grandchild may keep the pipes open.
            timeout(Duration::from_secs(1), pipes).await.ok();
            ended.send_replace(Some(status));
        });
        Self { pid, output, exit, kill: Some(kill) }
    }

    pub(super) async fn exited(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        let status = exit.wait_for(Option::is_some).await;
        status.ok().and_then(|s| *s).expect("an exit status")
    }

    pub(super) async fn kill(&mut self) {
        self.kill = None;
        self.exited().await;
    }

    /// A message for a failed test: what happened, then all output.
    pub(super) fn report(&self, what: &str) -> String {
        format!("function: {what}; its output:\n{}", *self.output.borrow())
    }
}

/// Appends a pipe's lines whole, so that the two streams never mix within a line.
async fn collect(pipe: impl AsyncRead + Unpin, output: watch::Sender<String>) {
    let mut lines = BufReader::new(pipe).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        output.send_modify(|text| {
            text.push_str(&String::from_utf8_lossy(&line));
            text.push('\n');
        });
    }
}
