//! One command-line tool for those who develop or operate tracebit-lake.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is for a person")]

mod demo;
mod generate;
mod local;
mod redrive;
mod serve;
mod sign;

use std::{io, path::Path, process::ExitCode};

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

/// Tools for those who develop or operate tracebit-lake.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Tools {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Options),
    Serve(serve::Options),
    Sign(sign::Options),
    Redrive(redrive::Options),
    Generate(generate::Options),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let tools = Tools::parse();
    // Standard output belongs to the command; the library's warnings explain a delivery that is not stored.
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(LevelFilter::WARN)
        .with_target(false)
        .without_time()
        .init();
    let result = match tools.command {
        Command::Demo(options) => demo::run(&options).await,
        Command::Serve(options) => serve::run(&options).await,
        Command::Sign(options) => sign::run(&options).await,
        Command::Redrive(options) => redrive::run(&options).await,
        Command::Generate(options) => generate::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The causes in one line: a `Debug` of an AWS error fills a screen.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The project's folder. The tools run through `cargo run`, where the folder of the build is the folder of the sources.
fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
