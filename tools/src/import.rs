//! `import`: the alerts that Tracebit had before the lake.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use comfy_table::{Table as TextTable, presets::ASCII_MARKDOWN};
use indicatif::{ProgressBar, ProgressStyle};
use tracebit_lake::{
    aws::{self, Deadline, s3::Bucket},
    core::{schema::Schemas, severity::Severity},
    watch::{Bounds, Lake, List, ListedAlert, Presence, Recovered, Recovery, Since, Tracebit},
};

use crate::options::{ApiOptions, LakeOptions, has_endpoint, time};

/// How long the list and a look through the lake may take, and how long one alert.
const LIST_TIME: Duration = Duration::from_mins(5);
const ALERT_TIME: Duration = Duration::from_mins(2);

/// Younger alerts are left to the webhook and to the watcher, which notify people.
const YOUNGEST: TimeDelta = TimeDelta::hours(1);

/// Store the alerts that Tracebit had before the lake
///
/// Fetches the alerts that Tracebit's API lists, with their logs, and stores those that the lake does not know. Nobody
/// is notified of them, and they put nothing on the event bus. Alerts that began within the last hour are left out,
/// because the webhook or the watcher brings them. Nothing is deleted or overwritten, so the command can be stopped and
/// started again at any time. Credentials and region are the AWS SDK's usual ones; they need `s3:ListBucket`,
/// `s3:GetObject` and `s3:PutObject`.
///
/// The exit code is 0 if nothing is left, and 1 if an alert could not be fetched or stored.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    lake: LakeOptions,
    /// Only alerts that began on this day (2026-11-01) or at this time (RFC 3339), or later
    #[arg(long, value_parser = time)]
    since: DateTime<Utc>,
    /// Say what would be stored, and store nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    api: ApiOptions,
}

/// How many alerts and logs ended in each way.
#[derive(Default)]
struct Outcomes(BTreeMap<&'static str, (usize, usize)>);

pub(crate) async fn run(options: &Options) -> Result<()> {
    let Some(list) = options.api.list()? else {
        bail!("Tracebit's API is not named: set --api-url, and --token-secret or TRACEBIT_API_TOKEN");
    };
    let (sdk, now) = (aws::load().await?, Utc::now());
    let tracebit = Tracebit::new(&sdk, list);
    let bucket = Bucket::new(&sdk, options.lake.bucket.clone(), has_endpoint()).quiet();
    let lake = Lake::new(bucket, options.lake.prefix.clone(), Schemas::embedded()?, Severity::DEFAULT_THRESHOLD);
    let deadline = Deadline::after(LIST_TIME);
    let token = tracebit.token(deadline).await.context("the token")?;
    let List { alerts, unreadable, is_cut } = tracebit.alerts(&token, deadline).await?;
    if is_cut && alerts.iter().all(|alert| alert.start >= options.since) {
        let oldest = alerts.iter().map(|alert| alert.start).min().unwrap_or(now);
        eprintln!("The API lists no more than 1000 alerts. Those that began before {oldest} cannot be imported.");
    }
    let mut outcomes = Outcomes::default();
    outcomes.count("not readable", unreadable, 0);
    let (old, young): (Vec<_>, Vec<_>) = alerts.into_iter().partition(|alert| alert.start <= now - YOUNGEST);
    let young = young.iter().filter(|alert| alert.start >= options.since).count();
    outcomes.count("left to the webhook and the watcher, because it is younger than an hour", young, 0);

    let since = Since { day: (options.since - TimeDelta::days(2)).date_naive(), put: options.since };
    let view = lake.view(since, Bounds::NONE, deadline).await.with_context(|| {
        format!("cannot list s3://{}; check --bucket, the region and the credentials", options.lake.bucket)
    })?;
    let alerts: Vec<_> = old.into_iter().filter(|alert| alert.start >= options.since).collect();
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} alerts, {eta} left")?;
    let bar = ProgressBar::new(alerts.len() as u64).with_style(style);
    let recovery =
        Recovery { tracebit: &tracebit, token: &token, lake: &lake, source_id: options.lake.source_id.as_deref() };
    let mut is_incomplete = unreadable > 0;
    for alert in &alerts {
        let deadline = Deadline::after(ALERT_TIME);
        let presence = lake.presence(&alert.id, alert.start, &view, deadline).await;
        let presence = presence.with_context(|| format!("cannot look for alert {:?} in the lake", alert.id))?;
        match presence {
            Presence::Delivered => outcomes.count("in the lake already", 1, 0),
            _ if options.dry_run => outcomes.count("would be stored", 1, 0),
            _ => is_incomplete |= !import(alert, recovery, now, &bar, &mut outcomes).await,
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    println!("{}", outcomes.table());
    if is_incomplete {
        bail!("not every alert is stored; the messages above say why. Run the command again");
    }
    Ok(())
}

/// Whether all logs of the alert are in the lake now.
async fn import(
    alert: &ListedAlert,
    recovery: Recovery<'_>,
    now: DateTime<Utc>,
    bar: &ProgressBar,
    outcomes: &mut Outcomes,
) -> bool {
    let Recovered { logs, stored, error } = recovery.recover(alert, now, Deadline::after(ALERT_TIME)).await;
    match error {
        None if logs == 0 => outcomes.count("lists no log", 1, 0),
        None if stored == 0 => outcomes.count("stored before", 1, logs),
        None => outcomes.count("stored", 1, stored),
        Some(error) => {
            bar.suspend(|| eprintln!("alert {:?}: {error}", alert.id));
            outcomes.count("not stored whole", 1, stored);
            return false;
        }
    }
    true
}

impl Outcomes {
    fn count(&mut self, outcome: &'static str, alerts: usize, logs: usize) {
        if alerts > 0 {
            let counts = self.0.entry(outcome).or_default();
            *counts = (counts.0 + alerts, counts.1 + logs);
        }
    }

    fn table(&self) -> TextTable {
        let mut table = TextTable::new();
        table.load_preset(ASCII_MARKDOWN).set_header(["outcome", "alerts", "logs"]);
        for (outcome, (alerts, logs)) in &self.0 {
            table.add_row([(*outcome).to_owned(), alerts.to_string(), logs.to_string()]);
        }
        table
    }
}
