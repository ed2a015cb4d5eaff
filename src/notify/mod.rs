//! The notifier: of each object that appears in the lake, it publishes messages for people and events for machines.
//!
//! ```text
//! SQS message → event → object → records → facts → message → SNS
//!                                        → entries → EventBridge
//! ```
//!
//! S3 sends an event for every object, whoever created it. So notifications start when an alert reaches S3, even if the
//! request that brought it later fails.
//!
//! People get the first message of an alert on a day by every protocol, and each later one in chat alone. A marker in
//! the bucket says that the first one was published.
//!
//! | module | what it does |
//! | --- | --- |
//! | `edge` | an SQS batch in, the messages that stay in the queue out |
//! | `publish` | built once at INIT; reads an object and publishes what is in it |
//! | `people` | the first message of each subject, and the later ones |
//! | `event` | which object an SQS message is about |
//! | `record`, `json` | the lines of an object, and single members of them |
//! | `facts`, `principal` | what a record says of an alert, and of who touched the canary |
//! | `headline`, `message`, `text` | the words for e-mail, chat and SMS, in which nothing of an intruder's text works |
//! | `markers` | of what people were notified today |
//! | `quiet`, `quiet_file` | what the operator knows to be harmless |
//! | `flood` | how many later messages of an alert go to chat |
//! | `put` | events for the bus, each once |
//! | `duty` | what people must have been notified of, for the watcher |
//! | `preview` | all that is published of an object, without a service |

mod config;
mod duty;
mod edge;
mod event;
mod facts;
mod flood;
mod headline;
mod json;
mod markers;
mod message;
mod people;
mod preview;
mod principal;
mod publish;
mod put;
mod quiet;
mod quiet_file;
mod record;
mod text;

pub use config::{NotifyConfig, Places};
pub(crate) use duty::{Duty, Inspected, Notified, inspect, message};
pub use edge::handle;
pub(crate) use facts::portal_link;
pub use message::FirstMessage;
pub use preview::Preview;
pub(crate) use publish::LARGE;
pub use publish::Notifier;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Places, event::CreatedObject, markers::Before, message::Writer, record::Records};
    use crate::core::{lake::Prefix, schema::Schemas, severity::Severity};

    /// Text that stands in every member below.
    const MARK: &str = "private";

    #[test]
    fn no_type_shows_a_record_with_debug() {
        let schemas = Schemas::embedded().unwrap();
        let alert = json!({
            "alert_id": MARK, "severity": MARK, "message": MARK, "canary": {"name": MARK}, "p_row_id": "0f",
        });
        let failure = json!({"error": MARK, "payload": MARK, "log_type": "Tracebit.Alert", "p_row_id": "0f"});
        for (table, line) in [("tracebit_alert", alert.to_string()), ("classification_failures", failure.to_string())] {
            let key = format!("{table}/day=2026-11-24/hour=10/20261124T100000Z-0f.json");
            let event = json!({
                "source": "aws.s3", "detail-type": "Object Created",
                "detail": {"bucket": {"name": "lake"}, "object": {"key": key}},
            });
            let object = CreatedObject::open(&event.to_string()).unwrap();
            let place = object.place("lake", &Prefix::default(), &schemas).unwrap();
            let records = Records::of(line.as_bytes(), place);
            let alert = records.records[0].alert(Severity::Critical).unwrap();
            let shown = [
                format!("{records:?} {records:#?}"),
                format!("{alert:?} {alert:#?}"),
                format!("{:?}", Writer::new(None, Places::default()).first(&alert, Before::Nothing)),
                format!("{:?}", records.records[0].entry(&key, None)),
            ];
            for shown in shown {
                // Nor is the text there as a list of bytes.
                assert!(!shown.contains(MARK) && !shown.contains("112, 114, 105"), "{shown}");
            }
        }
    }
}
