//! Tracebit's API: the list of alerts, and the logs of one.
//!
//! Source: Tracebit's Community `OpenAPI` 3.1, v1, `GET /api/v1/alerts` and `GET /api/v1/alerts/{id}/logs`, read on
//! 2026-11-27. Members that it names and nobody needs here are skipped, and those of a log are kept as they are.

use std::collections::{BTreeMap, HashSet};

use aws_config::SdkConfig;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::{Position, Url};

use super::config::ListConfig;
use crate::{
    aws::{
        CallError, Deadline,
        https::{Api, Token},
        secrets::Tokens,
    },
    core::{redacted::Redacted, time},
    notify,
};

const LIST_ALERTS: &str = "Tracebit's list of alerts";
const LIST_LOGS: &str = "Tracebit's list of an alert's logs";

/// How many alerts the API lists at most.
pub(super) const MAX_LISTED: usize = 1000;

/// The longest id of an alert, in bytes. Tracebit's are UUIDs, and nothing longer gets into a log line.
const MAX_ID: usize = 200;

/// How many pages of one alert's logs are read. An alert of more logs is in the lake by then.
const MAX_PAGES: usize = 1000;

/// A client of Tracebit's API.
#[derive(Debug)]
pub struct Tracebit {
    api: Api,
    url: Url,
    tokens: Tokens,
}

/// An alert as the API lists it.
#[derive(Debug, Clone)]
pub struct ListedAlert {
    /// Its id, the `alert_id` of its logs.
    pub id: String,
    /// When it began.
    pub start: DateTime<Utc>,
    /// It in Tracebit's portal, if the link leads there.
    pub link: Option<String>,
    /// The members that its logs lack.
    pub(super) shared: Shared,
}

/// What all logs of an alert share and the API has in the alert alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared {
    pub(super) provider: Option<Redacted<String>>,
    pub(super) title: Option<Redacted<String>>,
    pub(super) portal_url: Option<Redacted<String>>,
}

/// A log as the API has it: an object whose members' values are kept as they are written.
pub(super) type Log = BTreeMap<String, Box<RawValue>>;

/// The list of alerts.
#[derive(Debug)]
pub struct List {
    /// The alerts, each once.
    pub alerts: Vec<ListedAlert>,
    /// How many entries are no alerts that can be read.
    pub unreadable: usize,
    /// Whether the API may have more alerts than it lists.
    pub is_cut: bool,
}

#[derive(Deserialize)]
struct Alerts {
    alerts: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    start_time: String,
    provider: Option<String>,
    title: Option<String>,
    tracebit_portal_url: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    logs: Vec<Log>,
    next_page: Option<String>,
}

impl Tracebit {
    /// A client of the API that the configuration names.
    #[must_use]
    pub fn new(sdk: &SdkConfig, config: ListConfig) -> Self {
        let ListConfig { url, token } = config;
        Self { api: Api::new(sdk, url[..Position::BeforePath].to_owned()), tokens: Tokens::new(sdk, token), url }
    }

    /// The token as it is now. It may be replaced at any time.
    ///
    /// # Errors
    /// [`CallError`] if it cannot be read.
    pub async fn token(&self, deadline: Deadline) -> Result<Token, CallError> {
        self.tokens.get(deadline).await
    }

    /// The alerts, those that began last first.
    ///
    /// # Errors
    /// [`CallError`] if the API does not list them.
    pub async fn alerts(&self, token: &Token, deadline: Deadline) -> Result<List, CallError> {
        let body = self.api.get(LIST_ALERTS, "/api/v1/alerts?order=desc", token, deadline).await?;
        let Alerts { alerts } = read(LIST_ALERTS, &body)?;
        let listed = alerts.len();
        let mut known = HashSet::new();
        let read: Vec<_> = alerts.iter().filter_map(|alert| ListedAlert::read(alert.get())).collect();
        let unreadable = listed - read.len();
        let alerts = read.into_iter().filter(|alert| known.insert(alert.id.clone())).collect();
        Ok(List { alerts, unreadable, is_cut: listed >= MAX_LISTED })
    }

    /// Adds all logs of an alert to `logs`. If a page cannot be read, those before it are there.
    ///
    /// # Errors
    /// [`CallError`] if a page is missing, repeated or on another host.
    pub(super) async fn logs(
        &self,
        id: &str,
        token: &Token,
        logs: &mut Vec<Log>,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let wrong = |problem: &str| CallError::of_answer(LIST_LOGS, problem);
        let mut read_pages = HashSet::new();
        let mut page = self.first_page(id).ok_or_else(|| wrong("the alert's id cannot stand in a URL"))?;
        loop {
            let path = page[Position::BeforePath..Position::AfterQuery].to_owned();
            let body = self.api.get(LIST_LOGS, &path, token, deadline).await?;
            let Page { logs: more, next_page } = read(LIST_LOGS, &body)?;
            logs.extend(more);
            let Some(next) = next_page.filter(|next| !next.is_empty()) else { return Ok(()) };
            read_pages.insert(path);
            page = page.join(&next).map_err(|_| wrong("next_page is not a URL"))?;
            if page[..Position::BeforePath] != self.url[..Position::BeforePath] {
                return Err(wrong("next_page is on another host, where the token must not go"));
            }
            if read_pages.contains(&page[Position::BeforePath..Position::AfterQuery]) {
                return Err(wrong("next_page leads back to a page that was read"));
            }
            if read_pages.len() >= MAX_PAGES {
                return Err(wrong("there are more than 1000 pages"));
            }
        }
    }

    fn first_page(&self, id: &str) -> Option<Url> {
        let is_segment = !matches!(id, "" | "." | "..");
        let mut url = self.url.clone();
        url.path_segments_mut().ok()?.clear().extend(["api", "v1", "alerts", id, "logs"]);
        is_segment.then_some(url)
    }
}

impl ListedAlert {
    fn read(text: &str) -> Option<Self> {
        let entry: Entry = serde_json::from_str(text).ok().filter(|entry: &Entry| entry.id.len() <= MAX_ID)?;
        let shared = Shared {
            provider: entry.provider.map(Redacted),
            title: entry.title.map(Redacted),
            portal_url: entry.tracebit_portal_url.map(Redacted),
        };
        let link = shared.portal_url.as_deref().and_then(|text| notify::portal_link(text));
        Some(Self { id: entry.id, start: time::parse(&entry.start_time).ok()?, link, shared })
    }
}

/// The error of `serde_json` is left out, because it can quote the answer.
fn read<'a, T: Deserialize<'a>>(operation: &'static str, body: &'a [u8]) -> Result<T, CallError> {
    serde_json::from_slice(body)
        .map_err(|_| CallError::of_answer(operation, "the answer is not the JSON that was expected"))
}
