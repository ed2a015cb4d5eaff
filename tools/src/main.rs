//! The command-line tool for those who try or operate tracebit-lake.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is for a person")]

mod demo;
mod import;
mod local;
mod options;
mod redrive;
mod serve;
mod sign;
mod watch;

use std::{
    env,
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Tools for those who try or operate tracebit-lake.
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
    Import(import::Options),
    Watch(watch::Options),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let tools = Tools::parse();
    log_warnings();
    let result = match tools.command {
        Command::Demo(options) => demo::run(&options).await,
        Command::Serve(options) => serve::run(&options).await,
        Command::Sign(options) => sign::run(&options).await,
        Command::Redrive(options) => redrive::run(&options).await,
        Command::Import(options) => import::run(&options).await,
        Command::Watch(options) => watch::run(&options).await,
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

/// The library's warnings explain a delivery that is not stored. Standard output belongs to the command, and the S3
/// server's own log would show what is sent.
fn log_warnings() {
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .without_time();
    let library = Targets::new().with_target("tracebit_lake", LevelFilter::WARN);
    tracing_subscriber::registry().with(layer.with_filter(library)).init();
}

/// How this program is called, for commands that a person copies.
fn program() -> String {
    // `cargo run` sets it for the program that it starts.
    if env::var_os("CARGO").is_some() {
        "cargo run --package tracebit-lake-tools --".to_owned()
    } else {
        env::args().next().unwrap_or_else(|| "tracebit-lake-tools".to_owned())
    }
}
