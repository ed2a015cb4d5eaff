//! `redrive`: stores the classification failures that today's schemas know.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use aws_sdk_s3::{Client, config::Builder};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use comfy_table::{Table as TextTable, presets::ASCII_MARKDOWN};
use data_encoding::BASE64;
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use tracebit_lake::{
    aws::{
        self, Deadline,
        s3::{Bucket, PutOutcome},
    },
    core::{
        lake::{Batch, Prefix, ReceiveContext, Source, Table},
        payload::{decode_stored, elements},
        schema::{Schemas, probe},
        time as event_time,
    },
    ingest::store,
};

use crate::options::{has_endpoint, prefix, time};

/// How long S3 may take for the objects of one failure.
const STORE_TIME: Duration = Duration::from_mins(1);

/// The limit on a payload after decompression. An operator's machine has room for more than the function has.
const MAX_PAYLOAD_BYTES: usize = 1024 * 1024 * 1024;

/// Store the classification failures that today's schemas know
///
/// Reads the failures in the lake and classifies each again. A log that fits a schema now gets the key and the row id
/// that it would have had at once. Nothing is deleted or overwritten, so the command can be stopped and started again
/// at any time. Credentials and region are the AWS SDK's usual ones; they need `s3:ListBucket`, `s3:GetObject` and
/// `s3:PutObject`.
///
/// The exit code is 0 if nothing is left, and 1 if a failure still fits no schema, or could not be read or stored.
#[derive(Args)]
pub(crate) struct Options {
    /// The lake's bucket
    #[arg(long)]
    bucket: String,
    /// The lake's prefix, as in `LAKE_PREFIX`
    #[arg(long, default_value = "", value_parser = prefix)]
    prefix: Prefix,
    /// Only failures received on this day (2026-11-01) or at this time (RFC 3339), or later
    #[arg(long, value_parser = time)]
    from: Option<DateTime<Utc>>,
    /// Only failures received before this day or time
    #[arg(long, value_parser = time)]
    to: Option<DateTime<Utc>>,
    /// Say what would be stored, and store nothing
    #[arg(long)]
    dry_run: bool,
}

/// The members of a failure's record that count here.
#[derive(Deserialize)]
struct Failure {
    payload: String,
    payload_encoding: String,
    p_parse_time: String,
    p_source_id: Option<String>,
    p_source_label: String,
}

/// How many elements ended in each way, by log type or by reason.
#[derive(Default)]
struct Outcomes {
    counts: BTreeMap<(&'static str, String), usize>,
    /// Whether something is left that is not stored.
    is_incomplete: bool,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let schemas = Schemas::embedded()?;
    let sdk = aws::load().await?;
    let path_style = has_endpoint();
    let bucket = Bucket::new(&sdk, options.bucket.clone(), path_style);
    let client = Client::from_conf(Builder::from(&sdk).force_path_style(path_style).build());

    let keys = keys(&client, options).await?;
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} objects, {eta} left")?;
    let bar = ProgressBar::new(keys.len() as u64).with_style(style);
    let mut outcomes = Outcomes::default();
    for key in keys {
        if let Err(error) = redrive_object(&client, &key, &schemas, &bucket, options, &mut outcomes).await {
            bar.suspend(|| eprintln!("{key}: {error:#}"));
            outcomes.left("not read", &key, 1);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if outcomes.counts.is_empty() {
        println!("There is nothing to redrive.");
        return Ok(());
    }
    println!("{}", outcomes.table());
    if outcomes.is_incomplete {
        bail!("not everything fits a schema or is stored; the table says what is left");
    }
    Ok(())
}

/// The keys of the failures' objects in the hours from `--from` to `--to`.
async fn keys(client: &Client, options: &Options) -> Result<Vec<String>> {
    let folder = Table::Failures.folder(&options.prefix);
    let hour = |time: DateTime<Utc>| format!("{folder}{}", Table::Failures.partition(time, time));
    // Keys are in the order of time, so the list begins just before the first hour that counts.
    let first = options.from.map(hour);
    let end = options.to.map(|to| hour(to + TimeDelta::hours(1)));
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

async fn redrive_object(
    client: &Client,
    key: &str,
    schemas: &Schemas,
    bucket: &Bucket,
    options: &Options,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let get = client.get_object().bucket(&options.bucket).key(key).send().await;
    let object = get.context("check the permission s3:GetObject")?;
    let lines = object.body.collect().await?.into_bytes();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let failure = serde_json::from_slice(line).context("this is not a record of a classification failure")?;
        redrive(&failure, schemas, bucket, options, outcomes).await?;
    }
    Ok(())
}

async fn redrive(
    failure: &Failure,
    schemas: &Schemas,
    bucket: &Bucket,
    options: &Options,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let received = event_time::parse(&format!("{}Z", failure.p_parse_time.replace(' ', "T")))
        .map_err(|problem| anyhow!("p_parse_time: {problem}"))?;
    if options.from.is_some_and(|from| received < from) || options.to.is_some_and(|to| received >= to) {
        return Ok(());
    }
    let bytes = match failure.payload_encoding.as_str() {
        "base64" => BASE64.decode(failure.payload.as_bytes()).context("payload")?,
        _ => failure.payload.clone().into_bytes(),
    };
    // A payload that was kept whole may be compressed, and its first bytes show it.
    let payload = match decode_stored(&bytes, MAX_PAYLOAD_BYTES) {
        Ok(payload) => payload,
        Err(error) => {
            outcomes.left("still fails", &error.to_string(), 1);
            return Ok(());
        }
    };
    let source = Source { id: failure.p_source_id.clone(), label: failure.p_source_label.clone() };
    let batch = Batch::build(elements(&payload, probe), schemas, ReceiveContext { received, source: &source });
    for (violation, count) in batch.failures() {
        outcomes.left("still fails", violation, count);
    }
    let logs = batch.objects(&options.prefix).filter(|object| matches!(object.summary.table, Table::LogType(_)));
    if options.dry_run {
        for object in logs {
            outcomes.count("would be stored", object.summary.table.name(), object.summary.count);
        }
        return Ok(());
    }
    let mut objects = store(bucket, logs, Deadline::after(STORE_TIME));
    while let Some(stored) = objects.next().await {
        let count = stored.summary.count;
        match stored.result {
            Ok(PutOutcome::Created) => outcomes.count("stored", stored.summary.table.name(), count),
            Ok(PutOutcome::AlreadyExists) => outcomes.count("stored before", stored.summary.table.name(), count),
            Err(error) => outcomes.left("not stored", &error.to_string(), count),
        }
    }
    Ok(())
}

impl Outcomes {
    fn count(&mut self, outcome: &'static str, of: &str, count: usize) {
        *self.counts.entry((outcome, of.to_owned())).or_default() += count;
    }

    fn left(&mut self, outcome: &'static str, reason: &str, count: usize) {
        self.is_incomplete = true;
        self.count(outcome, reason, count);
    }

    fn table(&self) -> TextTable {
        let mut table = TextTable::new();
        table.load_preset(ASCII_MARKDOWN).set_header(["outcome", "table or reason", "elements"]);
        for ((outcome, of), count) in &self.counts {
            table.add_row([outcome, of.as_str(), &count.to_string()]);
        }
        table
    }
}
