//! Reads classification failures and files those that today's schemas know.
//!
//! ```text
//! cargo run --example redrive -- --bucket my-lake --from 2026-11-01T00:00:00Z --dry-run
//! ```
//!
//! Nothing is deleted or overwritten, and what is filed gets the key and the row id that it would have had at once; so it
//! can be stopped and started again at any time. Credentials and region are the AWS SDK's usual ones.
#![allow(clippy::print_stdout, reason = "its output is for a person")]

use std::{
    collections::BTreeMap,
    error::Error,
    time::{Duration, Instant},
};

use aws_sdk_s3::{Client, config::Builder};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use data_encoding::BASE64;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use tracebit_lake::{
    config::{Config, Source},
    key::Prefix,
    lot::{self, Object},
    payload,
    record::{FAILURES_TABLE, Origin},
    schema::Schemas,
    sdk,
    store::{Put, Store},
    time,
};

/// Files the classification failures that today's schemas know. Nothing is deleted or overwritten.
#[derive(Parser)]
struct Options {
    /// The lake's bucket.
    #[arg(long)]
    bucket: String,
    /// The lake's prefix, as in `LAKE_PREFIX`.
    #[arg(long, default_value = "", value_parser = prefix)]
    prefix: Prefix,
    /// Only failures received at this time (RFC 3339) or later.
    #[arg(long, value_parser = time::parse)]
    from: Option<DateTime<Utc>>,
    /// Only failures received before this time (RFC 3339).
    #[arg(long, value_parser = time::parse)]
    to: Option<DateTime<Utc>>,
    /// Say what would be filed, and file nothing.
    #[arg(long)]
    dry_run: bool,
}

/// The members of a failure's record that count here.
#[derive(Deserialize)]
struct Failure {
    error: String,
    payload: String,
    payload_encoding: String,
    p_parse_time: String,
    p_source_id: Option<String>,
    p_source_label: String,
}

/// How many failures ended in each way, by error or by log type.
#[derive(Default)]
struct Outcomes(BTreeMap<(&'static str, String), usize>);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let schemas = Schemas::embedded()?;
    let sdk = sdk::load().await;
    let config = config(&options)?;
    let store = Store::new(&sdk, &config);
    let client = Client::from_conf(Builder::from(&sdk).force_path_style(config.path_style).build());

    let keys = keys(&client, &options).await?;
    let bar = ProgressBar::new(keys.len() as u64)
        .with_style(ProgressStyle::with_template("{bar:40} {pos} of {len} objects, {eta} left")?);
    let mut outcomes = Outcomes::default();
    for key in keys {
        let object = client.get_object().bucket(&options.bucket).key(&key).send().await?;
        let lines = object.body.collect().await?.into_bytes();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let failure: Failure = serde_json::from_slice(line).map_err(|error| format!("{key}: {error}"))?;
            redrive(&failure, &schemas, &store, &options, &mut outcomes)
                .await
                .map_err(|error| format!("{key}: {error}"))?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    println!("{}", outcomes.table());
    Ok(())
}

/// The store's part of the function's configuration; a redrive checks no signatures.
fn config(options: &Options) -> Result<Config, Box<dyn Error>> {
    Ok(Config::read(|name| {
        Ok(match name {
            "LAKE_BUCKET" => Some(options.bucket.clone()),
            "TRACEBIT_SECRET" => Some("none is needed here".to_owned()),
            "AWS_ENDPOINT_URL" | "AWS_ENDPOINT_URL_S3" => std::env::var(name).ok(),
            _ => None,
        })
    })?)
}

fn prefix(text: &str) -> Result<Prefix, String> {
    if text.is_empty() { Ok(Prefix::default()) } else { Prefix::new(text).map_err(|error| error.to_string()) }
}

/// The keys of the failures' objects in the hours from `--from` to `--to`.
async fn keys(client: &Client, options: &Options) -> Result<Vec<String>, Box<dyn Error>> {
    let folder = options.prefix.table(FAILURES_TABLE);
    // Keys are in order of time, so listing can begin just before the first hour that counts.
    let first = options.from.map(|from| options.prefix.partition(FAILURES_TABLE, from));
    let end = options.to.map(|to| options.prefix.partition(FAILURES_TABLE, to + TimeDelta::hours(1)));
    let list = client.list_objects_v2().bucket(&options.bucket).prefix(&folder).set_start_after(first);
    let mut pages = list.into_paginator().send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        let listed = page?.contents.unwrap_or_default();
        keys.extend(listed.into_iter().filter_map(|object| object.key));
    }
    keys.retain(|key| end.as_ref().is_none_or(|end| key < end));
    Ok(keys)
}

async fn redrive(
    failure: &Failure,
    schemas: &Schemas,
    store: &Store,
    options: &Options,
    outcomes: &mut Outcomes,
) -> Result<(), Box<dyn Error>> {
    let received = time::parse(&format!("{}Z", failure.p_parse_time.replace(' ', "T")))?;
    if options.from.is_some_and(|from| received < from) || options.to.is_some_and(|to| received >= to) {
        return Ok(());
    }
    let bytes = match failure.payload_encoding.as_str() {
        "base64" => BASE64.decode(failure.payload.as_bytes())?,
        _ => failure.payload.clone().into_bytes(),
    };
    let source = Source { id: failure.p_source_id.clone(), label: failure.p_source_label.clone() };
    let lot = lot::gather(payload::elements(&bytes), schemas, &options.prefix, Origin { received, source: &source });
    let (mut logs, still): (Vec<Object<'_>>, Vec<_>) =
        lot.objects.into_iter().partition(|object| object.log_type.is_some());
    for object in still {
        outcomes.count("still fails", &failure.error, object.count);
    }
    if options.dry_run {
        for object in logs {
            outcomes.count("would be filed", object.log_type.unwrap_or_default(), object.count);
        }
        return Ok(());
    }
    let until = (Instant::now() + Duration::from_mins(1)).into();
    let puts = store.put_all(&mut logs, until).await;
    for (object, put) in logs.into_iter().zip(puts) {
        let outcome = match put? {
            Put::Created => "filed",
            Put::Existed => "filed before",
        };
        outcomes.count(outcome, object.log_type.unwrap_or_default(), object.count);
    }
    Ok(())
}

impl Outcomes {
    fn count(&mut self, outcome: &'static str, of: &str, count: usize) {
        *self.0.entry((outcome, of.to_owned())).or_default() += count;
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN).set_header(["outcome", "log type or error", "failures"]);
        for ((outcome, of), count) in &self.0 {
            table.add_row([outcome, of.as_str(), &count.to_string()]);
        }
        table
    }
}
