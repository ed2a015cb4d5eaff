//! The whole thing on this machine: an S3 server on a folder, and a URL that takes deliveries as the deployed function
//! does, through the same handler and the same AWS SDK. No AWS account, no Docker.
#![allow(clippy::print_stdout, reason = "its output is for a person")]

use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use clap::Parser;
use lambda_http::Response;
use serde_json::Value;
use tracebit_lake::{
    config::Config,
    event::{self, Event},
    handler::{Invocation, Lake},
    metrics::Metrics,
    sdk,
    signature::Secret,
};
use tracebit_lake_harness::{
    DEVELOPMENT_SECRET,
    function_url::FunctionUrl,
    s3::{ACCESS_KEY, S3, SECRET_KEY},
};

const BUCKET: &str = "tracebit-lake-local";
const SAMPLE: &str = "events/logs/alert-aws.json";

/// Takes Tracebit deliveries on this machine and files them in a folder.
#[derive(Parser)]
struct Options {
    /// Send every sample in events/, show the answers and what is in the lake, and end.
    #[arg(long)]
    demo: bool,
    /// The folder that holds the lake.
    #[arg(long, default_value = "lake")]
    folder: PathBuf,
    /// Where deliveries are taken; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
    /// Where the S3 server listens; port 0 takes a free one. `sam local` in Docker needs 0.0.0.0:9000.
    #[arg(long, default_value = "127.0.0.1:9000")]
    s3: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let s3_address = if options.demo { any_port } else { options.s3 };
    is_free(s3_address)?;
    let s3 = S3::on_folder(&options.folder, s3_address).await;
    s3.create_bucket(BUCKET);
    let lake = Arc::new(lake(&s3).await?);
    if options.demo { demo(&lake, &s3).await } else { serve(lake, &s3, options.listen).await }
}

/// The deployed function's handler, told of the local S3 server as it would be by its environment.
async fn lake(s3: &S3) -> Result<Lake, Box<dyn Error>> {
    let endpoint = s3.endpoint();
    let config = Config::read(|name| {
        Ok(match name {
            "LAKE_BUCKET" => Some(BUCKET.to_owned()),
            "TRACEBIT_SECRET" => Some(DEVELOPMENT_SECRET.to_owned()),
            "AWS_ENDPOINT_URL_S3" => Some(endpoint.clone()),
            _ => None,
        })
    })?;
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "local");
    let sdk = sdk::load_for(&endpoint, "us-east-1", SharedCredentialsProvider::new(credentials)).await;
    Ok(Lake::init(config, &sdk, Metrics::none()).await?)
}

async fn deliver(lake: &Lake, event: Value) -> Result<Response<String>, Box<dyn Error>> {
    let event: Event = serde_json::from_value(event)?;
    let deadline = SystemTime::now() + Duration::from_secs(30);
    Ok(lake.handle(event, Invocation { request_id: "local".to_owned(), deadline }).await)
}

async fn serve(lake: Arc<Lake>, s3: &S3, listen: SocketAddr) -> Result<(), Box<dyn Error>> {
    is_free(listen)?;
    let url = FunctionUrl::start(listen, move |event| {
        let lake = Arc::clone(&lake);
        async move {
            let response = match deliver(&lake, event).await {
                Ok(response) => response,
                Err(error) => {
                    println!("  the event was no request: {error}");
                    Response::builder().status(502).body(String::new()).unwrap_or_default()
                }
            };
            println!("  {} {}", response.status().as_u16(), response.body());
            serde_json::to_value(event::answer(response)).unwrap_or_default()
        }
    })
    .await;

    let body = fs::read(SAMPLE).map_err(|error| format!("{SAMPLE}: {error}; run this in the project's folder"))?;
    let signature = Secret::new(DEVELOPMENT_SECRET)?.sign(&body).to_hex();
    println!("Deliveries   {}", url.endpoint());
    println!("Secret       {DEVELOPMENT_SECRET}");
    println!("Lake         {}", s3.folder().join(BUCKET).display());
    println!("S3           {} (bucket {BUCKET}, access key {ACCESS_KEY}, secret key {SECRET_KEY})", s3.endpoint());
    println!("\nTry it from another terminal, in this folder:\n");
    println!("  curl --data-binary @{SAMPLE} -H 'Content-Type: application/json' \\");
    println!("    -H 'X-Tracebit-Signature-256: {signature}' {}\n", url.endpoint());
    println!("Sign any other file: TRACEBIT_SECRET={DEVELOPMENT_SECRET} cargo run --example sign -- FILE");
    println!("Stop with Ctrl-C. Deliveries:");
    tokio::signal::ctrl_c().await?;
    Ok(())
}

/// An address that is taken is better told here than by a panic in a server's task.
fn is_free(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    match std::net::TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{address} cannot be used ({error}); choose another with --listen or --s3").into()),
    }
}

async fn demo(lake: &Lake, s3: &S3) -> Result<(), Box<dyn Error>> {
    println!("Sending every delivery in events/ to the function, as Tracebit would:\n");
    let mut samples: Vec<PathBuf> = fs::read_dir("events")
        .map_err(|error| format!("events: {error}; run this in the project's folder"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()?;
    samples.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    samples.sort();
    for path in samples {
        let event = serde_json::from_slice(&fs::read(&path)?)?;
        let response = deliver(lake, event).await?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("  {name:<28} {}  {}", response.status().as_u16(), response.body());
    }

    let objects = s3.objects(BUCKET);
    println!("\nThe lake, in {}:\n", s3.folder().join(BUCKET).display());
    tree(objects.keys().map(String::as_str).collect());

    let alert = objects.iter().find(|(key, _)| key.starts_with("tracebit_alert/"));
    if let Some((key, body)) = alert {
        let first = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let record: Value = serde_json::from_slice(first)?;
        println!("\nThe first record of {}, printed wide:\n\n{record:#}\n", Path::new(key).display());
    }
    println!("Run it again, and the same deliveries are duplicates: nothing is stored twice.");
    Ok(())
}

/// Prints keys as a tree, each folder once.
fn tree(keys: BTreeSet<&str>) {
    let mut above: Vec<&str> = Vec::new();
    for key in keys {
        let segments: Vec<&str> = key.split('/').collect();
        let known = above.iter().zip(&segments).take_while(|(a, b)| a == b).count();
        for (depth, segment) in segments.iter().enumerate().skip(known) {
            let slash = if depth + 1 < segments.len() { "/" } else { "" };
            println!("  {}{segment}{slash}", "  ".repeat(depth));
        }
        above = segments;
    }
}
