//! Real peers for tracebit-lake on loopback: the Lambda Runtime API with the function's process
//! under it, an S3 server, and a Secrets Manager. They speak the wire protocols to a binary that
//! does not know it is under test; nothing here stands in for the product's own code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a broken harness should fail its test loudly, where it broke"
)]
#![allow(clippy::must_use_candidate, reason = "tests may call any of this for its effect or for its time")]

mod fault;
pub mod function_url;
mod json_service;
pub mod runtime_api;
pub mod s3;
pub mod samples;
pub mod secrets_manager;
mod server;
mod socket;
pub mod sqs;

pub use fault::Fault;

/// The secret of `events/`, of the local mode and of tests. Everybody knows it.
pub const DEVELOPMENT_SECRET: &str = "tracebit-lake-development-secret";
