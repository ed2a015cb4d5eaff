//! Tracebit's canary alerts, verified and filed in your own data lake.
//!
//! One delivery walks through the modules in this order, each step a function of the one before:
//!
//! ```text
//! request → signature → payload → schema → record → key → store
//! ```
//!
//! | module | what it does |
//! | --- | --- |
//! | [`config`] | the environment variables, read and checked once, at INIT |
//! | [`event`] | a function-URL event becomes an HTTP request |
//! | [`signature`] | the HMAC over the body; only a [`signature::Verified`] body can be decoded |
//! | [`secrets`] | the shared secret, from the environment or from Secrets Manager, with rotation |
//! | [`payload`] | decompression, and the split into single logs |
//! | [`schema`] | Panther's schema language: classification, validation, indicators |
//! | [`record`] | the line of JSON that the lake keeps of a log, or of a classification failure |
//! | [`lot`] | the records of one payload, gathered into objects |
//! | [`key`] | where an object lies in the lake |
//! | [`store`] | `PutObject`, never overwriting |
//! | [`spill`] | the queue where a delivery waits when S3 does not take it |
//! | [`metrics`] | the log line of an invocation, which carries the CloudWatch metrics |
//! | [`sdk`] | what all AWS clients share |
//! | [`time`] | times as the lake writes them |
//! | [`handler`] | the walk itself, and the answers |
//!
//! Only [`config`], [`secrets`], [`store`], [`spill`] and [`metrics`] touch the world outside; from [`signature`] to [`key`] all are
//! pure functions of bytes and of a clock that is handed in.

pub mod config;
pub mod event;
pub mod handler;
pub mod indicator;
pub mod key;
pub mod lot;
pub mod metrics;
pub mod payload;
pub mod record;
pub mod schema;
pub mod sdk;
pub mod secrets;
pub mod signature;
pub mod spill;
pub mod store;
pub mod time;
