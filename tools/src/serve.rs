//! `serve`: a function URL and an S3 server on this machine.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _, error::ErrorKind};
use serde_json::{Value, json};
use tracebit_lake::{core::signature::Secret, ingest::App};
use tracebit_lake_local::{
    DEVELOPMENT_SECRET,
    function_url::FunctionUrl,
    s3::{AccessKey, S3},
};

use crate::{
    Tools,
    local::{self, project},
    program,
};

const SAMPLE: &str = "events/logs/alert-aws.json";

/// Take deliveries on this machine and store them in a folder
///
/// Starts a URL that takes deliveries as the deployed function does, and an S3 server on a folder. It needs no AWS
/// account and no Docker. Both servers are meant for this machine alone: the secret is the published one of `events/`,
/// and nothing is encrypted. They refuse what a web page may have sent: any request with an Origin, or with the Host of
/// another machine. The S3 server makes a new access key at each start. It has one bucket and follows no symbolic link.
#[derive(Args)]
pub(crate) struct Options {
    /// The folder that holds the lake
    #[arg(long, default_value = "lake")]
    folder: PathBuf,
    /// Where deliveries are taken; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
    /// Where the S3 server listens; port 0 takes a free one
    ///
    /// `sam local` runs the function in Docker, which cannot reach 127.0.0.1: it needs `--s3 0.0.0.0:9000
    /// --allow-network`.
    #[arg(long, default_value = "127.0.0.1:9000")]
    s3: SocketAddr,
    /// Allow addresses that the network can reach, although the secret is published and nothing is encrypted
    #[arg(long)]
    allow_network: bool,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    for (option, address) in [("--s3", options.s3), ("--listen", options.listen)] {
        check_network(option, address, options.allow_network);
    }
    local::check_address(options.listen, "--listen")?;
    let s3 = local::s3(&options.folder, options.s3).await?;
    let app = Arc::new(local::app(&s3).await?);
    let url = FunctionUrl::start(options.listen, move |event| {
        let app = Arc::clone(&app);
        async move { answer(&app, event).await }
    })
    .await;
    print_usage(&s3, &url.endpoint())?;
    Ok(tokio::signal::ctrl_c().await?)
}

/// Only the machine itself may reach these servers unless the user asks for more.
fn check_network(option: &str, address: SocketAddr, allowed: bool) {
    if address.ip().is_loopback() {
        return;
    }
    if !allowed {
        let problem = format!(
            "{option} {address} opens a server to the network, but the secret is published and nothing is encrypted; \
             use 127.0.0.1, or add --allow-network if you trust everybody on the network"
        );
        Tools::command().error(ErrorKind::ValueValidation, problem).exit();
    }
    eprintln!("warning: {option} {address} is open to the network; the secret is published and nothing is encrypted");
}

/// Prints what came of a delivery, and returns the response that AWS would send.
async fn answer(app: &App, event: Value) -> Value {
    let response = local::deliver(app, event).await.unwrap_or_else(|error| {
        println!("  the event is not a request: {error:#}");
        json!({"statusCode": 502})
    });
    let (status, body) = local::parts(&response);
    println!("  {status} {body}");
    response
}

fn print_usage(s3: &S3, url: &str) -> Result<()> {
    let project = project().context("cannot unpack the samples into the folder of temporary files")?;
    let body = fs::read(project.path().join(SAMPLE)).with_context(|| SAMPLE.to_owned())?;
    let signature = Secret::new(DEVELOPMENT_SECRET)?.sign(&body).to_hex();
    println!("Deliveries   {url}");
    println!("Secret       {DEVELOPMENT_SECRET}");
    println!("Lake         {}", s3.folder().join(local::BUCKET).display());
    println!("S3           {} (bucket {}, with a new access key at each start)", s3.endpoint(), local::BUCKET);
    println!("\nTry it from another terminal, in the project's folder:\n");
    println!("  curl -w '\\n' --data-binary @{SAMPLE} -H 'Content-Type: application/json' \\");
    println!("    -H 'X-Tracebit-Signature-256: {signature}' {url}\n");
    println!("Sign any other file:\n");
    println!("  TRACEBIT_SECRET={DEVELOPMENT_SECRET} {} sign FILE\n", program());
    let AccessKey { id, secret } = s3.access_key();
    println!("Read the lake through S3, with the AWS CLI, an SDK or the redrive:\n");
    println!("  export AWS_ENDPOINT_URL_S3={} AWS_REGION=us-east-1", s3.endpoint());
    println!("  export AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret}\n");
    println!("or in DuckDB:\n");
    println!(
        "  CREATE SECRET (TYPE s3, ENDPOINT '{}', USE_SSL false, URL_STYLE 'path',",
        s3.endpoint().trim_start_matches("http://")
    );
    println!("    REGION 'us-east-1', KEY_ID '{id}', SECRET '{secret}');");
    println!("  SET VARIABLE lake = 's3://{}/';\n", local::BUCKET);
    println!("Stop with Ctrl-C. Deliveries:");
    Ok(())
}
