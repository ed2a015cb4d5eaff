//! The steps between the request and the store, once, for a payload of so many bytes: `tracebit-lake-pure BYTES`.
//! `.ci/counts` runs it in valgrind, which counts only what [`verify_validate_record`] does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark stops where it is broken")]

#[path = "../../payload/mod.rs"]
mod payload;

use std::{env, hint::black_box};

use chrono::{DateTime, Utc};
use tracebit_lake::core::{
    lake::{Batch, Prefix, ReceiveContext, Source},
    payload::{decode, elements},
    schema::{Schemas, probe},
};

use crate::payload::{Delivery, alerts};

fn main() {
    let bytes = env::args().nth(1).unwrap().parse().unwrap();
    let source = Source { id: None, label: "tracebit".to_owned() };
    black_box(verify_validate_record(&Delivery::of(alerts(bytes)), &Schemas::embedded().unwrap(), &source));
}

/// From the signature to the objects that go to S3. Returns their size.
#[inline(never)]
fn verify_validate_record(delivery: &Delivery, schemas: &Schemas, source: &Source) -> usize {
    let context = ReceiveContext { received: DateTime::<Utc>::UNIX_EPOCH, source };
    let payload = decode(delivery.verified(), usize::MAX).unwrap();
    let batch = Batch::build(elements(&payload, probe), schemas, context);
    batch.objects(&Prefix::default()).map(|object| object.body().len()).sum()
}
