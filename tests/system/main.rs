//! System tests: the built binary under a Lambda Runtime API, with a real S3 server, Secrets Manager, SQS, SNS
//! and EventBridge on loopback.
//!
//! Each module is named after what it tests. The tests see only what a user sees: answers, objects and output.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "a test should fail loudly, may contain a long table, and prints its figures"
)]

mod support;

mod chaos;
mod classification;
mod compression;
mod configuration;
mod connections;
mod deadline;
mod events;
mod hostile;
mod http;
mod keys;
mod logs;
mod metrics;
mod notify;
mod one_row;
mod payload;
mod queue;
mod record;
mod secrets;
mod signature;
mod slow;
mod store;
mod watch;
