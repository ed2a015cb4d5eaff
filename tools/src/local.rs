//! The function on this machine: the library's own handler in front of an S3 server on a folder.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use data_encoding::{BASE32, BASE64URL};
use include_dir::{Dir, include_dir};
use serde_json::Value;
use tempfile::TempDir;
use tracebit_lake::{
    aws::{self, Deadline},
    config::Config,
    ingest::{
        App,
        webhook::{self, HttpEvent},
    },
};
use tracebit_lake_local::{
    DEVELOPMENT_SECRET,
    s3::{AccessKey, S3},
};

/// The bucket of a local lake.
pub(crate) const BUCKET: &str = "tracebit-lake-local";

/// Any free port of this machine, closed to the network.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long the function may take for a delivery. A folder answers within milliseconds, so a fault shows soon.
const DEADLINE: Duration = Duration::from_secs(10);

/// The samples of `events/`, which this program carries, so that it runs where the sources are not.
static EVENTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../events");

/// Starts an S3 server on `folder`, with the bucket and a new access key.
pub(crate) async fn s3(folder: &Path, address: SocketAddr) -> Result<S3> {
    check_address(address, "--s3")?;
    check_folder(folder)?;
    let s3 = S3::start(folder, address, new_access_key()?).await;
    s3.create_bucket(BUCKET);
    Ok(s3)
}

/// An access key that nobody else knows: everything on this machine can reach the server.
fn new_access_key() -> Result<AccessKey> {
    let mut random = [0; 40];
    getrandom::fill(&mut random)?;
    let (id, secret) = random.split_at(10);
    Ok(AccessKey { id: format!("LOCAL{}", BASE32.encode(id)), secret: BASE64URL.encode(secret) })
}

/// The function, configured for this S3 server as its environment would configure it.
pub(crate) async fn app(s3: &S3) -> Result<App> {
    let endpoint = s3.endpoint();
    let config = Config::read(|name| {
        Ok(match name {
            "LAKE_BUCKET" => Some(BUCKET.to_owned()),
            "TRACEBIT_SECRET" => Some(DEVELOPMENT_SECRET.to_owned()),
            "AWS_ENDPOINT_URL_S3" => Some(endpoint.clone()),
            _ => None,
        })
    })?;
    let AccessKey { id, secret } = s3.access_key();
    let credentials = Credentials::new(id, secret, None, None, "local");
    let sdk = aws::load_for(&endpoint, "us-east-1", SharedCredentialsProvider::new(credentials)).await;
    Ok(App::init(config, &sdk).await?)
}

/// The function's response to an event, as Lambda's Runtime API gets it.
pub(crate) async fn deliver(app: &App, event: Value) -> Result<Value> {
    let event: HttpEvent = serde_json::from_value(event)?;
    let ingested = webhook::ingest(app, event, Deadline::after(DEADLINE)).await;
    if let Some(problem) = ingested.as_ref().and_then(|ingested| ingested.outcome.problem()) {
        eprintln!("  {problem}");
    }
    Ok(serde_json::to_value(webhook::respond(ingested.as_ref()))?)
}

/// Status and body of a response.
pub(crate) fn parts(response: &Value) -> (u64, &str) {
    let member = |name| response.get(name);
    (
        member("statusCode").and_then(Value::as_u64).unwrap_or_default(),
        member("body").and_then(Value::as_str).unwrap_or_default(),
    )
}

/// Checks that a server can listen here; the servers themselves panic where they cannot.
pub(crate) fn check_address(address: SocketAddr, option: &str) -> Result<()> {
    TcpListener::bind(address)
        .map(drop)
        .with_context(|| format!("cannot listen on {address}; choose another address with {option}"))
}

/// Checks that objects can be created, because S3 would retry each of them for seconds.
fn check_folder(folder: &Path) -> Result<()> {
    let bucket = folder.join(BUCKET);
    let advice = || format!("cannot write to {}; choose another folder with --folder", bucket.display());
    ensure!(!bucket.is_symlink(), "{}: a symbolic link, which the S3 server does not follow", advice());
    fs::create_dir_all(&bucket).with_context(advice)?;
    for folder in [folder, &bucket] {
        tempfile::tempfile_in(folder).with_context(advice)?;
    }
    Ok(())
}

/// A folder with `events/` in it, as in the project's folder. It goes with its owner.
pub(crate) fn project() -> io::Result<TempDir> {
    let project = TempDir::new()?;
    let events = project.path().join("events");
    fs::create_dir(&events)?;
    EVENTS.extract(&events)?;
    Ok(project)
}
