//! `sign`: the signature of a file, as Tracebit would make it.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use tracebit_lake::aws::{
    self,
    secrets::{SecretSource, Secrets},
};
use tracebit_lake_local::function_url;

/// Sign a file as Tracebit would, to try a function by hand
///
/// Prints the signature header of the file and a curl command that delivers it, or with --event a whole function-URL
/// event. The secret is `TRACEBIT_SECRET`, or the secret in Secrets Manager that `TRACEBIT_SECRET_ARN` names.
#[derive(Args)]
pub(crate) struct Options {
    /// The file whose bytes are the body, such as events/logs/alert-aws.json
    file: PathBuf,
    /// Print an event for the Lambda console's Test tab and for `sam local invoke`
    #[arg(long)]
    event: bool,
    /// Where the curl command delivers to: the stack's `WebhookUrl`, or the URL that `serve` prints
    #[arg(long, default_value = "http://127.0.0.1:9001/")]
    url: String,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let file = options.file.display().to_string();
    let body = fs::read(&options.file).with_context(|| format!("cannot read {file}"))?;
    let source = SecretSource::from_env()?;
    let secrets = Secrets::new(&aws::load().await?, source);
    let signature =
        secrets.sign(&body).await.context("cannot read the secret that TRACEBIT_SECRET_ARN names")?.to_hex();

    if options.event {
        let headers = [("content-type", "application/json"), ("x-tracebit-signature-256", signature.as_str())];
        println!("{:#}", function_url::event("POST", &headers, &body));
    } else {
        println!("curl -w '\\n' --data-binary @{} -H 'Content-Type: application/json' \\", quoted(&file));
        println!("  -H 'X-Tracebit-Signature-256: {signature}' {}", quoted(&options.url));
    }
    Ok(())
}

/// One word for the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
