//! What was measured, as Markdown: for the terminal and for `benches/README.md`.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use chrono::Utc;
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use crate::{
    delivery::{BATCH_BYTES, BATCH_LOGS},
    function::OURS,
    measure::{Batch, Measured, Round, Summary, quantile, summary},
    target,
};

/// Where the tables stand in the docs.
const BEGIN: &str = "<!-- begin measured -->\n";
const END: &str = "<!-- end measured -->";

/// What Lambda charges, by the list prices of us-east-1: dollars for a GB-second (x86) and for a million requests. INIT
/// is billed like any other time since August 2025.
const GB_SECOND: f64 = 0.000_016_666_7;
const MILLION_REQUESTS: f64 = 0.20;

/// The memory size that the targets are for, in MB.
const TARGET_MEMORY: u32 = 128;

/// All functions at one memory size.
pub(crate) struct Report {
    pub(crate) memory: u32,
    pub(crate) share: String,
    pub(crate) measured: Vec<Measured>,
    /// One large payload to each function that takes it.
    pub(crate) large: Vec<(String, Vec<Batch>)>,
    /// One payload of many logs to each function that stores each of them.
    pub(crate) of_logs: Vec<(String, Vec<Batch>)>,
}

impl Report {
    pub(crate) fn of(&self, name: &str) -> Option<&Measured> {
        self.measured.iter().find(|measured| measured.name == name)
    }
}

impl Measured {
    /// Median and range over the rounds.
    pub(crate) fn over_rounds(&self, value: impl Fn(&Round) -> f64) -> Summary {
        summary(self.rounds.iter().map(value))
    }

    /// The median of each round's starts.
    pub(crate) fn init(&self) -> Summary {
        self.over_rounds(|round| quantile(round.inits.iter().copied().map(millis), 0.5))
    }

    pub(crate) fn first(&self) -> Summary {
        self.over_rounds(|round| millis(round.first))
    }

    /// A quantile of each round's warm requests.
    pub(crate) fn warm(&self, part: f64) -> Summary {
        self.over_rounds(|round| quantile(round.warm.iter().copied().map(millis), part))
    }

    pub(crate) fn cpu(&self) -> Summary {
        self.over_rounds(|round| millis(round.cpu))
    }

    pub(crate) fn back_to_back_cpu(&self) -> Summary {
        self.over_rounds(|round| millis(round.back_to_back_cpu))
    }

    /// Paced and back to back.
    pub(crate) fn forged_cpu(&self) -> Option<(Summary, Summary)> {
        let all: Option<Vec<_>> = self.rounds.iter().map(|round| round.forged_cpu).collect();
        let all = all?;
        let of = |value: fn(&(Duration, Duration)) -> Duration| summary(all.iter().map(|cpu| millis(value(cpu))));
        Some((of(|cpu| cpu.0), of(|cpu| cpu.1)))
    }

    pub(crate) fn peak_memory(&self) -> Summary {
        self.over_rounds(|round| megabytes(round.peak_memory))
    }
}

/// Every table.
pub(crate) fn markdown(reports: &[Report], rounds: usize, requests: usize) -> String {
    let mut text = vec![format!(
        "{}, {}: {rounds} rounds in turns.\n\n\
         In each round {requests} warm requests with pauses, and as many back to back. Times in ms: the median, and in\n\
         brackets the least and the most of the rounds.\n",
        Utc::now().format("%Y-%m-%d"),
        machine()
    )];
    for report in reports {
        text.push(format!("\n### {} MB\n\n{} after INIT.\n\n{}\n", report.memory, report.share, functions(report)));
        let large = format!("One payload of {} MB", BATCH_BYTES / 1_000_000);
        let of_logs = format!("One payload of {BATCH_LOGS} logs, each stored as an object");
        for (title, measured) in [(large, &report.large), (of_logs, &report.of_logs)] {
            if !measured.is_empty() {
                text.push(format!("\n{title}:\n\n{}\n", batches(measured)));
            }
        }
        if report.memory == TARGET_MEMORY && report.of(OURS).is_some() {
            text.push(format!("\nTargets:\n\n{}\n", target::table(report)));
        }
    }
    if reports.iter().any(|report| report.of(OURS).is_some()) {
        text.push(format!("\n### What Lambda charges for a million deliveries\n\n{}\n", charges(reports)));
    }
    text.concat()
}

/// A million deliveries, each to a cold function, and each to a warm one.
fn charges(reports: &[Report]) -> Table {
    let mut charged = table(&["memory, MB", "cold: billed ms", "cold: $", "warm: billed ms", "warm: $"]);
    for report in reports {
        let Some(ours) = report.of(OURS) else { continue };
        let [cold, warm] = [ours.init().median + ours.first().median, ours.warm(0.5).median].map(f64::ceil);
        let dollars = |millis: f64| {
            let gigabyte_seconds = 1e6 * millis / 1e3 * f64::from(report.memory) / 1024.0;
            format!("{:.2}", gigabyte_seconds * GB_SECOND + MILLION_REQUESTS)
        };
        charged.add_row([report.memory.to_string(), cold.to_string(), dollars(cold), warm.to_string(), dollars(warm)]);
    }
    charged
}

/// Puts the tables between the marks of a file.
pub(crate) fn insert(file: &Path, text: &str) -> Result<()> {
    let page = fs::read_to_string(file)?;
    let (before, rest) = page.split_once(BEGIN).context("the mark where the tables begin")?;
    let (_, after) = rest.split_once(END).context("the mark where the tables end")?;
    Ok(fs::write(file, format!("{before}{BEGIN}{text}{END}{after}"))?)
}

fn functions(report: &Report) -> Table {
    let mut table = table(&[
        "function",
        "INIT",
        "first request",
        "warm p50",
        "warm p99",
        "CPU per request",
        "back to back",
        "CPU per forgery",
        "back to back",
        "peak memory, MB",
        "zip, MB",
    ]);
    for function in &report.measured {
        table.add_row([
            function.name.clone(),
            spread(function.init()),
            spread(function.first()),
            spread(function.warm(0.5)),
            spread(function.warm(0.99)),
            spread(function.cpu()),
            spread(function.back_to_back_cpu()),
            function.forged_cpu().map_or_else(String::new, |(paced, _)| spread(paced)),
            function.forged_cpu().map_or_else(String::new, |(_, back_to_back)| spread(back_to_back)),
            format!("{:.1}", function.peak_memory().median),
            function.zip_bytes.map_or_else(String::new, |bytes| format!("{:.2}", megabytes(bytes as u64))),
        ]);
    }
    table
}

fn batches(batches: &[(String, Vec<Batch>)]) -> Table {
    let mut table = table(&["function", "answer, ms", "CPU, ms", "peak memory, MB", "of it for the payload, MB"]);
    for (name, batches) in batches {
        let of = |value: fn(&Batch) -> f64| summary(batches.iter().map(value));
        table.add_row([
            name.clone(),
            spread(of(|batch| millis(batch.duration))),
            spread(of(|batch| millis(batch.cpu))),
            format!("{:.1}", of(|batch| megabytes(batch.peak_memory)).median),
            format!("{:.1}", of(|batch| megabytes(batch.growth)).median),
        ]);
    }
    table
}

/// An empty Markdown table with these columns.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(header.iter().copied());
    table
}

fn spread(summary: Summary) -> String {
    let Summary { median, least, most } = summary;
    let digits = usize::from(median < 100.0) + usize::from(median < 10.0);
    format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "sizes of memory and files")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!("{cores} cores, {}", model.trim_start_matches(['\t', ' ', ':']))
}
