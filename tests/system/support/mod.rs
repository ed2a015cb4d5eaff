//! What the tests share.

mod answer;
mod function;
mod lake;
mod output;
mod request;
mod samples;

pub(crate) use answer::{assert_is_json, assert_kept, assert_queued, assert_unavailable, counts};
pub(crate) use function::{
    BINARY, BUCKET, DRAIN, DRAIN_DEADLINE, Drain, NOTIFY, SECRET, WATCH, lake_env, lake_with_queue,
    secrets_manager_env, serve_drain, serve_webhook, spill_env, start_function, start_own_function, start_s3,
};
pub(crate) use lake::{TestLake, peak_memory};
pub(crate) use output::{invocation_line, metrics, output_since, values};
pub(crate) use request::{
    GZIP, JSON, SIGNATURE, ZSTD, bomb, gzip, sign, sign_with, signed_event, signed_event_with, zstd,
};
pub(crate) use samples::{
    ALERTS, FAILURES, HEALTH_CHECKS, alert, alert_at, alert_with_id, altered_alert, health_check,
};
