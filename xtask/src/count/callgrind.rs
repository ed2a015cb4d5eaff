//! Programs in valgrind's callgrind, and what their counts depend on.

use std::{
    env::consts::ARCH,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use tempfile::TempDir;
use tokio::time::sleep;
use tracebit_lake_harness::runtime_api::{Function, InvocationResult};

/// How long an invocation may take in valgrind on a busy machine.
const INVOCATION: Duration = Duration::from_mins(2);
/// How long a start may take.
const START: Duration = Duration::from_mins(2);
/// A process that used no CPU for so long is idle.
const QUIET: Duration = Duration::from_millis(150);

/// The clock of functions in valgrind.
const SLOW_CLOCK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/count/slow_clock.c");

/// An event, and whether the answer to it is the expected one.
pub(super) struct Step {
    pub(super) event: String,
    pub(super) is_expected: fn(&serde_json::Value) -> bool,
}

/// The instructions of a function from its start until it has answered these events and waits for the next one.
pub(super) async fn of_function(
    binary: &Path,
    env: &[(&str, &str)],
    steps: &[Step],
    keep: Option<&Path>,
) -> Result<u64> {
    let output = Output::new(keep, binary)?;
    let function = Function::start(output.wrapper(binary)?, env).await;
    answer(&function, steps).await?;
    idle(&function).await?;
    // Callgrind writes its counts when this signal ends the process.
    ensure!(Command::new("kill").arg(function.pid().to_string()).status()?.success(), "the process has ended");
    let deadline = Instant::now() + START;
    while function.exit_status().is_none() {
        ensure!(Instant::now() < deadline, "SIGTERM did not end the process");
        sleep(Duration::from_millis(10)).await;
    }
    let text = function.output();
    ensure!(!text.contains("\"WARN\"") && !text.contains("\"ERROR\""), "the function had problems:\n{text}");
    output.instructions()
}

/// Has a function answer these events, without valgrind.
pub(super) async fn run(binary: &Path, env: &[(&str, &str)], steps: &[Step]) -> Result<()> {
    answer(&Function::start(binary, env).await, steps).await
}

async fn answer(function: &Function, steps: &[Step]) -> Result<()> {
    ready(function).await?;
    for step in steps {
        match function.invoke_raw(&step.event, INVOCATION).await {
            InvocationResult::Response(answer) if (step.is_expected)(&answer) => {}
            other => bail!("{other:?}; its output:\n{}", function.output()),
        }
    }
    Ok(())
}

/// The instructions of a function of a program.
pub(super) fn within(binary: &Path, argument: &str, function: &str, keep: Option<&Path>) -> Result<u64> {
    let output = Output::new(keep, binary)?;
    let mut command = Command::new("valgrind");
    command.args(output.options()).arg("--collect-atstart=no").arg(format!("--toggle-collect={function}"));
    let ended = command.arg(binary).arg(argument).stderr(Stdio::piped()).output()?;
    ensure!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
    output.instructions()
}

/// Waits longer than the harness does, because a start in valgrind takes seconds.
async fn ready(function: &Function) -> Result<()> {
    let deadline = Instant::now() + START;
    loop {
        match function.ready().await {
            Ok(()) => return Ok(()),
            Err(_) if function.exit_status().is_none() && Instant::now() < deadline => {}
            Err(output) => return Err(anyhow!(output)),
        }
    }
}

/// Waits until the function sleeps. After its last answer it is still busy asking for the next event.
async fn idle(function: &Function) -> Result<()> {
    function.settled_output().await;
    let mut before = None;
    loop {
        let stat = fs::read_to_string(format!("/proc/{}/stat", function.pid())).context("the process has ended")?;
        // Behind the program's name: the state is field 3, and the clock ticks in user and kernel mode are 14 and 15.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let (&[state, ..], Some(ticks)) = (&*fields, fields.get(11..13)) else { bail!("/proc/PID/stat: {stat}") };
        let now = (state == "S").then(|| ticks.join(" "));
        if now.is_some() && now == before {
            return Ok(());
        }
        before = now;
        sleep(QUIET).await;
    }
}

/// Where callgrind writes.
struct Output {
    folder: TempDir,
    file: PathBuf,
}

impl Output {
    fn new(keep: Option<&Path>, binary: &Path) -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let folder = tempfile::tempdir()?;
        let file = match (keep, binary.file_name().and_then(|name| name.to_str())) {
            (Some(keep), Some(name)) => {
                keep.canonicalize()?.join(format!("callgrind.{name}.{}", NEXT.fetch_add(1, Ordering::Relaxed)))
            }
            _ => folder.path().join("callgrind.out"),
        };
        Ok(Self { folder, file })
    }

    fn options(&self) -> [String; 3] {
        ["--tool=callgrind".to_owned(), "-q".to_owned(), format!("--callgrind-out-file={}", self.file.display())]
    }

    /// A `bootstrap` that runs the binary in callgrind.
    fn wrapper(&self, binary: &Path) -> Result<PathBuf> {
        let bootstrap = self.folder.path().join("bootstrap");
        let binary = binary.canonicalize().with_context(|| binary.display().to_string())?;
        let clock = self.folder.path().join("slow_clock.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-shared", "-fPIC", SLOW_CLOCK, "-o"]).arg(&clock);
        ensure!(compiler.status().context("cc")?.success(), "cc cannot build {SLOW_CLOCK}");
        let words = self.options().map(|option| format!("'{option}'")).join(" ");
        let command = format!("LD_PRELOAD='{}' exec valgrind {words} '{}'", clock.display(), binary.display());
        fs::write(&bootstrap, format!("#!/bin/sh\n{command}\n"))?;
        fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755))?;
        Ok(bootstrap)
    }

    fn instructions(&self) -> Result<u64> {
        let text = fs::read_to_string(&self.file).context("callgrind wrote nothing")?;
        let totals = text.lines().rev().find_map(|line| line.strip_prefix("totals:"));
        let instructions = totals.context("callgrind's output has no totals")?.trim().parse()?;
        ensure!(instructions > 0, "callgrind counted nothing");
        Ok(instructions)
    }
}

/// Extensions of the processor for which libraries have code of their own.
const EXTENSIONS: [&str; 5] = ["avx2", "avx512f", "bmi2", "erms", "sha_ni"];

/// The versions of compiler, valgrind and C library, and the processor's extensions. Counts of machines that differ in
/// one of them are not comparable.
pub(super) fn machine() -> Result<String> {
    let versions = [("rustc", "--version"), ("valgrind", "--version"), ("getconf", "GNU_LIBC_VERSION")];
    let mut parts =
        versions.map(|(program, argument)| version(program, argument)).into_iter().collect::<Result<Vec<_>>>()?;
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = processor.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let extensions = EXTENSIONS.into_iter().filter(|extension| flags.split_whitespace().any(|flag| flag == *extension));
    parts.push([ARCH].into_iter().chain(extensions).collect::<Vec<_>>().join(" "));
    Ok(parts.join(", "))
}

fn version(program: &str, argument: &str) -> Result<String> {
    let output = Command::new(program).arg(argument).output().with_context(|| format!("cannot run {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
