//! The facts of a record of which people are notified, as the record has them. `message` makes them harmless.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{event::Place, json::Json, text};
use crate::core::{
    lake::{FAILURES_TABLE, Table},
    redacted::Redacted,
    severity::Severity,
};

/// The log type of alerts.
pub(super) const ALERT: &str = "Tracebit.Alert";

/// The longest link that is shown.
const MAX_LINK: usize = 500;

/// How many labels of a credential are shown.
const MAX_LABELS: usize = 10;

/// How much of a payload that fits no schema is shown, in characters.
const EXCERPT: usize = 600;

/// Something of which people are notified.
#[derive(Debug)]
pub(super) struct Alert {
    /// What people are notified of once a day.
    pub(super) subject: Subject,
    /// `p_row_id`.
    pub(super) row_id: String,
    /// The severity, if it is one of the five.
    pub(super) severity: Option<Severity>,
    /// What was touched, in a few words.
    pub(super) target: Redacted<String>,
    /// What else is known, by label.
    pub(super) facts: Vec<(&'static str, Redacted<String>)>,
    /// The alert in Tracebit's portal, if the link leads there.
    pub(super) link: Option<Redacted<String>>,
    /// What did not fit the schema.
    pub(super) problem: Option<Redacted<String>>,
    /// The SQL that finds the alert. It contains nothing of an intruder's.
    pub(super) query: Redacted<String>,
}

/// What kind of thing people are notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A log of an alert.
    Log,
    /// An alert that fits no schema.
    UnknownFormat,
    /// Something else that fits no schema. It was signed, and it may be an alert.
    Unreadable,
}

/// What people are notified of once a day: an alert, or everything unreadable of one log type. Its name may be any text, so
/// its digest stands for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subject {
    pub(super) kind: Kind,
    digest: String,
    /// The name, if it is an identifier that is harmless everywhere.
    token: Option<String>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({:?}, {})", self.kind, self.digest)
    }
}

impl Subject {
    fn new(kind: Kind, name: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update([kind as u8]);
        hash.update(name);
        let digest = HEXLOWER.encode(&hash.finalize()).chars().take(32).collect();
        Self { kind, digest, token: text::is_token(name).then(|| name.to_owned()) }
    }

    /// 32 hex digits.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// The name as chat threads can have it: itself, or its digest.
    pub(super) fn token(&self) -> &str {
        self.token.as_deref().unwrap_or(&self.digest)
    }
}

impl Alert {
    /// The alert of a record of `Tracebit.Alert` in the partition of `day`.
    pub(super) fn of_log(log: &Json<'_>, row_id: String, day: &str) -> Self {
        let id = log.text(&["alert_id"]);
        let condition = match id.as_deref() {
            Some(id) if text::is_token(id) => format!("alert_id = '{id}'"),
            _ => row_condition(&row_id),
        };
        // A later log of the alert may be of a later day.
        let query = format!("SELECT * FROM tracebit_alert WHERE day >= '{day}' AND {condition} ORDER BY p_event_time");
        let subject = Subject::new(Kind::Log, id.as_deref().unwrap_or(&row_id));
        Self { severity: severity(log), ..Self::new(subject, log, row_id, query) }
    }

    /// The alert of a classification failure. `log_type` is what its discriminator names.
    pub(super) fn of_failure(failure: &Json<'_>, log_type: Option<&str>, row_id: String, day: &str) -> Self {
        let query = format!("SELECT * FROM {FAILURES_TABLE} WHERE day = '{day}' AND {}", row_condition(&row_id));
        let payload = match failure.text(&["payload_encoding"]).as_deref() {
            Some("base64") => None,
            _ => failure.text(&["payload"]),
        };
        let log = payload.as_deref().and_then(Json::object).unwrap_or_default();
        let subject = if log_type == Some(ALERT) {
            Subject::new(Kind::UnknownFormat, log.text(&["alert_id"]).as_deref().unwrap_or(&row_id))
        } else {
            Subject::new(Kind::Unreadable, log_type.unwrap_or_default())
        };
        let mut alert = Self::new(subject, &log, row_id, query);
        let unknown = || "the record does not say".to_owned();
        alert.problem = Some(Redacted(failure.text(&["error"]).unwrap_or_else(unknown)));
        let excerpt = payload.map_or_else(|| "(not text)".to_owned(), |payload| text::cut(&payload, EXCERPT));
        alert.facts.push(("Payload", Redacted(excerpt)));
        alert
    }

    /// The alert of an object that is too large to be read, if people are notified of its table.
    pub(super) fn of_large(place: Place<'_>, bytes: usize) -> Option<Self> {
        let row_id = place.id.to_owned();
        let subject = match place.table {
            Table::LogType(schema) if schema.log_type == ALERT => Subject::new(Kind::Log, &row_id),
            Table::LogType(_) => return None,
            Table::Failures => Subject::new(Kind::Unreadable, ""),
        };
        let table = place.table.name();
        let query = format!("SELECT * FROM {table} WHERE day = '{}' AND {}", place.day, row_condition(&row_id));
        let problem = format!("its object of {bytes} bytes is too large to be read here");
        Some(Self { problem: Some(Redacted(problem)), ..Self::new(subject, &Json::default(), row_id, query) })
    }

