//! The words of a message: an e-mail, a chat notification, a line for SMS, each from the same facts.
//!
//! SNS's `MessageStructure: json` gives each protocol a text of its own. The chat notification is the default, because
//! Amazon Q Developer in chat applications subscribes by HTTPS and must get nothing else.
//!
//! Source of its form: AWS's administrator guide "Amazon Q Developer in chat applications", "Custom notifications".

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    facts::{Alert, Kind},
    markers::Before,
    text,
};
use crate::core::{redacted::Redacted, severity::Severity};

/// Subjects have fewer than 100 characters (SNS).
const MAX_SUBJECT: usize = 99;
/// A line of SMS that SNS sends as one message.
const MAX_SMS: usize = 140;
/// How much of one fact is shown, in characters.
const MAX_FACT: usize = 200;
/// The same of what did not fit, and of a payload.
const MAX_EXCERPT: usize = 600;
/// How much of the target a headline shows.
const MAX_TARGET: usize = 60;
/// Bounds of a chat notification, in characters after escaping. AWS's guide names no limits of its own; Slack refuses a
/// block of more than 3,000.
const MAX_TITLE: usize = 250;
const MAX_DESCRIPTION: usize = 2900;

/// The first message of an alert on a day.
#[derive(Debug)]
pub struct FirstMessage {
    /// The subject of the e-mail.
    pub subject: Redacted<String>,
    /// The text for each protocol, as JSON.
    pub texts: Redacted<String>,
}

/// Writes messages. It knows the Region, for the link to Athena's console.
#[derive(Debug)]
pub(super) struct Writer {
    console: String,
}

impl Writer {
    pub(super) fn new(region: Option<&str>) -> Self {
        Self { console: console(region) }
    }

    /// The first message of an alert on a day: for e-mail, SMS and chat.
    pub(super) fn first(&self, alert: &Alert, before: Before) -> FirstMessage {
        let headline = headline(alert, before);
        let texts = json!({
            "default": self.notification(alert, &headline, &lines(alert, text::chat)),
            "email": self.email(alert),
            "sms": text::ascii(&headline, MAX_SMS),
        });
        let subject = text::ascii(&headline, MAX_SUBJECT);
        FirstMessage { subject: Redacted(subject), texts: Redacted(texts.to_string()) }
    }

    /// A later message of an alert, for chat.
    pub(super) fn chat(&self, alert: &Alert) -> String {
        self.notification(alert, &headline(alert, Before::Enough), &lines(alert, text::chat))
    }

    /// One message for `more` later ones of an alert that has `total` in this hour, for chat.
    pub(super) fn many(&self, alert: &Alert, more: usize, total: u64) -> String {
        let lines = [format!("And {more} more logs of this alert: {total} in this hour. Each is in the lake.")];
        self.notification(alert, &headline(alert, Before::Enough), &lines)
    }

    /// A chat notification, which is JSON. Notifications of one alert share a thread.
    fn notification(&self, alert: &Alert, headline: &str, lines: &[String]) -> String {
        let title = text::cut(&text::chat(headline, MAX_FACT), MAX_TITLE);
        let notification = Notification {
            version: "1.0",
            source: "custom",
            id: &alert.row_id,
            content: Content {
                text_type: "client-markdown",
                title: &title,
                description: text::joined(lines, MAX_DESCRIPTION),
                next_steps: self.next_steps(alert),
            },
            metadata: Metadata {
                thread_id: alert.subject.token().to_owned(),
                summary: &title,
                event_type: "TracebitAlert",
                additional_context: json!({"severity": severity(alert), "p_row_id": text::chat(&alert.row_id, MAX_TARGET)}),
            },
        };
        // Texts alone cannot fail.
        serde_json::to_string(&notification).unwrap_or_default()
    }

    fn email(&self, alert: &Alert) -> String {
        let facts = lines(alert, text::plain).join("\n");
        let steps = text::numbered(&self.next_steps(alert));
        let opening = match alert.subject.kind {
            Kind::Log => "Somebody touched a Tracebit canary. Nobody has a legitimate reason to do that.",
            Kind::UnknownFormat => {
                "Tracebit sent an alert that fits no schema of this lake. It is an alert all the same, and its severity is \
                 not known."
            }
            Kind::Unreadable => {
                "Tracebit signed what follows, and it fits no schema of this lake. It may be an alert: read it."
            }
        };
        format!(
            "{opening}\n\n{facts}\n\nDo this first:\n{steps}\n\
             Further logs of this alert send no e-mail before the next day (UTC). They are in the lake.\n"
        )
    }

