//! Real peers for tracebit-lake on loopback: the Lambda Runtime API, which runs the function's process, an S3 server, a
//! Secrets Manager, an SQS queue, an SNS topic, an EventBridge bus and Tracebit's API. They speak the wire protocols,
//! so the binary under test is the deployed one; nothing here replaces the product's own code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a broken harness should fail its test loudly, where it broke"
)]
#![allow(clippy::must_use_candidate, reason = "tests may call any of this for its side effect alone")]

pub mod eventbridge;
mod fault;
mod front;
pub mod runtime_api;
pub mod s3;
pub mod secrets_manager;
mod server;
pub mod sns;
mod socket;
pub mod sqs;
pub mod tracebit_api;

pub use fault::Fault;
pub use front::Front;
pub use tracebit_lake_local::{DEVELOPMENT_SECRET, function_url, samples};