    fn new(subject: Subject, log: &Json<'_>, row_id: String, query: String) -> Self {
        Self {
            subject,
            row_id,
            severity: None,
            target: Redacted(target(log)),
            facts: facts(log),
            link: log.text(&["tracebit_portal_url"]).and_then(|text| portal_link(&text)).map(Redacted),
            problem: None,
            query: Redacted(query),
        }
    }
}

/// The severity of a log, if it is one of the five.
pub(super) fn severity(log: &Json<'_>) -> Option<Severity> {
    log.text(&["severity"])?.parse().ok()
}

fn row_condition(row_id: &str) -> String {
    // The lake writes hex digits. Other text in its place finds nothing.
    let row_id = if text::is_token(row_id) { row_id } else { "" };
    format!("p_row_id = '{row_id}'")
}

fn target(log: &Json<'_>) -> String {
    let canary = [&["canary", "name"][..], &["canary", "provider_id"], &["canary_credential", "name"]];
    canary.iter().find_map(|path| log.text(path)).unwrap_or_else(|| "a canary".to_owned())
}

/// Each fact is one or several members of the log, with what stands between them.
fn facts(log: &Json<'_>) -> Vec<(&'static str, Redacted<String>)> {
    let joined = |paths: &[&[&str]]| {
        let values: Vec<_> = paths.iter().filter_map(|path| log.text(path)).collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    let first = |paths: &[&[&str]]| paths.iter().find_map(|path| log.text(path));
    let facts = [
        ("Message", log.text(&["message"])),
        ("Canary", joined(&[&["canary", "name"], &["canary", "type"]])),
        (
            "In",
            joined(&[
                &["canary", "aws", "account_name"],
                &["canary", "aws", "account_id"],
                &["canary", "aws", "region"],
                &["canary", "azure", "subscription_name"],
                &["canary", "okta", "domain"],
            ])
            .or_else(|| log.text(&["canary", "provider_account_id"])),
        ),
        ("Credential", joined(&[&["canary_credential", "name"], &["canary_credential", "type"]])),
        ("Planted", labels(log)),
        (
            "Who",
            first(&[
                &["principal", "aws", "arn"],
                &["principal", "okta", "alternate_id"],
                &["principal", "aws", "username"],
                &["principal", "azure", "app_id"],
                &["principal", "google_cloud", "federated_identity_subject"],
                &["principal", "id"],
            ]),
        ),
        ("From", log.text(&["event", "request", "ip"])),
        ("With", first(&[&["event", "request", "user_agent", "raw"], &["event", "request", "user_agent", "label"]])),
        ("Action", joined(&[&["event", "operation"], &["event", "outcome", "result"]])),
        ("When", when(log)),
        ("Severity", log.text(&["severity"])),
    ];
    facts.into_iter().filter_map(|(label, value)| Some((label, Redacted(value?)))).collect()
}

fn labels(log: &Json<'_>) -> Option<String> {
    let label = |label: &Json<'_>| Some(format!("{}={}", label.text(&["name"])?, label.text(&["value"])?));
    let labels: Vec<_> = log.objects(&["canary_credential", "labels"], MAX_LABELS).iter().filter_map(label).collect();
    (!labels.is_empty()).then(|| labels.join(", "))
}

fn when(log: &Json<'_>) -> Option<String> {
    match log.text(&["p_event_time"]) {
        Some(time) => Some(format!("{time} UTC")),
        None => log.text(&["timestamp"]),
    }
}

/// The link, if it leads to Tracebit and has no character that could end it early.
fn portal_link(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?;
    let is_tracebit = host == "tracebit.com" || host.ends_with(".tracebit.com");
    let is_plain = url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:?=&%#+".contains(&byte);
    let link = url.as_str();
    let is_fit = link.len() <= MAX_LINK && link.bytes().all(is_safe);
    (is_tracebit && is_plain && url.port().is_none() && is_fit).then(|| link.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tracebits_portal_is_a_link() {
        for good in
            ["https://portal.tracebit.com/alerts/1?a=b&c=d", "https://tracebit.com/", "https://a.b.tracebit.com/x"]
        {
            assert_eq!(portal_link(good).as_deref(), Some(good));
        }
        for bad in [
            "http://portal.tracebit.com/",
            "https://tracebit.com.evil.example/",
            "https://eviltracebit.com/",
            "https://evil.example/?https://portal.tracebit.com",
            "https://portal.tracebit.com@evil.example/",
            "https://user@portal.tracebit.com/",
            "https://portal.tracebit.com:8443/",
            "https://portal.tracebit.com/a|b",
            "https://portal.tracebit.com/(x)",
            "javascript:alert(1)//.tracebit.com",
            "tracebit.com",
            "",
        ] {
            assert_eq!(portal_link(bad), None, "{bad}");
        }
        assert_eq!(portal_link(&format!("https://portal.tracebit.com/{}", "a".repeat(MAX_LINK))), None);
    }

    #[test]
    fn an_odd_name_is_replaced_by_its_digest() {
        let odd = Subject::new(Kind::Log, "x' OR '1'='1");
        assert_eq!(odd.token(), odd.digest());
        assert_eq!(odd.digest().len(), 32);
        let plain = Subject::new(Kind::Log, "0c6f-7f0e");
        assert_eq!(plain.token(), "0c6f-7f0e");
        assert_ne!(plain.digest(), Subject::new(Kind::UnknownFormat, "0c6f-7f0e").digest());
    }
}
