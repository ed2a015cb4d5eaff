//! One start of one function, and what can be seen of it from outside; medians and quantiles of many.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::{
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};
use tokio::time::sleep;
use tracebit_lake_harness::runtime_api::{self, InvocationResult};

use crate::{cloud::Cloud, delivery, function::Function, share::Share};

/// How long a function may take for an answer: enough for a batch at the smallest share.
const PATIENCE: Duration = Duration::from_mins(1);

/// Between two requests, for alerts are rare: longer than the share's period, so that none starts in the red.
const PAUSE: Duration = Duration::from_millis(25);

/// After the last answer a function is still busy asking for the next event.
const SETTLE: Duration = Duration::from_millis(100);

/// The statuses of a delivery, and of a forgery. A forgery is a 503 for some seconds after another one made
/// tracebit-lake look for a new secret.
const STORED: &[u16] = &[200];
const REFUSED: &[u16] = &[401, 503];

/// How many starts of a round count for INIT, which is short and varies.
const STARTS: usize = 5;

/// Everything measured of one function.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) zip_bytes: Option<usize>,
    pub(crate) rounds: Vec<Round>,
}

impl Measured {
    pub(crate) fn new(function: &Function) -> Self {
        Self { name: function.name.clone(), zip_bytes: function.zip_bytes, rounds: Vec::new() }
    }
}

/// What one start showed.
#[derive(Debug)]
pub(crate) struct Round {
    /// From the start of the process to its first request for an event, for each of the round's starts.
    pub(crate) inits: Vec<Duration>,
    /// From an event to its answer.
    pub(crate) first: Duration,
    pub(crate) warm: Vec<Duration>,
    /// CPU of one warm request.
    pub(crate) cpu: Duration,
    /// CPU of one warm request that follows the last one at once.
    pub(crate) back_to_back_cpu: Duration,
    /// CPU of one forged request, paced and back to back, where the function tells it from others.
    pub(crate) forged_cpu: Option<(Duration, Duration)>,
    /// The most memory that was resident at any time, in bytes.
    pub(crate) peak_memory: u64,
}

/// Starts the function some times, and has the last process answer one request, warm ones and forged ones.
pub(crate) async fn round(function: &Function, cloud: &Cloud, share: &Share, requests: usize) -> Result<Round> {
    let (mut process, init) = start(function, cloud).await?;
    let mut inits = vec![init];
    for _ in 1..STARTS {
        process.kill().await;
        let init;
        (process, init) = start(function, cloud).await?;
        inits.push(init);
    }
    share.put(process.pid())?;
    sleep(SETTLE).await;

    let first = request(&process, &delivery::alert(), STORED).await?;
    let (warm, cpu) = series(&process, requests, PAUSE, delivery::alert, STORED).await?;
    let (_, back_to_back_cpu) = series(&process, requests, Duration::ZERO, delivery::alert, STORED).await?;
    let forged_cpu = if function.verifies {
        let (_, paced) = series(&process, requests, PAUSE, delivery::forgery, REFUSED).await?;
        let (_, back_to_back) = series(&process, requests, Duration::ZERO, delivery::forgery, REFUSED).await?;
        Some((paced, back_to_back))
    } else {
        None
    };
    let peak_memory = peak_memory(process.pid())?;
    process.kill().await;
    Ok(Round { inits, first, warm, cpu, back_to_back_cpu, forged_cpu, peak_memory })
}

/// What a batch takes.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The most memory that was resident at any time, in bytes.
    pub(crate) peak_memory: u64,
    /// What that is more than after one small request.
    pub(crate) growth: u64,
    pub(crate) cpu: Duration,
    /// From the event to its answer.
    pub(crate) duration: Duration,
}

/// Starts the function, and has it answer a small request and the event of a batch.
pub(crate) async fn batch(function: &Function, cloud: &Cloud, share: &Share, event: &str) -> Result<Batch> {
    let (mut process, _) = start(function, cloud).await?;
    share.put(process.pid())?;
    request(&process, &delivery::alert(), STORED).await?;
    sleep(SETTLE).await;
    let before = (peak_memory(process.pid())?, cpu(process.pid())?);
    let duration = request(&process, event, STORED).await?;
    sleep(SETTLE).await;
    let after = (peak_memory(process.pid())?, cpu(process.pid())?);
    process.kill().await;
    Ok(Batch { peak_memory: after.0, growth: after.0 - before.0, cpu: after.1.saturating_sub(before.1), duration })
}

async fn start(function: &Function, cloud: &Cloud) -> Result<(runtime_api::Function, Duration)> {
    let started = Instant::now();
    let process = runtime_api::Function::start(&function.bootstrap, &cloud.environment(function.is_ours)).await;
    process.ready().await.map_err(|output| anyhow!("{}: {output}", function.name))?;
    Ok((process, started.elapsed()))
}

async fn request(process: &runtime_api::Function, event: &str, expected: &[u16]) -> Result<Duration> {
    let started = Instant::now();
    let answer = process.invoke_raw(event, PATIENCE).await;
    let elapsed = started.elapsed();
    let InvocationResult::Response(answer) = answer else { return Err(anyhow!("{answer:?}")) };
    ensure!(expected.iter().any(|status| answer["statusCode"] == *status), "expected {expected:?}: {answer}");
    Ok(elapsed)
}

/// The requests one after the other with a pause between them: how long each took, and the CPU of one in the mean.
async fn series(
    process: &runtime_api::Function,
    requests: usize,
    pause: Duration,
    event: impl Fn() -> String,
    expected: &[u16],
) -> Result<(Vec<Duration>, Duration)> {
    sleep(SETTLE).await;
    let before = cpu(process.pid())?;
    let mut durations = Vec::with_capacity(requests);
    for _ in 0..requests {
        durations.push(request(process, &event(), expected).await?);
        sleep(pause).await;
    }
    sleep(SETTLE).await;
    let used = cpu(process.pid())?.saturating_sub(before);
    Ok((durations, used / u32::try_from(requests.max(1))?))
}

/// The CPU time of a process, with all its threads, those that have ended as well.
fn cpu(pid: u32) -> Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.try_into()?))?;
    Ok(Duration::from(clock_gettime(clock)?))
}

fn peak_memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM in /proc")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}

/// What a series of measurements comes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// Median and range; NaN where there are none.
pub(crate) fn summary(values: impl IntoIterator<Item = f64>) -> Summary {
    let sorted = sorted(values);
    Summary { median: of_sorted(&sorted, 0.5), least: of_sorted(&sorted, 0.0), most: of_sorted(&sorted, 1.0) }
}

/// The smallest value that `part` of all values do not exceed.
pub(crate) fn quantile(values: impl IntoIterator<Item = f64>, part: f64) -> f64 {
    of_sorted(&sorted(values), part)
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index")]
fn of_sorted(sorted: &[f64], part: f64) -> f64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
