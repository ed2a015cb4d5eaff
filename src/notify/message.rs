//! The words of a message: an e-mail, a chat notification, a line for SMS, each from the same facts. Whoever reads the
//! subject alone knows how bad it is, what happened, who did it and from where.
//!
//! SNS's `MessageStructure: json` gives each protocol a text of its own. The chat notification is the default, because
//! Amazon Q Developer in chat applications subscribes by HTTPS and must get nothing else.
//!
//! Source of its form: AWS's administrator guide "Amazon Q Developer in chat applications", "Custom notifications".

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    config::Places,
    facts::{Alert, Kind, Log, Text},
    headline::headline,
    markers::Before,
    text::{self, MAX_VALUE},
};
use crate::core::{redacted::Redacted, severity::Severity};

/// Subjects have fewer than 100 characters (SNS).
const MAX_SUBJECT: usize = 99;
/// A line of SMS that SNS sends as one message.
const MAX_SMS: usize = 140;
/// How much of what did not fit, and of a payload, is shown, in characters.
const MAX_EXCERPT: usize = 600;
/// Bounds of a chat notification, in characters after escaping. AWS's guide names no limits of its own; Slack refuses a
/// block of more than 3,000.
const MAX_TITLE: usize = 250;
const MAX_DESCRIPTION: usize = 2900;

/// The first message of a subject on a day, or one of a higher severity.
#[derive(Debug)]
pub struct FirstMessage {
    /// The subject of the e-mail.
    pub subject: Redacted<String>,
    /// The text for each protocol, as JSON.
    pub texts: Redacted<String>,
}

/// Makes a value harmless, and shows that many characters of it.
type Harmless = fn(&str, usize) -> String;

/// Writes messages.
#[derive(Debug)]
pub(super) struct Writer {
    console: String,
    places: Places,
}

impl Writer {
    /// A writer for this Region, which names these places.
    pub(super) fn new(region: Option<&str>, places: Places) -> Self {
        Self { console: console(region), places }
    }

    /// The first message of a subject: for e-mail, SMS and chat.
    pub(super) fn first(&self, alert: &Alert, before: Before) -> FirstMessage {
        let texts = json!({
            "default": chat(alert, &headline(alert, before, text::chat, MAX_TITLE), &lines(alert, text::chat)),
            "email": self.email(alert),
            "sms": headline(alert, before, text::ascii, MAX_SMS),
        });
        let subject = headline(alert, before, text::ascii, MAX_SUBJECT);
        FirstMessage { subject: Redacted(subject), texts: Redacted(texts.to_string()) }
    }

    fn email(&self, alert: &Alert) -> String {
        let lines = lines(alert, text::plain).join("\n");
        let steps = text::numbered(&steps(alert, text::plain));
        let more = self.more(alert).join("\n");
        format!("{lines}\n\nDo now\n{steps}\nMore\n{more}\n")
    }

    fn more(&self, alert: &Alert) -> Vec<String> {
        let Log { account: of_the_canary, client, principal_id, message, severity: sent, .. } = &alert.log;
        let mut lines = Vec::new();
        let mut add = |label: &str, value: &Text| {
            lines.extend(value.as_ref().map(|value| format!("{label}: {}", text::plain(value, MAX_VALUE))));
        };
        add("Account", of_the_canary);
        add("Client", client);
        add("Principal", principal_id);
        add("Message", message);
        add(if alert.severity.is_none() { "Severity as sent" } else { "Severity" }, sent);
        let Places { database, workgroup, runbook, stack, account } = &self.places;
        // Without a database there are no tables that Athena could read.
        if let Some(database) = database {
            let workgroup = workgroup.as_ref().map(|name| format!(", workgroup {name}")).unwrap_or_default();
            let (table, condition) = (&alert.query.table, alert.query.condition.as_str());
            lines.push(format!("Athena{workgroup}: {}", self.console));
            lines.push(format!("SELECT * FROM \"{database}\".\"{table}\" WHERE {condition}"));
        }
        // Without it a person takes the account above, which is often another one, for that of the lake.
        let account = account.as_ref().map(|account| format!(", account {account}")).unwrap_or_default();
        lines.extend(stack.as_ref().map(|name| format!("Stack: {name}{account}")));
        lines.extend(runbook.as_ref().map(|url| format!("Runbook: {url}")));
        lines.push(match alert.subject.kind {
            Kind::Unreadable => {
                "The next e-mail about such logs comes on another day (UTC). All of them are in the lake.".to_owned()
            }
            Kind::Log | Kind::UnknownFormat => {
                "Later logs of this alert send no e-mail before the next day (UTC), unless they are more severe."
                    .to_owned()
            }
        });
        lines
    }
}

