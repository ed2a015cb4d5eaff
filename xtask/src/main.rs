//! The developers' command-line tool, `cargo xtask`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is for a person")]

mod count;
mod generate;

use std::{path::Path, process::ExitCode};

use clap::{Parser, Subcommand};

/// Tools for those who develop tracebit-lake.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", version, arg_required_else_help = true)]
struct Tools {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Generate(generate::Options),
    Count(count::Options),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Tools::parse().command {
        Command::Generate(options) => generate::run(&options),
        Command::Count(options) => count::run(&options).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The project's folder. This tool runs through `cargo xtask`, where the folder of the build is the folder of the
/// sources.
fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
