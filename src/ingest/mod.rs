//! From a request or a message of the spill queue to objects in S3.

pub(crate) mod app;
pub mod drain;
pub(crate) mod outcome;
pub mod webhook;

pub use app::{App, InitError};
pub use outcome::{Ingested, LogTypeReport, Outcome, PayloadReport};