/// A later message of an alert, or a quiet one, for chat.
pub(super) fn later(alert: &Alert) -> String {
    let lines = match &alert.quiet {
        Some(reason) => vec![format!("Quiet by a rule of yours: {}", text::chat(reason, MAX_VALUE))],
        None => lines(alert, text::chat),
    };
    chat(alert, &headline(alert, Before::Enough, text::chat, MAX_TITLE), &lines)
}

/// One message for `more` later ones of an alert that has `total` in this hour, for chat.
pub(super) fn many(alert: &Alert, more: usize, total: u64) -> String {
    let lines = [format!(
        "And {more} more logs of this alert: {total} in this hour. All of them are in the lake: {}",
        alert.query.condition.as_str()
    )];
    chat(alert, &headline(alert, Before::Enough, text::chat, MAX_TITLE), &lines)
}

/// A chat notification, which is JSON. Notifications of one subject share a thread.
fn chat(alert: &Alert, title: &str, lines: &[String]) -> String {
    let notification = Notification {
        version: "1.0",
        source: "custom",
        id: &alert.row_id,
        content: Content {
            text_type: "client-markdown",
            title,
            description: text::joined(lines, MAX_DESCRIPTION),
            next_steps: if alert.quiet.is_some() { Vec::new() } else { steps(alert, text::chat) },
        },
        metadata: Metadata {
            thread_id: alert.subject.token(),
            summary: title,
            event_type: "TracebitAlert",
            additional_context: json!({
                "severity": alert.severity.as_ref().map_or_else(|| "unknown".to_owned(), Severity::to_string),
                "p_row_id": text::chat(&alert.row_id, MAX_VALUE),
            }),
        },
    };
    // Texts alone cannot fail.
    serde_json::to_string(&notification).unwrap_or_default()
}

/// What a person asks first, each behind its label, so that no line begins with an intruder's text.
fn lines(alert: &Alert, harmless: Harmless) -> Vec<String> {
    let value = |text: &Text| text.as_ref().map(|text| harmless(text, MAX_VALUE));
    let log = &alert.log;
    let mut lines = vec![format!("What: {}", what(alert, harmless))];
    let mut add = |label: &str, value: Option<String>| lines.extend(value.map(|value| format!("{label}: {value}")));
    add("Problem", alert.problem.as_ref().map(|problem| harmless(problem, MAX_EXCERPT)));
    add("Who", log.principal.described(|name| harmless(name, MAX_VALUE)));
    let from = |ip: &Redacted<String>| text::address(ip).unwrap_or_else(|| harmless(ip, MAX_VALUE));
    add("From", log.ip.as_ref().map(from));
    add("When", when(log, harmless));
    add("Planted in", log.credential.as_ref().and_then(|credential| value(&credential.planted)));
    add("Payload", alert.excerpt.as_ref().map(|payload| harmless(payload, MAX_EXCERPT)));
    lines.push(
        match (alert.subject.kind, &log.credential) {
            (Kind::Unreadable, _) => "Tracebit signed it, so it may be an alert.",
            (Kind::UnknownFormat, _) => "It is an alert. Nobody knows how severe it is until somebody reads it.",
            (Kind::Log, Some(_)) => {
                "The credential is a decoy without permissions. Whoever used it has been where it was planted."
            }
            (Kind::Log, None) => "This is a decoy. Treat it as an intrusion until the owner confirms.",
        }
        .to_owned(),
    );
    lines
}

