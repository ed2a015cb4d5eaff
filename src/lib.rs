//! Receives Tracebit's canary alerts, verifies them and stores them in your own data lake.
//!
//! A delivery goes through the modules in this order:
//!
//! ```text
//! edge → delivery → signature → payload → schema → record → batch → store → Ingested → edge
//! ```
//!
//! | module | what it does |
//! | --- | --- |
//! | [`webhook`], [`drain`] | the edges: a function-URL event or an SQS message becomes a `Delivery`, and an `Ingested` becomes the response |
//! | `app` | built once at INIT; turns a `Delivery` into an `Ingested` |
//! | `delivery` | what came in, not yet verified |
//! | `auth` | signature and secrets; only a `Verified` body can be decoded |
//! | `payload` | decompression, and the split into elements |
//! | `schema` | Panther's schema language: classification, validation, indicators, metric rules |
//! | `lake` | records, batches of objects, keys, and the store |
//! | `queue` | the spill queue for what S3 does not store in time |
//! | [`notify`] | the bell: tells people and machines about each new object of the lake |
//! | `metrics` | the log line of an invocation, from which CloudWatch makes metrics |
//! | `deadline` | the time policy: deadlines, timeouts and retries |
//! | `config` | the environment variables, read and checked once |
//! | `aws` | what all AWS clients share |
//!
//! Only `auth::secrets`, `lake::store`, `queue::client`, `notify`, `metrics` and the edges do I/O. Everything from the
//! signature to the batch is a pure function of bytes and of a clock that is passed in.

mod app;
mod auth;
mod aws;
mod config;
mod deadline;
mod delivery;
pub mod drain;
mod ingested;
mod invocation;
mod lake;
mod metrics;
pub mod notify;
mod payload;
mod queue;
mod redacted;
mod row_id;
mod schema;
mod time;
pub mod webhook;

pub use app::{App, InitError};
pub use auth::{
    HEADER, MIN_SECRET_BYTES, Secret, SecretError, SecretSource, SecretTooShort, Secrets, Signature, SignatureError,
    Verified, verify,
};
pub use aws::{load as load_aws_config, load_for as load_aws_config_for};
pub use config::{Config, ConfigError};
pub use deadline::Deadline;
pub use delivery::{ContentEncoding, Delivery, Header};
pub use ingested::{Ingested, LogTypeReport, Outcome, PayloadReport};
pub use invocation::Invocation;
pub use lake::{
    BadPrefix, Batch, FAILURES_TABLE, Failure, Object, Partition, Prefix, PutOutcome, PutResult, RECORDS_PER_OBJECT,
    ReceiveContext, Source, Store, StoreError, Summary, Table,
};
pub use notify::{Notifier, NotifyConfig, Preview, Severity};
pub use payload::{DecodeError, Elements, Probe, decode, elements};
pub use queue::{Envelope, NotAnEnvelope, QueueError, SpillQueue, SqsBatchResponse, SqsEvent, SqsMessage};
pub use redacted::Redacted;
pub use row_id::RowId;
pub use schema::{
    Counted, DISCRIMINATOR, Field, Indicator, Indicators, Log, Metric, Rule, Schema, SchemaError, Schemas, Slots,
    Tally, Type, Unclassified, Violation, probe, replace_lone_surrogates,
};
pub use time::{parse as parse_time, sql as sql_time};
pub use webhook::HttpEvent;