    fn next_steps(&self, alert: &Alert) -> Vec<String> {
        let open = match &alert.link {
            Some(link) => format!("Open the alert in Tracebit: {}", link.as_str()),
            None => "Open the alert in Tracebit's portal. This log has no link that leads there.".to_owned(),
        };
        vec![
            open,
            format!("Read the whole alert in Athena, {} : {}", self.console, alert.query.as_str()),
            "Ask the owner of the identity whether they did this. If they did not, disable the identity's credentials."
                .to_owned(),
        ]
    }
}

/// What happened in one line, in the record's own characters.
fn headline(alert: &Alert, before: Before) -> String {
    let target = text::cut(&alert.target, MAX_TARGET);
    let now = if before == Before::LessSevere { " now" } else { "" };
    match (alert.subject.kind, alert.severity) {
        (Kind::Unreadable, _) => "Tracebit sent something that this lake cannot read".to_owned(),
        (Kind::UnknownFormat, _) => format!("Tracebit alert that fits no schema, severity unknown: {target}"),
        (Kind::Log, Some(severity)) => format!("Tracebit alert{now}, {severity}: {target}"),
        (Kind::Log, None) => format!("Tracebit alert, severity unknown: {target}"),
    }
}

fn severity(alert: &Alert) -> String {
    alert.severity.as_ref().map_or_else(|| "unknown".to_owned(), Severity::to_string)
}

/// A fact a line, each behind its label, so that no line begins with an intruder's text.
fn lines(alert: &Alert, harmless: fn(&str, usize) -> String) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(problem) = &alert.problem {
        lines.push(format!("Does not fit: {}", harmless(problem, MAX_EXCERPT)));
    }
    if alert.severity.is_none() {
        lines.push("Severity: unknown".to_owned());
    }
    for (label, value) in &alert.facts {
        let (label, max) = match *label {
            "Severity" if alert.severity.is_none() => ("Severity as sent", MAX_FACT),
            "Payload" => ("Payload", MAX_EXCERPT),
            label => (label, MAX_FACT),
        };
        lines.push(format!("{label}: {}", harmless(value, max)));
    }
    lines
}

