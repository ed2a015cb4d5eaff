//! The facts of a record of which people are notified, as the record has them. `message` makes them harmless.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{event::Place, json::Json, principal::Principal, text};
use crate::core::{lake::Table, redacted::Redacted, schema::ALERT, severity::Severity};

/// The longest link that is shown.
const MAX_LINK: usize = 500;

/// How many labels of a credential are shown.
const MAX_LABELS: usize = 10;

/// How much of a payload that fits no schema is kept, in bytes. A message shows less.
const EXCERPT: usize = 4096;

/// A text that an intruder may have written, if the log has it.
pub(super) type Text = Option<Redacted<String>>;

/// Something of which people are notified.
#[derive(Debug)]
pub(super) struct Alert {
    /// What people are notified of once a day.
    pub(super) subject: Subject,
    /// `p_row_id`.
    pub(super) row_id: String,
    /// The severity, if it is one of the five.
    pub(super) severity: Option<Severity>,
    /// What the log says.
    pub(super) log: Log,
    /// The alert in Tracebit's portal, if the link leads there.
    pub(super) link: Text,
    /// What did not fit the schema.
    pub(super) problem: Text,
    /// The beginning of a payload that fits no schema.
    pub(super) excerpt: Text,
    /// What finds the record in Athena.
    pub(super) query: Query,
    /// Why nobody is to be woken by it, if a rule of the operator's says so.
    pub(super) quiet: Option<String>,
}

/// What a log says, as far as a message shows it.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) operation: Text,
    pub(super) result: Text,
    pub(super) resource: Text,
    pub(super) resource_type: Text,
    pub(super) credential: Option<Credential>,
    pub(super) principal: Principal,
    /// The principal as the platform names it.
    pub(super) principal_id: Text,
    pub(super) ip: Text,
    pub(super) client: Text,
    /// Account, subscription or organisation, and Region.
    pub(super) account: Text,
    pub(super) message: Text,
    /// The severity as sent.
    pub(super) severity: Text,
    /// The event time, in UTC.
    pub(super) time: Text,
    /// When the lake received it, in UTC.
    pub(super) received: Text,
}

/// A planted credential that was used.
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) name: Text,
    pub(super) kind: Text,
    /// The labels that say where it was planted.
    pub(super) planted: Text,
}

/// The condition that finds a record. It contains nothing of an intruder's.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) table: String,
    pub(super) condition: Redacted<String>,
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

/// What people are notified of once a day: an alert, or everything unreadable of one log type. Its name may be any
/// text, so its digest stands for it.
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
    pub(super) fn of_log(log: &Json<'_>, row_id: String, place: Place<'_>) -> Self {
        let id = log.text(&["alert_id"]);
        let condition = match id.as_deref() {
            Some(id) if text::is_token(id) => format!("alert_id = '{id}'"),
            _ => row_condition(&row_id),
        };
        // A later log of the alert may be of a later day.
        let query = Query::new(place, ">=", &condition);
        let subject = Subject::new(Kind::Log, id.as_deref().unwrap_or(&row_id));
        Self { severity: severity(log), ..Self::new(subject, log, row_id, query) }
    }

    /// The alert of a classification failure. `log_type` is what its discriminator names.
    pub(super) fn of_failure(failure: &Json<'_>, log_type: Option<&str>, row_id: String, place: Place<'_>) -> Self {
        let query = Query::new(place, "=", &row_condition(&row_id));
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
        alert.log.received = text_of(failure, &["p_parse_time"]);
        alert.problem = text_of(failure, &["error"]);
        alert.excerpt = payload.map(|payload| Redacted(text::head(&payload, EXCERPT).to_owned()));
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
        let query = Query::new(place, "=", &row_condition(&row_id));
        let problem = Redacted(format!("its object of {bytes} bytes is too large to be read here"));
        Some(Self { problem: Some(problem), ..Self::new(subject, &Json::default(), row_id, query) })
    }

    fn new(subject: Subject, log: &Json<'_>, row_id: String, query: Query) -> Self {
        Self {
            subject,
            row_id,
            severity: None,
            log: Log::of(log),
            link: log.text(&["tracebit_portal_url"]).and_then(|text| portal_link(&text)).map(Redacted),
            problem: None,
            excerpt: None,
            query,
            quiet: None,
        }
    }
}

impl Query {
    fn new(place: Place<'_>, days: &str, condition: &str) -> Self {
        let condition = format!("day {days} '{}' AND {condition}", place.day);
        Self { table: place.table.name().to_owned(), condition: Redacted(condition) }
    }
}

impl Log {
    fn of(log: &Json<'_>) -> Self {
        let first = |paths: &[&[&str]]| paths.iter().find_map(|path| text_of(log, path));
        let joined = |paths: &[&[&str]]| joined(paths.iter().filter_map(|path| log.text(path)));
        let resources = log.objects(&["event", "resources"], 1);
        let resource = |member: &str| resources.first().and_then(|resource| text_of(resource, &[member]));
        Self {
            operation: text_of(log, &["event", "operation"]),
            result: text_of(log, &["event", "outcome", "result"]),
            resource: first(&[&["canary", "name"], &["canary", "provider_id"]]).or_else(|| resource("id")),
            resource_type: text_of(log, &["canary", "type"]).or_else(|| resource("type")),
            credential: log.object_at(&["canary_credential"]).map(|credential| Credential::of(&credential)),
            principal: Principal::of(log),
            principal_id: first(&[&["principal", "aws", "arn"], &["principal", "id"]]),
            ip: text_of(log, &["event", "request", "ip"]),
            client: first(&[&["event", "request", "user_agent", "raw"], &["event", "request", "user_agent", "label"]]),
            account: joined(&[
                &["canary", "aws", "account_name"],
                &["canary", "aws", "account_id"],
                &["canary", "aws", "region"],
                &["canary", "azure", "subscription_name"],
                &["canary", "okta", "domain"],
            ])
            .or_else(|| first(&[&["canary", "provider_account_id"], &["principal", "aws", "account_id"]])),
            message: text_of(log, &["message"]),
            severity: text_of(log, &["severity"]),
            time: first(&[&["p_event_time"], &["timestamp"]]),
            received: text_of(log, &["p_parse_time"]),
        }
    }
}

impl Credential {
    fn of(credential: &Json<'_>) -> Self {
        let label = |label: &Json<'_>| Some(format!("{}={}", label.text(&["name"])?, label.text(&["value"])?));
        let labels = credential.objects(&["labels"], MAX_LABELS);
        let planted = text::listed(labels.iter().filter_map(label), text::MAX_VALUE);
        Self {
            name: text_of(credential, &["name"]),
            kind: text_of(credential, &["type"]),
            planted: (!planted.is_empty()).then_some(Redacted(planted)),
        }
    }
}

fn text_of(json: &Json<'_>, path: &[&str]) -> Text {
    json.text(path).map(Redacted)
}

fn joined(values: impl Iterator<Item = String>) -> Text {
    let values: Vec<_> = values.collect();
    (!values.is_empty()).then(|| Redacted(values.join(", ")))
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

/// The link, if it leads to Tracebit and has no character that could end it early.
pub(crate) fn portal_link(text: &str) -> Option<String> {
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
