//! Signs a file as Tracebit would, to try a function by hand.
//!
//! ```text
//! TRACEBIT_SECRET=… cargo run --example sign -- events/logs/alert-aws.json
//! TRACEBIT_SECRET_ARN=arn:… cargo run --example sign -- --event events/logs/alert-aws.json
//! ```
#![allow(clippy::print_stdout, reason = "its output is for a person")]

use std::{env, error::Error, fs, path::PathBuf};

use clap::Parser;
use tracebit_lake::{
    config::{Config, SecretSource},
    sdk,
    secrets::Secrets,
};
use tracebit_lake_harness::function_url;

/// Prints the signature header of a file and a curl line that delivers it, or a whole function-URL event.
#[derive(Parser)]
struct Options {
    /// The file whose bytes are the body, such as events/logs/alert-aws.json.
    file: PathBuf,
    /// Print an event for the Lambda console's test tab and for `sam local invoke`.
    #[arg(long)]
    event: bool,
    /// Where the curl line delivers to: the stack's output, or the local mode's address.
    #[arg(long, default_value = "http://127.0.0.1:9001/")]
    url: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let file = options.file.display();
    let body = fs::read(&options.file).map_err(|error| format!("{file}: {error}"))?;
    let source = secret_source()?;
    let sdk = sdk::load().await;
    let signature = Secrets::new(&sdk, source).sign(&body).await?.to_hex();

    if options.event {
        let headers = [("content-type", "application/json"), ("x-tracebit-signature-256", signature.as_str())];
        println!("{:#}", function_url::event("POST", &headers, &body));
    } else {
        println!("X-Tracebit-Signature-256: {signature}\n");
        println!("curl --data-binary @'{file}' -H 'Content-Type: application/json' \\");
        println!("  -H 'X-Tracebit-Signature-256: {signature}' '{}'", options.url);
    }
    Ok(())
}

/// `TRACEBIT_SECRET` or `TRACEBIT_SECRET_ARN`, checked as the function checks them.
fn secret_source() -> Result<SecretSource, Box<dyn Error>> {
    // Everything else that the function is told has no part in a signature.
    let config = Config::read(|name| match name {
        "TRACEBIT_SECRET" | "TRACEBIT_SECRET_ARN" => {
            env::var_os(name).map(|value| value.into_string().map_err(drop)).transpose()
        }
        "LAKE_BUCKET" => Ok(Some("none".to_owned())),
        _ => Ok(None),
    })?;
    Ok(config.secret)
}
