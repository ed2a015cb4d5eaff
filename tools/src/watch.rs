//! `watch`: one round of the watcher by hand.

use std::time::Duration;

use anyhow::{Result, bail};
use chrono::TimeDelta;
use clap::Args;
use comfy_table::{Table as TextTable, presets::ASCII_MARKDOWN};
use tracebit_lake::{
    aws::{self, Deadline},
    core::severity::Severity,
    watch::{Round, WatchConfig, Watcher},
};

use crate::options::{ApiOptions, LakeOptions, has_endpoint};

/// How long a round may take.
const TIME: Duration = Duration::from_mins(5);

/// Look once whether every alert that Tracebit lists was stored and published, and whether somebody gets it
///
/// Does what the function `…-watch` does every few minutes: it stores what is missing, sends what was not published to
/// the notifier again, and prints what it found. The stack's output `WatchCommand` is this command with its options.
///
/// The exit code is 0 if nothing is missing, and 1 otherwise.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    lake: LakeOptions,
    /// The ARN of the topic for alerts
    #[arg(long, env = "ALERT_TOPIC_ARN")]
    alert_topic: String,
    /// The ARN of the topic for alarms
    #[arg(long, env = "ALARM_TOPIC_ARN")]
    alarm_topic: Option<String>,
    /// The URL of the notifier's queue
    #[arg(long, env = "NOTIFY_QUEUE_URL")]
    queue: String,
    /// The lowest severity of which people are notified
    #[arg(long, env = "NOTIFY_SEVERITY", default_value = "Medium")]
    severity: Severity,
    /// How many days back alerts are compared
    #[arg(long, env = "WATCH_DAYS", default_value_t = 7, value_parser = clap::value_parser!(i64).range(1..=90))]
    days: i64,
    #[command(flatten)]
    api: ApiOptions,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let config = WatchConfig {
        bucket: options.lake.bucket.clone(),
        prefix: options.lake.prefix.clone(),
        topic_arn: options.alert_topic.clone(),
        alarm_topic_arn: options.alarm_topic.clone().filter(|arn| !arn.is_empty()),
        queue_url: options.queue.clone(),
        threshold: options.severity,
        list: options.api.list()?,
        window: TimeDelta::days(options.days),
        grace: TimeDelta::hours(1),
        source_id: options.lake.source_id.clone(),
        stack: None,
        path_style: has_endpoint(),
    };
    let is_listed = config.list.is_some();
    let round = Watcher::init(config, &aws::load().await?)?.round(Deadline::after(TIME)).await;
    println!("{}", table(&round, is_listed));
    for alert in &round.missing_alerts {
        println!(
            "missing: alert {:?}, which began at {} {}",
            alert.id,
            alert.start,
            alert.link.as_deref().unwrap_or("")
        );
    }
    for key in &round.unpublished_keys {
        println!("unpublished: {key:?}");
    }
    if !is_whole(&round) {
        bail!("the chain is not whole; the table and the lines above say where");
    }
    Ok(())
}

fn is_whole(round: &Round) -> bool {
    let is_zero = |count: Option<usize>| count.unwrap_or_default() == 0;
    round.problems.is_empty()
        && is_zero(round.missing)
        && is_zero(round.unpublished)
        && round.alert_subscribers.is_some_and(|count| count > 0)
        && round.alarm_subscribers.is_none_or(|count| count > 0)
}

fn table(round: &Round, is_listed: bool) -> TextTable {
    let mut table = TextTable::new();
    table.load_preset(ASCII_MARKDOWN).set_header(["link", "what was counted", "number"]);
    let not_asked = if is_listed { "not known" } else { "not asked: no --api-url" };
    let list = |count: Option<usize>| count.map_or(not_asked.to_owned(), |count| count.to_string());
    let topic = |count: Option<u64>| count.map_or("not known".to_owned(), |count| count.to_string());
    let unpublished = round.unpublished.map_or("not known".to_owned(), |count| count.to_string());
    for [link, what, number] in [
        ["listed", "alerts of the last days that Tracebit lists", &list(round.listed)],
        ["stored", "of these, missing in the lake", &list(round.missing)],
        ["stored", "logs that this round fetched and stored", &list(round.stored)],
        ["published", "records of which nobody was notified", &unpublished],
        ["heard", "confirmed subscriptions for alerts", &topic(round.alert_subscribers)],
        ["heard", "confirmed subscriptions for alarms", &topic(round.alarm_subscribers)],
    ] {
        table.add_row([link, what, number]);
    }
    for problem in &round.problems {
        table.add_row(["problem", problem, ""]);
    }
    table
}
