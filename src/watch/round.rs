//! One round over the chain: listed, stored, published, heard. Each link is looked at beside the others, so that one
//! that hangs hides nothing of the rest.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use aws_config::SdkConfig;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use tokio::sync::OnceCell;

use super::{
    config::WatchConfig,
    lake::{Lake, Presence},
    recover::{Recovered, Recovery},
    tracebit::{List, ListedAlert, Tracebit},
    unpublished::{Rounds, unpublished},
    view::{Bounds, Since, View},
};
use crate::{
    aws::{
        self, CallError, Deadline,
        https::Token,
        s3::{Bucket, Listed, Listing},
        sns::Topic,
        sqs::Queue,
    },
    config::InitError,
    core::schema::Schemas,
    notify::{self, Notified},
};

/// How old an object must be to be watched, because the notifier needs time, and how old it may be.
const YOUNGEST: TimeDelta = TimeDelta::minutes(10);
const OLDEST: TimeDelta = TimeDelta::days(2);

/// How many pages of a thousand markers are listed in a round.
const MAX_MARKER_PAGES: usize = 100;

/// What one round found. A number is `None` if nobody could look, and `problems` say why.
#[derive(Debug, Default, Serialize)]
pub struct Round {
    /// Alerts of the last days that Tracebit's API lists.
    pub listed: Option<usize>,
    /// Those of them that should be in the lake and were not when the round began.
    pub missing: Option<usize>,
    /// Logs of missing alerts that this round put into the lake.
    pub stored: Option<usize>,
    /// Records in the lake of which people must be notified and were not.
    pub unpublished: Option<usize>,
    /// Confirmed subscriptions of the topic for alerts.
    pub alert_subscribers: Option<u64>,
    /// Confirmed subscriptions of the topic for alarms.
    pub alarm_subscribers: Option<u64>,
    /// What could not be looked at, and what else an operator must know.
    pub problems: Vec<String>,
    /// The missing alerts.
    #[serde(skip)]
    pub missing_alerts: Vec<ListedAlert>,
    /// The keys of the unpublished objects.
    #[serde(skip)]
    pub unpublished_keys: Vec<String>,
}

/// Everything that serves all rounds.
#[derive(Debug)]
pub struct Watcher {
    lake: Lake,
    alert_topic: Topic,
    alert_topic_arn: String,
    alarm_topic: Option<Topic>,
    queue: Queue,
    tracebit: Option<Tracebit>,
    window: TimeDelta,
    grace: TimeDelta,
    source_id: Option<String>,
    stack: Option<String>,
    rounds: Mutex<Rounds>,
    /// The alerts of which not every log could be stored.
    incomplete: Mutex<HashSet<String>>,
}

/// The lake as it is listed in this round, by whichever link needs it first.
type SharedView = OnceCell<Result<View, CallError>>;

impl Watcher {
    /// The watcher that the process's environment describes.
    ///
    /// # Errors
    /// [`InitError`] if the function cannot start.
    pub async fn from_env() -> Result<Self, InitError> {
        let config = WatchConfig::from_env()?;
        Self::init(config, &aws::load().await?)
    }

    /// Builds the clients.
    ///
    /// # Errors
    /// As [`Watcher::from_env`].
    pub fn init(config: WatchConfig, sdk: &SdkConfig) -> Result<Self, InitError> {
        let bucket = Bucket::new(sdk, config.bucket, config.path_style);
        Ok(Self {
            lake: Lake::new(bucket, config.prefix, Schemas::embedded()?, config.threshold),
            alert_topic: Topic::new(sdk, config.topic_arn.clone()),
            alert_topic_arn: config.topic_arn,
            alarm_topic: config.alarm_topic_arn.map(|arn| Topic::new(sdk, arn)),
            queue: Queue::new(sdk, config.queue_url),
            tracebit: config.list.map(|list| Tracebit::new(sdk, list)),
            window: config.window,
            grace: config.grace,
            source_id: config.source_id,
            stack: config.stack,
            rounds: Mutex::default(),
            incomplete: Mutex::default(),
        })
    }

    /// The stack's name, by which metrics of several stacks are kept apart.
    pub(super) fn stack(&self) -> Option<&str> {
        self.stack.as_deref()
    }

