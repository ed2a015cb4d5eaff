//! The whole system, as its users meet it: the built binary under a Lambda Runtime API, in front of a real S3 server and
//! a Secrets Manager, all on loopback. One module for each section of the contract; none looks inside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "a test should fail loudly, and may go through a long table"
)]

mod configuration;
mod deadlines;
mod events;
mod lake;
mod logs;
mod payloads;
mod records;
mod redrive;
mod requests;
mod samples;
mod secrets;
mod signatures;
mod spill;
mod store;
mod storm;
