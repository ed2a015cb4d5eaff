//! What was measured, as Markdown: for the terminal and for `docs/performance.md`.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use chrono::Utc;
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use crate::{
    cost,
    delivery::BATCH_BYTES,
    function::OURS,
    measure::{Batch, Measured, Round},
    statistics::{Summary, quantile, summary},
    target,
};

/// Where the tables stand in the docs.
const BEGIN: &str = "<!-- begin measured -->\n";
const END: &str = "<!-- end measured -->";

/// All functions at one memory size.
pub(crate) struct Report {
    pub(crate) memory: u32,
    pub(crate) share: String,
    pub(crate) measured: Vec<Measured>,
}

impl Report {
    pub(crate) fn of(&self, name: &str) -> Option<&Measured> {
        self.measured.iter().find(|measured| measured.name == name)
    }
}

/// The large payload, by function.
pub(crate) type Batches = [(String, Vec<Batch>)];

impl Measured {
    /// Median and range over the rounds.
    pub(crate) fn over_rounds(&self, value: impl Fn(&Round) -> f64) -> Summary {
        summary(self.rounds.iter().map(value))
    }

    pub(crate) fn init(&self) -> Summary {
        self.over_rounds(|round| millis(round.init))
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

    pub(crate) fn forged_cpu(&self) -> Option<Summary> {
        let all: Option<Vec<_>> = self.rounds.iter().map(|round| round.forged_cpu.map(millis)).collect();
        all.map(summary)
    }

    pub(crate) fn peak_memory(&self) -> Summary {
        self.over_rounds(|round| megabytes(round.peak_memory))
    }
}

/// Every table.
pub(crate) fn markdown(reports: &[Report], batches: &Batches, rounds: usize, requests: usize) -> String {
    let mut text = format!(
        "{}, {}: {rounds} rounds in turns, {requests} warm requests in each. Times in ms: the median, and in brackets the \
         least and the most of the rounds.\n",
        Utc::now().format("%Y-%m-%d"),
        machine()
    );
    for report in reports {
        text += &format!("\n**{} MB**, {} after INIT:\n\n{}\n", report.memory, report.share, functions(report));
    }
    text += &format!("\nOne payload of {} MB, a whole core:\n\n{}\n", BATCH_BYTES / 1_000_000, batch_table(batches));
    for report in reports.iter().filter(|report| report.memory == 128) {
        text += &format!("\nTargets, at 128 MB:\n\n{}\n", target::table(report, batches));
    }
    if reports.iter().any(|report| report.of(OURS).is_some()) {
        text += &format!("\nWhat Lambda charges for a million deliveries:\n\n{}\n", cost::table(reports));
    }
    text
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
        "CPU per forgery",
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
            function.forged_cpu().map_or_else(String::new, spread),
            format!("{:.1}", function.peak_memory().median),
            function.zip_bytes.map_or_else(String::new, |bytes| format!("{:.2}", megabytes(bytes as u64))),
        ]);
    }
    table
}

fn batch_table(batches: &Batches) -> Table {
    let mut table = table(&["function", "peak memory, MB", "of it for the payload, MB", "CPU, ms"]);
    for (name, batches) in batches {
        let median = |value: fn(&Batch) -> f64| summary(batches.iter().map(value)).median;
        table.add_row([
            name.clone(),
            format!("{:.1}", median(|batch| megabytes(batch.peak_memory))),
            format!("{:.1}", median(|batch| megabytes(batch.growth))),
            format!("{:.0}", median(|batch| millis(batch.cpu))),
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