    /// Looks at every link, by the deadline.
    pub async fn round(&self, deadline: Deadline) -> Round {
        let (now, view) = (Utc::now(), SharedView::new());
        let (mut listed, mut published, mut heard) = (Round::default(), Round::default(), Round::default());
        // Work that is cut off has said in its part of the answer how far it came. Boxed, because the compiler gives up
        // on the layout of all three together.
        let (is_listed, is_published, is_heard) = tokio::join!(
            deadline.bound(Box::pin(self.look_at_list(now, &view, &mut listed, deadline))),
            deadline.bound(Box::pin(self.look_at_lake(now, &view, &mut published, deadline))),
            deadline.bound(Box::pin(self.look_at_topics(&mut heard, deadline))),
        );
        for (done, link) in [(is_listed, "listed"), (is_published, "published"), (is_heard, "heard")] {
            if done.is_none() {
                heard.problems.push(format!("{link}: the time ran out"));
            }
        }
        let problems = [&listed.problems[..], &published.problems, &heard.problems].concat();
        for problem in &problems {
            tracing::warn!("{problem}");
        }
        Round {
            unpublished: published.unpublished,
            unpublished_keys: published.unpublished_keys,
            alert_subscribers: heard.alert_subscribers,
            alarm_subscribers: heard.alarm_subscribers,
            problems,
            ..listed
        }
    }

    /// Heard: whether anybody gets what is published.
    async fn look_at_topics(&self, round: &mut Round, deadline: Deadline) {
        let alarms = async {
            match &self.alarm_topic {
                Some(topic) => topic.subscribers(deadline).await.map(Some),
                None => Ok(None),
            }
        };
        let (alerts, alarms) = tokio::join!(self.alert_topic.subscribers(deadline), alarms);
        match alerts {
            Ok(subscribers) => round.alert_subscribers = Some(subscribers),
            Err(error) => round.problems.push(format!("heard: subscriptions for alerts: {error}")),
        }
        match alarms {
            Ok(subscribers) => round.alarm_subscribers = subscribers,
            Err(error) => round.problems.push(format!("heard: subscriptions for alarms: {error}")),
        }
    }

    /// Published: whether people were notified of what the lake holds. If not, the notifier gets the object's event
    /// again.
    async fn look_at_lake(&self, now: DateTime<Utc>, view: &SharedView, round: &mut Round, deadline: Deadline) {
        let objects = match self.unpublished(now, view, deadline).await {
            Ok(objects) => objects,
            Err(problem) => return round.problems.push(format!("published: {problem}")),
        };
        round.unpublished = Some(objects.iter().map(|(_, records)| records).sum());
        round.unpublished_keys = objects.iter().map(|(object, _)| object.key.clone()).collect();
        let due = get(&self.rounds).begin(&objects.iter().map(|(object, _)| object).collect::<Vec<_>>());
        for object in due {
            let message = notify::message(self.lake.bucket().name(), &object.key, object.bytes);
            let (key, times) = (&object.key, get(&self.rounds).of(&object.key));
            match self.queue.send(message, deadline).await {
                Ok(()) if times < 4 => tracing::error!(
                    "nobody was notified of object {key:?}, so its event is in the notifier's queue again"
                ),
                Ok(()) => tracing::error!(
                    "nobody was notified of object {key:?} for {times} rounds, so its event is in the notifier's queue \
                     again; look at the notifier's log, and whether it may write its markers"
                ),
                Err(error) => {
                    get(&self.rounds).not_sent(key);
                    round.problems.push(format!("published: the notifier's queue: {error}"));
                    return;
                }
            }
        }
    }

    async fn unpublished(
        &self,
        now: DateTime<Utc>,
        view: &SharedView,
        deadline: Deadline,
    ) -> Result<Vec<(Listed, usize)>, String> {
        let view = self.view(now, view, deadline).await?;
        let objects = self.lake.duties_between(view, now - OLDEST, now - YOUNGEST, deadline).await;
        let objects = objects.map_err(|error| error.to_string())?;
        let folder = Notified::folder(self.lake.prefix(), &self.alert_topic_arn);
        let after = Notified::start_of(&folder, (now - OLDEST).date_naive());
        let markers = self.lake.bucket().list_after(&folder, &after, MAX_MARKER_PAGES, deadline).await;
        let Listing { objects: markers, is_cut } = markers.map_err(|error| error.to_string())?;
        if is_cut || view.is_cut {
            return Err("there are too many objects to compare in one round".to_owned());
        }
        let notified = Notified::of(&folder, markers.iter().map(|marker| marker.key.as_str()));
        Ok(unpublished(&objects, &notified))
    }

