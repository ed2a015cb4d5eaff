//! The whole system, as its users meet it: the built binary under a Lambda Runtime API, in front of a real S3 server and
//! a Secrets Manager, all on loopback. One module for each section of the contract; none looks inside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "a test should fail loudly, may go through a long table, and prints its figures"
)]

mod configuration;
mod deadlines;
mod events;
mod hostile;
mod lake;
mod logs;
mod payloads;
mod records;
mod requests;
mod samples;
mod secrets;
mod signatures;
mod spill;
mod store;
mod storm;
