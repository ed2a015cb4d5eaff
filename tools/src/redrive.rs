//! `redrive`: stores the classification failures that today's schemas know.

use std::{
    collections::BTreeMap,
    env,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aws_sdk_s3::{Client, config::Builder};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use data_encoding::BASE64;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use tracebit_lake::{
    config::Source,
    key::Prefix,
    lot::{self, Object},
    payload,
    record::{FAILURES_TABLE, Origin},
    schema::Schemas,
    sdk,
    store::{Put, Store},
    time,
};

/// How long S3 may take for the objects of one failure.
const STORE_TIME: Duration = Duration::from_mins(1);

/// Store the classification failures that today's schemas know
///
/// Reads the failures in the lake and classifies each again. A log that fits a schema now gets the key and the row id that
/// it would have had at once. Nothing is deleted or overwritten, so the command can be stopped and started again at any
/// time. Credentials and region are the AWS SDK's usual ones; they need `s3:ListBucket`, `s3:GetObject` and `s3:PutObject`.
#[derive(Args)]
pub(crate) struct Options {
    /// The lake's bucket
    #[arg(long)]
    bucket: String,
    /// The lake's prefix, as in `LAKE_PREFIX`
    #[arg(long, default_value = "", value_parser = prefix)]
    prefix: Prefix,
    /// Only failures received at this time (RFC 3339) or later
    #[arg(long, value_parser = time::parse)]
    from: Option<DateTime<Utc>>,
    /// Only failures received before this time (RFC 3339)
    #[arg(long, value_parser = time::parse)]
    to: Option<DateTime<Utc>>,
    /// Say what would be stored, and store nothing
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

pub(crate) async fn run(options: &Options) -> Result<()> {
    let schemas = Schemas::embedded()?;
    let sdk = sdk::load().await;
    let path_style = has_endpoint();
    let store = Store::new(&sdk, options.bucket.clone(), path_style);
    let client = Client::from_conf(Builder::from(&sdk).force_path_style(path_style).build());

    let keys = keys(&client, options).await?;
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} objects, {eta} left")?;
    let bar = ProgressBar::new(keys.len() as u64).with_style(style);
    let mut outcomes = Outcomes::default();
    for key in keys {
        for failure in failures(&client, options, &key).await? {
            redrive(&failure, &schemas, &store, options, &mut outcomes).await.with_context(|| {
                format!("stopped at {key}, after which nothing is stored; correct the cause and run the command again")
            })?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    println!("{}", outcomes.table());
    Ok(())
}

/// Whether the environment names another server than AWS's, which needs path-style addresses.
fn has_endpoint() -> bool {
    ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"]
        .into_iter()
        .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn prefix(text: &str) -> Result<Prefix, String> {
    if text.is_empty() { Ok(Prefix::default()) } else { Prefix::new(text).map_err(|error| error.to_string()) }
}

/// The keys of the failures' objects in the hours from `--from` to `--to`.
async fn keys(client: &Client, options: &Options) -> Result<Vec<String>> {
    let folder = options.prefix.table(FAILURES_TABLE);
    // Keys are in order of time, so listing can begin just before the first hour that counts.
    let first = options.from.map(|from| options.prefix.partition(FAILURES_TABLE, from));
    let end = options.to.map(|to| options.prefix.partition(FAILURES_TABLE, to + TimeDelta::hours(1)));
    let list = client.list_objects_v2().bucket(&options.bucket).prefix(&folder).set_start_after(first);
    let mut pages = list.into_paginator().send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.with_context(|| {
            format!("cannot list s3://{}/{folder}; check --bucket, the region and the credentials", options.bucket)
        })?;
        keys.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key));
    }
    keys.retain(|key| end.as_ref().is_none_or(|end| key < end));
    Ok(keys)
}

/// The failures in one object.
async fn failures(client: &Client, options: &Options, key: &str) -> Result<Vec<Failure>> {
    let get = client.get_object().bucket(&options.bucket).key(key).send().await;
    let object = get.with_context(|| format!("cannot read {key}; check the permission s3:GetObject"))?;
    let lines = object.body.collect().await.with_context(|| format!("cannot read {key}"))?.into_bytes();
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(serde_json::from_slice)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{key} does not hold records of classification failures"))
}

async fn redrive(
    failure: &Failure,
    schemas: &Schemas,
    store: &Store,
    options: &Options,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let received = time::parse(&format!("{}Z", failure.p_parse_time.replace(' ', "T")))
        .map_err(|problem| anyhow::anyhow!("p_parse_time: {problem}"))?;
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
            outcomes.count("would be stored", object.log_type.unwrap_or_default(), object.count);
        }
        return Ok(());
    }
    let puts = store.put_all(&mut logs, (Instant::now() + STORE_TIME).into()).await;
    for (object, put) in logs.into_iter().zip(puts) {
        let outcome = match put? {
            Put::Created => "stored",
            Put::Existed => "stored before",
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