    /// Listed and stored: whether each alert that Tracebit lists is in the lake. If not, its logs are fetched and
    /// stored.
    async fn look_at_list(&self, now: DateTime<Utc>, view: &SharedView, round: &mut Round, deadline: Deadline) {
        let Some(tracebit) = &self.tracebit else { return };
        // If the API hangs, time is left to say so.
        let (token, alerts) = match self.list(tracebit, now, round, deadline.share_of(2)).await {
            Ok(found) => found,
            Err(error) => return round.problems.push(format!("listed: {error}")),
        };
        round.listed = Some(alerts.len());
        let view = match self.view(now, view, deadline).await {
            Ok(view) => view,
            Err(problem) => return round.problems.push(format!("listed: {problem}")),
        };
        let (missing, unknown) = self.missing(&alerts, now, view, deadline).await;
        if let Some((count, problem)) = unknown {
            round.problems.push(format!("listed: {count} alerts could not be looked for in the lake: {problem}"));
            round.missing = Some(missing.len()).filter(|missing| *missing > 0);
        } else {
            round.missing = Some(missing.len());
        }
        let incomplete = get(&self.incomplete).clone();
        let is_missing = |alert: &ListedAlert| missing.iter().any(|missing| missing.id == alert.id);
        let again: Vec<_> =
            alerts.iter().filter(|alert| incomplete.contains(&alert.id) && !is_missing(alert)).collect();
        round.missing_alerts = missing.iter().map(|alert| (*alert).clone()).collect();
        let recovery = Recovery { tracebit, token: &token, lake: &self.lake, source_id: self.source_id.as_deref() };
        let mut stored = 0;
        for alert in missing.into_iter().chain(again) {
            let Recovered { logs, stored: new, error } = recovery.recover(alert, now, deadline).await;
            stored += new;
            round.stored = Some(stored);
            let (id, start) = (&alert.id, alert.start);
            match error {
                None if logs == 0 => {
                    round.problems.push(format!("listed: alert {id:?} is not in the lake and lists no log"));
                }
                None => {
                    self.lake.recovered(id);
                    get(&self.incomplete).remove(id);
                    tracing::error!(
                        "alert {id:?}, which began at {start}, was not in the lake, so its {logs} logs were fetched and \
                         stored; Tracebit's delivery failed: look at the integration in its console, and at the alarms \
                         of the webhook"
                    );
                }
                Some(error) => {
                    get(&self.incomplete).insert(id.clone());
                    round.problems.push(format!("listed: alert {id:?} is not in the lake whole: {error}"));
                }
            }
        }
        round.stored = Some(stored);
    }

    /// The alerts of the window, and the token that listed them.
    async fn list(
        &self,
        tracebit: &Tracebit,
        now: DateTime<Utc>,
        round: &mut Round,
        deadline: Deadline,
    ) -> Result<(Token, Vec<ListedAlert>), CallError> {
        let token = tracebit.token(deadline).await?;
        let List { mut alerts, unreadable, is_cut } = tracebit.alerts(&token, deadline).await?;
        let first = now - self.window;
        if is_cut && alerts.iter().all(|alert| alert.start >= first) {
            round.problems.push(format!(
                "listed: 1000 alerts do not cover the last {} days: the API lists no more, so older alerts were not compared",
                self.window.num_days(),
            ));
        }
        if unreadable > 0 {
            round.problems.push(format!("listed: {unreadable} entries of the list are not alerts that can be read"));
        }
        alerts.retain(|alert| alert.start >= first);
        Ok((token, alerts))
    }

    /// The alerts that should be in the lake and are not. Of how many nobody knows, and why.
    async fn missing<'a>(
        &self,
        alerts: &'a [ListedAlert],
        now: DateTime<Utc>,
        view: &View,
        deadline: Deadline,
    ) -> (Vec<&'a ListedAlert>, Option<(usize, String)>) {
        let (mut missing, mut unknown) = (Vec::new(), None);
        for alert in alerts.iter().filter(|alert| alert.start <= now - self.grace) {
            match self.lake.presence(&alert.id, alert.start, view, deadline).await {
                Ok(Presence::Absent) => missing.push(alert),
                Ok(Presence::Recovered | Presence::Delivered) => {}
                Err(problem) => unknown.get_or_insert((0, problem.to_string())).0 += 1,
            }
        }
        (missing, unknown)
    }

    async fn view<'v>(&self, now: DateTime<Utc>, view: &'v SharedView, deadline: Deadline) -> Result<&'v View, String> {
        let window = self.window.max(OLDEST);
        // The event of a log can be two days older than its alert, or than its object.
        let since = Since { day: (now - window - TimeDelta::days(2)).date_naive(), put: now - window };
        let view = view.get_or_init(|| self.lake.view(since, Bounds::ROUND, deadline)).await;
        view.as_ref().map_err(ToString::to_string)
    }
}

fn get<T>(memory: &Mutex<T>) -> MutexGuard<'_, T> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}
