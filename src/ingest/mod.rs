//! From a request or a message of the spill queue to objects in S3.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`webhook`], [`drain`] | the edges: an event becomes a delivery, and its outcome becomes the response |
//! | `app` | built once at INIT; verifies, decodes, classifies and stores a delivery |
//! | `store` | puts the objects of a payload into the bucket, side by side |
//! | `outcome` | what became of a delivery |
//! | `report` | the log line of an invocation, with its metrics |

mod app;
pub mod drain;
mod outcome;
mod report;
mod store;
pub mod webhook;

pub use app::App;
pub use outcome::{Ingested, LogTypeReport, NotStored, Outcome, PayloadReport};
pub use store::{Stored, store};
