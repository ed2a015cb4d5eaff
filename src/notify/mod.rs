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
//! | `handler` | the edge: an SQS batch in, the messages that stay in the queue out |
//! | `notifier` | built once at INIT; reads an object and tells people and machines about it |
//! | `event` | which object an SQS message is about |
//! | `reader` | fetches the object |
//! | `record`, `json` | the lines of an object, and single members of them |
//! | `alert`, `severity` | the facts of a record that rings |
//! | `message`, `text` | the words for e-mail, chat and SMS, in which nothing of an intruder's text works |
//! | `sns`, `bus` | the clients of SNS and EventBridge |
//! | `state` | which alerts have rung today |

mod alert;
mod bus;
mod config;
mod event;
mod handler;
mod json;
mod message;
mod notifier;
mod reader;
mod record;
mod severity;
mod sns;
mod state;
mod text;

pub use config::NotifyConfig;
pub use handler::handle;
pub use notifier::Notifier;
pub use severity::Severity;
