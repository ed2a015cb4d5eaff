//! Counts the instructions that valgrind sees in tracebit-lake's start and requests, and compares them with the budget
//! in `budget.yml`. Instructions do not depend on what else the machine does, so a check can keep them.
//!
//! The functions run as built, under the harness's Runtime API and AWS services, over plain HTTP. `.ci/counts` builds
//! them.

mod budget;
mod callgrind;
mod cases;
mod cloud;

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use self::{budget::Budget, callgrind::machine, cases::Case};
use crate::project;

/// Counts the instructions of tracebit-lake's start and requests, and compares them with benches/counts/budget.yml.
#[derive(Args)]
pub(crate) struct Options {
    /// Write what was counted to the budget.
    #[arg(long)]
    update: bool,
    /// Print what this many counts of each case find, and compare nothing.
    #[arg(long, value_name = "TIMES")]
    repeat: Option<usize>,
    /// Only the cases whose name contains this text.
    #[arg(long, default_value = "")]
    only: String,
    /// The folder of the built functions.
    #[arg(long, default_value = "target/counts")]
    built: PathBuf,
    /// Count functions that do less, from this folder, and compare nothing.
    #[arg(long, value_name = "FOLDER")]
    beside: Option<PathBuf>,
    /// Keep callgrind's output in this folder.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// Counts, and compares or writes the budget.
pub(crate) async fn run(options: &Options) -> Result<()> {
    if let Some(folder) = &options.keep {
        fs::create_dir_all(folder)?;
    }
    let (folder, cases) = match &options.beside {
        Some(folder) => (folder, cases::beside()),
        None => (&options.built, cases::ours()),
    };
    let built = project().join(folder);
    let cases: Vec<_> = cases.into_iter().filter(|case| case.name.contains(&options.only)).collect();
    ensure!(!cases.is_empty(), "no case has {:?} in its name", options.only);
    let count = async |case: &Case| case.count(&built, options.keep.as_deref()).await.context(case.name);

    if options.repeat.is_some() || options.beside.is_some() {
        return repeat(&cases, options.repeat.unwrap_or(1), count).await;
    }
    let file = project().join("benches/counts/budget.yml");
    let mut counted = BTreeMap::new();
    if options.update {
        for case in &cases {
            counted.insert(case.name.to_owned(), count(case).await?);
        }
        let budget = Budget::read(&file).unwrap_or_default().updated(machine()?, counted);
        println!("{}", budget.table());
        return budget.write(&file);
    }
    let budget = Budget::read(&file)?;
    for case in &cases {
        let mut least = count(case).await?;
        // A busy machine can only add instructions, such as those of a socket that is polled in vain.
        for _ in 0..2 {
            if budget.is_exceeded(case.name, least) {
                least = least.min(count(case).await?);
            }
        }
        counted.insert(case.name.to_owned(), least);
    }
    budget.compare(&machine()?, &counted)
}

/// Counts every case some times, to show how well the counts repeat.
async fn repeat(cases: &[Case], times: usize, count: impl AsyncFn(&Case) -> Result<u64>) -> Result<()> {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    let runs = (1..=times).map(|run| format!("run {run}"));
    table.set_header(std::iter::once("instructions".to_owned()).chain(runs));
    for case in cases {
        let mut row = vec![case.name.to_owned()];
        for _ in 0..times {
            row.push(budget::thousands(count(case).await?));
        }
        table.add_row(row);
    }
    println!("{table}");
    Ok(())
}
