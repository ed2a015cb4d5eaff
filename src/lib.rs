//! Receives Tracebit's canary alerts, verifies them and stores them in your own data lake.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`core`] | pure functions of bytes, schemas and a clock that is passed in: from a delivery to the objects of the lake |
//! | [`aws`] | the outside: the clients, and how long each call may take |
//! | [`ingest`] | the webhook and the drain: a delivery becomes objects in S3 |
//! | [`notify`] | the notifier: an object in S3 becomes messages for people and events for machines |
//! | [`config`] | the environment variables, read and checked once |
//! | `metrics` | a log line from which CloudWatch makes metrics |

pub mod aws;
pub mod config;
pub mod core;
pub mod ingest;
pub mod metrics;
pub mod notify;