fn what(alert: &Alert, harmless: Harmless) -> String {
    let value = |text: &Text| text.as_ref().map(|text| harmless(text, MAX_VALUE));
    let Log { operation, result, resource, resource_type, credential, .. } = &alert.log;
    let typed = |name: String, kind: &Text| match value(kind) {
        Some(kind) => format!("{name} ({kind})"),
        None => name,
    };
    let (operation, resource) = (value(operation), value(resource).map(|resource| typed(resource, resource_type)));
    let happened = match (alert.subject.kind, credential) {
        (Kind::Unreadable, _) => return "something that this lake cannot read".to_owned(),
        (Kind::UnknownFormat, _) if operation.is_none() && resource.is_none() => {
            return "an alert in a format that this lake does not know".to_owned();
        }
        (_, Some(credential)) => {
            let name = value(&credential.name).map(|name| format!(" {name}")).unwrap_or_default();
            let used = typed(format!("planted credential{name}"), &credential.kind) + " was used";
            operation.map_or_else(|| used.clone(), |operation| format!("{used}: {operation}"))
        }
        (_, None) => match (operation, resource) {
            (Some(operation), Some(resource)) => format!("{operation} on {resource}"),
            (Some(operation), None) => format!("{operation} on a canary"),
            (None, Some(resource)) => format!("{resource} was touched"),
            (None, None) => "a canary was touched".to_owned(),
        },
    };
    value(result).map_or_else(|| happened.clone(), |result| format!("{happened}. Result: {result}"))
}

/// The event time to the second, and when the lake received the log: its day only if it is another.
fn when(log: &Log, harmless: Harmless) -> Option<String> {
    const SECONDS: usize = "2026-11-20 02:58:41".len();
    let to_the_second = |text: &Text| text.as_ref().map(|text| harmless(text::head(text, SECONDS), SECONDS));
    let (time, received) = (to_the_second(&log.time), to_the_second(&log.received));
    match (time, received) {
        (Some(time), Some(received)) => {
            let is_same_day = time.get(..10) == received.get(..10);
            let received = received.get(11..).filter(|_| is_same_day).unwrap_or(&received);
            Some(format!("{time} UTC, received {received}"))
        }
        (Some(time), None) => Some(format!("{time} UTC")),
        (None, received) => received.map(|received| format!("received {received} UTC")),
    }
}

/// What to do, in at most three steps.
fn steps(alert: &Alert, harmless: Harmless) -> Vec<String> {
    let name = |name: &str| harmless(name, MAX_VALUE);
    let open = match &alert.link {
        Some(link) => format!("Open the alert: {}", link.as_str()),
        None => "Open Tracebit's portal and look for the alert. This log has no link that leads there.".to_owned(),
    };
    match (alert.subject.kind, &alert.log.credential) {
        (Kind::Unreadable | Kind::UnknownFormat, _) => vec![
            open,
            "Read the record: the SQL in the e-mail finds it.".to_owned(),
            "If Tracebit changed its format, upgrade this lake, as its page Operate says under classification-failures."
                .to_owned(),
        ],
        (Kind::Log, Some(_)) => vec![
            "Isolate the place where the credential was planted. Somebody has read it there.".to_owned(),
            "Rotate every other secret that could be read in that place.".to_owned(),
            open,
        ],
        (Kind::Log, None) => vec![
            format!(
                "Ask {} on a channel that the intruder cannot read: \"Did you just do this?\" No answer in 5 minutes means no.",
                alert.log.principal.owner(name)
            ),
            format!("If no: {}", alert.log.principal.stop(name)),
            open,
        ],
    }
}

/// Athena's query editor. China and the Regions for governments and for Europe have consoles of their own.
fn console(region: Option<&str>) -> String {
    let region = region.filter(|region| text::is_token(region));
    let host = match region {
        Some(region) if region.starts_with("cn-") => "console.amazonaws.cn",
        Some(region) if region.starts_with("us-gov-") => "console.amazonaws-us-gov.com",
        Some(region) if region.starts_with("eusc-") => "console.amazonaws-eusc.eu",
        _ => "console.aws.amazon.com",
    };
    let query = region.map(|region| format!("?region={region}")).unwrap_or_default();
    format!("https://{host}/athena/home{query}#/query-editor")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Notification<'a> {
    version: &'a str,
    source: &'a str,
    id: &'a str,
    content: Content<'a>,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    text_type: &'a str,
    title: &'a str,
    description: String,
    next_steps: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    thread_id: &'a str,
    summary: &'a str,
    event_type: &'a str,
    additional_context: Value,
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
