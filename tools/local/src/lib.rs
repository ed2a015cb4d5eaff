//! What the command-line tool runs on this machine: a function URL, an S3 server on a folder, and the list of samples.
//! The tests' harness builds on them and adds faults, which no tool has.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a server for trying things out should fail loudly, where it broke"
)]
#![allow(clippy::must_use_candidate, reason = "tests may call any of this for its side effect alone")]

pub mod function_url;
mod guard;
pub mod s3;
pub mod samples;
pub mod server;

/// The secret that signs the samples in `events/`. It is public.
pub const DEVELOPMENT_SECRET: &str = "tracebit-lake-development-secret";