/// Athena's query editor. China and the Regions for governments have consoles of their own.
fn console(region: Option<&str>) -> String {
    let region = region.filter(|region| text::is_token(region));
    let host = match region {
        Some(region) if region.starts_with("cn-") => "console.amazonaws.cn",
        Some(region) if region.starts_with("us-gov-") => "console.amazonaws-us-gov.com",
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
    thread_id: String,
    summary: &'a str,
    event_type: &'a str,
    additional_context: Value,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::json::Json;

    fn alert(log: &Value) -> Alert {
        Alert::of_log(&Json::object(&log.to_string()).unwrap(), "0123456789abcdef".to_owned(), "2026-11-24")
    }

    fn log() -> Value {
        json!({
            "alert_id": "a-1",
            "tracebit_portal_url": "https://portal.tracebit.com/alerts/a-1",
            "severity": "High",
            "message": "An object was read.",
            "canary": {"name": "payroll", "type": "AWS::S3::Bucket", "aws": {"account_id": "210987654321"}},
            "principal": {"aws": {"arn": "arn:aws:sts::210987654321:assumed-role/Engineer/dana@acme.example"}},
            "event": {"operation": "GetObject", "request": {"ip": "203.0.113.57", "user_agent": {"raw": "aws-cli/2.31.2"}}},
            "p_event_time": "2026-11-20 02:58:41.207",
        })
    }

    fn parts(log: &Value) -> Value {
        serde_json::from_str(&Writer::new(Some("eu-west-1")).first(&alert(log), Before::Nothing).texts).unwrap()
    }

    #[test]
    fn an_e_mail_says_what_a_person_on_call_asks() {
        let parts = parts(&log());
        let email = parts["email"].as_str().unwrap();
        for line in [
            "Canary: payroll, AWS::S3::Bucket",
            "In: 210987654321",
            "Who: arn:aws:sts::210987654321:assumed-role/Engineer/dana[@]acme[.]example",
            "From: 203.0.113.57",
            "With: aws-cli/2.31.2",
            "Action: GetObject",
            "When: 2026-11-20 02:58:41.207 UTC",
            "Severity: High",
            "1. Open the alert in Tracebit: https://portal.tracebit.com/alerts/a-1",
            "2. Read the whole alert in Athena, https://console.aws.amazon.com/athena/home?region=eu-west-1#/query-editor : \
             SELECT * FROM tracebit_alert WHERE day >= '2026-11-24' AND alert_id = 'a-1' ORDER BY p_event_time",
        ] {
            assert!(email.lines().any(|found| found == line), "{line} in {email}");
        }
    }

    #[test]
    fn an_sms_is_one_short_line() {
        assert_eq!(parts(&log())["sms"], "Tracebit alert, High: payroll");
        let mut long = log();
        long["canary"]["name"] = json!("é\n@".repeat(500));
        let parts = parts(&long);
        let sms = parts["sms"].as_str().unwrap();
        assert!(sms.len() <= MAX_SMS && sms.is_ascii() && !sms.contains('\n'), "{sms}");
    }

    #[test]
    fn a_subject_is_short_ascii() {
        let writer = Writer::new(None);
        assert_eq!(*writer.first(&alert(&log()), Before::Nothing).subject, "Tracebit alert, High: payroll");
        for name in ["x".repeat(500), "é".repeat(500), "@.a".repeat(500), "a\r\nBcc: eve@evil.example".to_owned()] {
            let mut log = log();
            log["canary"]["name"] = json!(name);
            let subject = writer.first(&alert(&log), Before::Nothing).subject.0;
            assert!(subject.len() < 100 && subject.is_ascii() && !subject.contains(['\r', '\n']), "{subject}");
        }
    }

    #[test]
    fn an_unknown_severity_is_said() {
        for severity in [json!("Urgent"), json!(null), json!(7)] {
            let mut log = log();
            log["severity"] = severity;
            let parts = parts(&log);
            assert!(parts["email"].as_str().unwrap().contains("Severity: unknown\n"), "{parts}");
            assert!(parts["sms"].as_str().unwrap().contains("severity unknown"), "{parts}");
        }
    }

    #[test]
    fn a_message_of_huge_values_stays_small() {
        let mut log = log();
        let huge = "@".repeat(1_000_000);
        log["message"] = json!(huge);
        log["canary"]["name"] = json!(huge);
        log["alert_id"] = json!(huge);
        log["tracebit_portal_url"] = json!(format!("https://portal.tracebit.com/{huge}"));
        log["canary_credential"] = json!({"labels": vec![json!({"name": huge, "value": huge}); 20]});
        let first = Writer::new(Some("eu-west-1")).first(&alert(&log), Before::Nothing);
        assert!(first.texts.len() < 32 * 1024, "{}", first.texts.len());
        let chat: Value = serde_json::from_str(parts(&log)["default"].as_str().unwrap()).unwrap();
        assert!(chat["content"]["title"].as_str().unwrap().chars().count() <= MAX_TITLE);
        assert!(chat["content"]["description"].as_str().unwrap().chars().count() <= MAX_DESCRIPTION);
    }

    #[test]
    fn a_failure_says_what_did_not_fit_and_shows_the_payload() {
        let payload = json!({"alert_id": "a-2", "severity": "Info", "canary": {"name": ["x"]}, "event": {"request": {"ip": "192.0.2.7"}}});
        let failure = json!({"error": "canary.name: expected string, found array", "payload": payload.to_string(),
                             "payload_encoding": "utf-8", "log_type": "Tracebit.Alert"});
        let failure = failure.to_string();
        let alert = Alert::of_failure(
            &Json::object(&failure).unwrap(),
            Some("Tracebit.Alert"),
            "00ff".to_owned(),
            "2026-11-24",
        );
        let first = Writer::new(None).first(&alert, Before::Nothing).texts;
        let parts: Value = serde_json::from_str(&first).unwrap();
        let email = parts["email"].as_str().unwrap();
        for text in [
            "Does not fit: canary[.]name: expected string, found array",
            "From: 192.0.2.7",
            "Severity: unknown",
            "Severity as sent: Info",
            "Payload: {\"alert_id\":\"a-2\"",
            "FROM classification_failures WHERE day = '2026-11-24' AND p_row_id = '00ff'",
        ] {
            assert!(email.contains(text), "{text} in {email}");
        }
    }

    #[test]
    fn the_console_is_that_of_the_partition() {
        for (region, start) in [
            (Some("cn-north-1"), "https://console.amazonaws.cn/athena/home?region=cn-north-1#"),
            (Some("us-gov-west-1"), "https://console.amazonaws-us-gov.com/athena/home?region=us-gov-west-1#"),
            (None, "https://console.aws.amazon.com/athena/home#"),
        ] {
            assert!(console(region).starts_with(start), "{region:?}");
        }
    }
}
