//! The bell: each object that appears in the lake becomes events for machines, and its alerts become messages for people.
//!
//! ```text
//! SQS message → event → reader → records → alert → message → SNS
//!                                        → entries → EventBridge
//! ```
//!
//! S3 sends an event for every object, whoever created it. So an alert rings because it is in the lake, whatever became of
//! the invocation that stored it.
//!
//! | module | what it does |
//! | --- | --- |
//! | `edge` | the edge: an SQS batch in, the messages that stay in the queue out |
//! | `publish` | built once at INIT; reads an object and tells people and machines about it |
//! | `event` | which object an SQS message is about |
//! | `reader` | fetches the object |
//! | `record`, `json` | the lines of an object, and single members of them |
//! | `facts` | the facts of a record that rings |
//! | `message`, `text` | the words for e-mail, chat and SMS, in which nothing of an intruder's text works |
//! | `sns`, `bus` | the clients of SNS and EventBridge |
//! | `markers` | which alerts have rung today |
//! | `preview` | all that is published of an object, without a service |

mod bus;
mod config;
mod edge;
mod event;
mod facts;
mod json;
mod markers;
mod message;
mod preview;
mod publish;
mod reader;
mod record;
mod sns;
mod text;

pub use crate::core::severity::Severity;
pub use config::NotifyConfig;
pub use edge::handle;
pub use message::First;
pub use preview::Preview;
pub use publish::Notifier;

/// Shows each type that holds something of a record with `Debug`, for the test of what `Debug` may show.
#[cfg(test)]
pub(crate) fn with_each_type(table: &str, line: &str, schemas: &crate::core::schema::Schemas, assert: impl Fn(String)) {
    let key = format!("{table}/day=2026-11-24/hour=10/20261124T100000Z-0f.json");
    let body = serde_json::json!({
        "source": "aws.s3", "detail-type": "Object Created",
        "detail": {"bucket": {"name": "lake"}, "object": {"key": key}},
    });
    let object = event::CreatedObject::open(&body.to_string()).unwrap();
    let place = object.place("lake", &crate::core::lake::Prefix::default(), schemas).unwrap();
    let records = record::Records::of(line.as_bytes(), place);
    let alert = records.records[0].alert(Severity::Critical).unwrap();
    let writer = message::Writer::new(None);
    assert(format!("{records:?} {records:#?}"));
    assert(format!("{alert:?} {alert:#?}"));
    assert(format!("{:?}", writer.first(&alert)));
    assert(format!("{:?}", bus::Entry::of(&records.records[0], &key)));
}
