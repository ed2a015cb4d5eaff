#![doc = include_str!("../ARCHITECTURE.md")]

pub mod aws;
pub mod config;
pub mod core;
pub mod ingest;
pub mod metrics;
pub mod notify;
pub mod watch;
