//! How fast tracebit-lake starts and answers, and what a request costs, beside functions that do less.
//!
//! Real parts: release binaries as processes of their own under a Runtime API server, S3 and Secrets Manager over TLS
//! with a certificate authority made for the run, and the CPU share that Lambda gives a memory size.
//! `benches/README.md` says what is measured and shows the result.

mod cloud;
mod delivery;
mod flood;
mod function;
mod measure;
mod plot;
mod report;
mod share;
mod target;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    cloud::Cloud,
    function::Function,
    measure::{Batch, Measured},
    report::Report,
    share::Share,
};

/// Measures start, first request, warm requests, CPU and memory of tracebit-lake and of functions that do less.
#[derive(Debug, Parser)]
struct Options {
    /// Memory sizes in MB, each of which is a share of a core.
    #[arg(long, value_delimiter = ',', default_values_t = [128])]
    memory: Vec<u32>,
    /// How often each function is started, in turns with the others.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Warm requests after each start with pauses, and as many back to back; and as many forged ones.
    #[arg(long, default_value_t = 100)]
    requests: usize,
    /// Only these functions: empty, empty-lean, put-object-lean, python, node, bento, tracebit-lake.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Another build of tracebit-lake to be measured beside this one, such as before=/path/to/bootstrap.
    #[arg(long, value_name = "NAME=FILE", value_parser = named_file)]
    with: Vec<(String, PathBuf)>,
    /// Instead of all this: how long an alert waits behind a flood of so many logs of another one.
    #[arg(long, value_name = "LOGS")]
    flood: Option<usize>,
    /// How many instances of the notifier meet the flood.
    #[arg(long, default_value_t = 2)]
    instances: usize,
    /// Also write the tables to benches/README.md and the plot to docs/performance.svg.
    #[arg(long)]
    docs: bool,
}

fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("expected NAME=FILE")?;
    Ok((name.to_owned(), PathBuf::from(file)))
}

// One thread, so that the servers are on one core and the function has the other.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the project's folder")?.to_owned();
    if let Some(logs) = options.flood {
        for memory in &options.memory {
            let took = flood::measure(&root, *memory, logs, options.instances).await?;
            let rate = logs as f64 / took.as_secs_f64();
            println!("{memory} MB, {} instances, {logs} logs: {took:.1?}, {rate:.0} logs a second", options.instances);
        }
        return Ok(());
    }
    let mut functions = Function::all(&root, &options.only)?;
    for (name, file) in &options.with {
        functions.push(Function::ours(name, file.clone())?);
    }
    let cloud = Cloud::start().await?;

    let mut reports = Vec::new();
    for memory in &options.memory {
        let share = Share::of(*memory);
        let measured = in_turns(&functions, &cloud, &share, &options).await?;
        let takes_large_batch = functions.iter().filter(|function| function.takes_large_batch);
        let large = batches(takes_large_batch, delivery::large_batch, &cloud, &share, options.rounds).await?;
        let ours = functions.iter().filter(|function| function.is_ours);
        let of_logs = batches(ours, delivery::batch_of_logs, &cloud, &share, options.rounds).await?;
        reports.push(Report { memory: *memory, share: share.describe(), measured, large, of_logs });
    }

    let text = report::markdown(&reports, options.rounds, options.requests);
    println!("{text}");
    if options.docs {
        report::insert(&root.join("benches/README.md"), &text)?;
        fs::write(root.join("docs/performance.svg"), plot::svg(&reports)?)?;
    }
    Ok(())
}

/// Every function once in each round, so that whatever else the machine does meets all of them alike.
async fn in_turns(functions: &[Function], cloud: &Cloud, share: &Share, options: &Options) -> Result<Vec<Measured>> {
    let mut all: Vec<_> = functions.iter().map(Measured::new).collect();
    let style = ProgressStyle::with_template("{msg:30} {bar:40} {pos}/{len}")?;
    let bar = ProgressBar::new((options.rounds * functions.len()) as u64).with_style(style);
    for _ in 0..options.rounds {
        for (function, measured) in functions.iter().zip(&mut all) {
            bar.set_message(format!("{} MB, {}", share.memory(), function.name));
            measured.rounds.push(measure::round(function, cloud, share, options.requests).await?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(all)
}

/// One batch to a fresh process of each function, in each round.
async fn batches(
    functions: impl Iterator<Item = &Function>,
    event: fn() -> String,
    cloud: &Cloud,
    share: &Share,
    rounds: usize,
) -> Result<Vec<(String, Vec<Batch>)>> {
    let mut all = Vec::new();
    for function in functions {
        let mut batches = Vec::new();
        for _ in 0..rounds {
            batches.push(measure::batch(function, cloud, share, &event()).await?);
        }
        all.push((function.name.clone(), batches));
    }
    Ok(all)
}
