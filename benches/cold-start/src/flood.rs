//! How long an alert waits behind a flood of another alert's logs, each an object of its own.
//!
//! As SQS does, this hands the messages to the notifier's instances ten at a time, in their order. Each call of the
//! notifier takes [`CALL`] and its time on the wire.

use std::{
    collections::VecDeque,
    fs,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tracebit_lake_harness::{
    Fault,
    runtime_api::{Function, InvocationResult},
    s3, sqs,
};

use crate::{
    cloud::{BUCKET, Cloud},
    delivery,
    function::{self, OURS},
    share::Share,
};

/// What a call of a service takes.
const CALL: Duration = Duration::from_millis(20);

/// What the template says: how many messages an invocation gets, and how long it may take.
const BATCH: usize = 10;
const TIMEOUT: Duration = Duration::from_mins(1);

/// The alert behind the flood.
const OTHER: &str = "00000000-0000-4000-8000-000000000000";

/// Publishes a flood of so many logs with so many instances. Returns the time until the alert behind it is published.
pub(crate) async fn measure(root: &Path, memory: u32, logs: usize, instances: usize) -> Result<Duration> {
    const NOTIFIER: &str = "tracebit-lake-notify";
    function::cargo(root, &["--release", "--bin", OURS, "--bin", NOTIFIER])?;
    let [webhook, notifier] = [OURS, NOTIFIER].map(|name| root.join("target/release").join(name));
    let cloud = Cloud::start().await?;
    let messages = Mutex::new(store(&cloud, &webhook, logs).await?);
    let slow = Fault::SlowAnswer(CALL);
    cloud.s3.fail_all_reads(slow);
    for service in [&*cloud.s3, &*cloud.sns, &*cloud.bus] {
        service.fail_always(slow);
    }

    let mut running = Vec::new();
    for _ in 0..instances {
        let function = Function::start(&notifier, &cloud.environment(false)).await;
        function.ready().await.map_err(|output| anyhow!("{output}"))?;
        let share = Share::of(memory);
        share.put(function.pid())?;
        running.push((function, share));
    }
    let started = Instant::now();
    let publish = running.iter().map(|(function, _)| publish(function, &messages));
    futures_util::future::try_join_all(publish).await?;
    let took = started.elapsed();
    let is_other = cloud.sns.published().iter().any(|message| message.text("default").contains(OTHER));
    ensure!(is_other, "the alert behind the flood was not published");
    Ok(took)
}

/// Hands batches to an instance until none is left.
async fn publish(function: &Function, messages: &Mutex<VecDeque<String>>) -> Result<()> {
    loop {
        let batch: Vec<_> = {
            let mut messages = messages.lock().expect("no panic");
            let end = messages.len().min(BATCH);
            messages.drain(..end).collect()
        };
        if batch.is_empty() {
            return Ok(());
        }
        match function.invoke_within(&sqs::event(&batch), TIMEOUT).await {
            InvocationResult::Response(answer) if answer["batchItemFailures"] == json!([]) => {}
            other => return Err(anyhow!("{other:?}")),
        }
    }
}

/// Stores the logs of the flood and one of another alert behind it. Returns S3's events about them.
async fn store(cloud: &Cloud, webhook: &Path, logs: usize) -> Result<VecDeque<String>> {
    let (key, record) = sample(cloud, webhook).await?;
    let members: Value = serde_json::from_str(&record)?;
    let member = |name: &str| members[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
    let (row_id, log_id, flooded) = (member("p_row_id")?, member("id")?, member("alert_id")?);
    let mut messages = VecDeque::with_capacity(logs + 1);
    for n in 0..=logs {
        let id = HEXLOWER.encode(&Sha256::digest(n.to_string()));
        let id = &id[..row_id.len()];
        let alert = if n < logs { &flooded } else { OTHER };
        let record = record.replace(&log_id, &format!("log-{n}")).replace(&flooded, alert).replace(&row_id, id);
        let key = key.replace(&row_id, id);
        let path = cloud.s3.folder().join(BUCKET).join(&key);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(path, &record)?;
        messages.push_back(s3::created(BUCKET, &key, record.len()));
    }
    Ok(messages)
}

/// What the webhook makes of the sample: a key and a record.
async fn sample(cloud: &Cloud, webhook: &Path) -> Result<(String, String)> {
    let function = Function::start(webhook, &cloud.environment(true)).await;
    function.ready().await.map_err(|output| anyhow!("{output}"))?;
    let answer = function.invoke_raw(&delivery::alert(), TIMEOUT).await;
    let stored = cloud.s3.objects(BUCKET).pop_first();
    let (key, record) = stored.with_context(|| format!("nothing stored: {answer:?}"))?;
    Ok((key, String::from_utf8(record)?))
}
