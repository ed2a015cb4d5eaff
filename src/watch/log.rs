//! A log of Tracebit's API becomes the log that the webhook would have delivered.

use serde_json::{json, value::RawValue};

use super::tracebit::{ListedAlert, Log, Shared};
use crate::core::redacted::Redacted;

/// The payload that delivers these logs of `alert`: a JSON array of them, each with what the API has in the alert
/// alone.
#[must_use]
pub(super) fn payload(alert: &ListedAlert, logs: Vec<Log>) -> Redacted<Vec<u8>> {
    let logs: Vec<_> = logs.into_iter().map(|log| complete(log, &alert.shared)).collect();
    // Writing texts into memory cannot fail.
    Redacted(serde_json::to_vec(&logs).unwrap_or_default())
}

/// Adds the members that the log lacks. Those that it has stay as they are.
fn complete(mut log: Log, shared: &Shared) -> Log {
    let is_there = |value: &RawValue| value.get() != "null";
    let is_credential = log.get("canary_credential").is_some_and(|value| is_there(value));
    let subtype = if is_credential { "canary_credential_used" } else { "canary_resource_accessed" };
    let discriminator = json!({"type": "tracebit_alert_log", "subtype": subtype});
    let text = |text: &Option<Redacted<String>>| text.as_ref().map(|text| json!(**text));
    for (name, value) in [
        ("discriminator", Some(discriminator)),
        ("provider", text(&shared.provider)),
        ("message", text(&shared.title)),
        ("tracebit_portal_url", text(&shared.portal_url)),
    ] {
        let raw = value.and_then(|value| serde_json::value::to_raw_value(&value).ok());
        if let Some(raw) = raw.filter(|_| log.get(name).is_none_or(|value| !is_there(value))) {
            log.insert(name.to_owned(), raw);
        }
    }
    log
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::core::{
        payload::elements,
        schema::{Schemas, probe},
    };

    fn shared() -> Shared {
        let text = |text: &str| Some(Redacted(text.to_owned()));
        Shared {
            provider: text("aws"),
            title: text("A canary was used"),
            portal_url: text("https://a.tracebit.com/alerts/1"),
        }
    }

    fn completed(log: &str) -> Value {
        let log = complete(serde_json::from_str(log).unwrap(), &shared());
        serde_json::from_str(&serde_json::to_string(&log).unwrap()).unwrap()
    }

    #[test]
    fn a_log_gets_what_it_lacks_and_keeps_what_it_has() {
        let log = completed(r#"{"id":"l","canary":{},"canary_credential":null,"new":{"a":[1]},"message":"its own"}"#);
        assert_eq!(log["discriminator"], json!({"type": "tracebit_alert_log", "subtype": "canary_resource_accessed"}));
        assert_eq!((&log["provider"], &log["message"]), (&json!("aws"), &json!("its own")));
        assert_eq!(log["tracebit_portal_url"], "https://a.tracebit.com/alerts/1");
        assert_eq!(log["new"], json!({"a": [1]}));
        let log = completed(r#"{"canary_credential":{"name":"n"},"message":null}"#);
        assert_eq!(log["discriminator"]["subtype"], "canary_credential_used");
        assert_eq!(log["message"], "A canary was used");
    }

    #[test]
    fn completed_logs_fit_the_schema_and_keep_their_numbers() {
        let log = |id: &str| {
            let odd = format!(
                "{{\n \"id\": \"{id}\", \"alert_id\": \"a-1\",\n \"timestamp\": \"2026-11-27T10:00:00Z\", \"n\": 1e999 }}"
            );
            serde_json::from_str::<Log>(&odd).unwrap()
        };
        let start = "2026-11-27T10:00:00Z".parse().unwrap();
        let alert = ListedAlert { id: "a-1".to_owned(), start, link: None, shared: shared() };
        let payload = payload(&alert, vec![log("l-1"), log("l-2")]);
        let schemas = Schemas::embedded().unwrap();
        let logs: Vec<_> = elements(&payload, probe).map(|element| schemas.classify(element).unwrap()).collect();
        assert_eq!(logs.len(), 2);
        assert!(std::str::from_utf8(&payload).unwrap().contains("\"n\":1e999"));
    }
}
