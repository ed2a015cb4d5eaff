//! `demo`: every sample through the function, and what the lake holds then.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use data_encoding::BASE64;
use serde_json::Value;
use tracebit_lake::{core::lake::FAILURES_TABLE, ingest::App};
use tracebit_lake_local::{
    s3::S3,
    samples::{self, Sample},
};

use crate::local::{self, project};

/// Send every sample in events/ to the function on this machine, and show what is in the lake
///
/// The function's own handler runs in this process, in front of an S3 server on a folder. It needs no AWS account and
/// no Docker. events/README.md says what each sample shows.
#[derive(Args)]
pub(crate) struct Options {
    /// The folder that holds the lake
    #[arg(long, default_value = "lake")]
    folder: PathBuf,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let project = project().context("cannot unpack the samples into the folder of temporary files")?;
    let project = project.path();
    let samples = samples::read(project)?;
    let s3 = local::s3(&options.folder, local::ANY_PORT).await?;
    let app = local::app(&s3).await?;

    println!("Sending every sample in events/ to the function, as Tracebit would:\n");
    for sample in &samples {
        send(sample, project, &app, &s3).await?;
    }
    let objects = s3.objects(local::BUCKET);
    println!("\nThe lake, in {}:\n", s3.folder().join(local::BUCKET).display());
    print_tree(objects.keys().map(String::as_str).collect());

    if let Some((key, body)) = objects.iter().find(|(key, _)| key.starts_with("tracebit_alert/")) {
        let first = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let record: Value = serde_json::from_slice(first)?;
        println!("\nThe first record of {}, printed wide:\n\n{record:#}\n", Path::new(key).display());
    }
    println!(
        "Query it in DuckDB: SET VARIABLE lake = '{}/'; .read queries/duckdb.sql",
        s3.folder().join(local::BUCKET).display()
    );
    println!("Run it again: the same logs are duplicates.");
    Ok(())
}

async fn send(sample: &Sample, project: &Path, app: &App, s3: &S3) -> Result<()> {
    let name = &sample.name;
    let path = format!("events/{name}.json");
    let event = fs::read(project.join(&path))
        .with_context(|| format!("cannot read {path}; `cargo xtask generate` writes it"))?;
    let response = local::deliver(app, serde_json::from_slice(&event)?).await?;
    let (status, body) = local::parts(&response);
    println!("  {name:<24} {status}  {body}");
    ensure!(status != 503, "{name}: the folder {} did not take the records", s3.folder().display());
    ensure!(
        status == u64::from(sample.status),
        "{name}: status {status}, but {} lists {}",
        samples::FILE,
        sample.status
    );
    if sample.records.contains_key(FAILURES_TABLE) {
        for violation in violations(sample, project, s3)? {
            println!("  {:<24}      violation: {violation}", "");
        }
    }
    Ok(())
}

/// The violations in the stored failures whose payload is a part of this sample.
fn violations(sample: &Sample, project: &Path, s3: &S3) -> Result<BTreeSet<String>> {
    let sent = sample.payload(project)?;
    let mut violations = BTreeSet::new();
    for (key, body) in s3.objects(local::BUCKET) {
        if !key.starts_with(FAILURES_TABLE) {
            continue;
        }
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let record: Value = serde_json::from_slice(line).with_context(|| key.clone())?;
            let member = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
            let payload = match member("payload_encoding") {
                "base64" => BASE64.decode(member("payload").as_bytes())?,
                _ => member("payload").as_bytes().to_vec(),
            };
            if !payload.is_empty() && sent.windows(payload.len()).any(|part| part == payload) {
                violations.insert(member("error").to_owned());
            }
        }
    }
    Ok(violations)
}

/// Prints keys as a tree, each folder once.
fn print_tree(keys: BTreeSet<&str>) {
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
