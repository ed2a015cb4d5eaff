//! The watcher: every alert that Tracebit lists is in the lake, was published, and somebody gets what is published.
//!
//! ```text
//! listed (Tracebit's API) → stored (the lake) → published (the notifier's markers) → heard (the topics' subscriptions)
//! ```
//!
//! What is listed and not stored, it fetches and stores. What is stored and not published, it sends to the notifier's
//! queue again. It creates objects and messages; it overwrites and deletes nothing.
//!
//! | module | what it does |
//! | --- | --- |
//! | `edge` | an invocation in, the answer and the metrics out |
//! | `round` | built once at INIT; looks at every link once |
//! | `tracebit` | the list of alerts and their logs, from Tracebit's API |
//! | `recover` | an alert's logs, from the API into the lake |
//! | `log` | a log of the API becomes the log that the webhook would have delivered |
//! | `view` | which objects of the lake count |
//! | `lake` | which alerts and duties the lake's objects hold; it remembers what it has read |
//! | `unpublished` | which objects have no marker, and how often their events are sent again |

mod config;
mod edge;
mod lake;
mod log;
mod recover;
mod round;
mod tracebit;
mod unpublished;
mod view;

pub use config::{ListConfig, WatchConfig, api_url};
pub use edge::{AnyEvent, handle};
pub use lake::{Lake, Presence, Unknown};
pub use recover::{Recovered, Recovery};
pub use round::{Round, Watcher};
pub use tracebit::{List, ListedAlert, Tracebit};
pub use view::{Bounds, Since, View};

/// `p_source_label` of a record that came from Tracebit's API and not from the webhook.
pub const SOURCE_LABEL: &str = "tracebit-api";
