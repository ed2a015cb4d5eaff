//! The steps between the request and the store, in bytes of payload a second, beside SHA-256 alone: `cargo bench
//! --bench pipeline`. Payloads are alerts, a line each: one of 2 KB, 64 KB of them, and the 6 MB that a function URL
//! takes. Then the notifier's part: from S3's event and the object to the messages and events, in records a second.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark stops where it is broken")]

mod payload;

use std::{io::Write as _, sync::LazyLock};

use chrono::{DateTime, Utc};
use divan::{
    Bencher, black_box,
    counter::{BytesCount, ItemsCount},
};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};
use tracebit_lake::{
    core::{
        lake::{Batch, Prefix, ReceiveContext, Source},
        payload::{decode, elements},
        schema::{Schemas, probe},
    },
    notify::{Places, Preview},
};
use tracebit_lake_harness::s3::created;

use crate::payload::{Delivery, alerts};

const SIZES: [usize; 3] = [2_000, 64_000, 6_000_000];

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| Schemas::embedded().unwrap());
static SOURCE: LazyLock<Source> = LazyLock::new(|| Source { id: None, label: "tracebit".to_owned() });

fn main() {
    divan::main();
}

/// SHA-256 and nothing else: HMAC and row ids cannot be faster.
#[divan::bench(args = SIZES)]
fn sha256_alone(bencher: Bencher<'_, '_>, bytes: usize) {
    let body = alerts(bytes);
    bencher.counter(BytesCount::of_slice(&body)).bench(|| Sha256::digest(black_box(&body)));
}

#[divan::bench(args = SIZES)]
fn verify_signature(bencher: Bencher<'_, '_>, bytes: usize) {
    let delivery = Delivery::of(alerts(bytes));
    bencher.counter(BytesCount::of_slice(&delivery.body)).bench(|| delivery.verified());
}

/// The split into elements: all that there is to decode in a payload that is not compressed.
#[divan::bench(args = SIZES)]
fn decode_plain(bencher: Bencher<'_, '_>, bytes: usize) {
    let delivery = Delivery::of(alerts(bytes));
    let body = delivery.verified();
    bencher.counter(BytesCount::of_slice(&delivery.body)).bench(|| {
        let payload = decode(black_box(body), usize::MAX).unwrap();
        elements(&payload, probe).count()
    });
}

/// Bytes are those after decompression.
#[divan::bench(args = SIZES)]
fn decode_gzip(bencher: Bencher<'_, '_>, bytes: usize) {
    let plain = alerts(bytes);
    let delivery = Delivery::of(gzip(&plain));
    let body = delivery.verified();
    bencher.counter(BytesCount::of_slice(&plain)).bench(|| {
        let payload = decode(black_box(body), usize::MAX).unwrap();
        elements(&payload, probe).count()
    });
}

/// Classification, schema, indicators and row id.
#[divan::bench(args = SIZES)]
fn validate(bencher: Bencher<'_, '_>, bytes: usize) {
    let body = alerts(bytes);
    bencher
        .counter(BytesCount::of_slice(&body))
        .bench(|| elements(&body, probe).filter(|element| SCHEMAS.classify(black_box(element)).is_ok()).count());
}

/// The records of logs, and their lines of JSON.
#[divan::bench(args = SIZES)]
fn validate_record(bencher: Bencher<'_, '_>, bytes: usize) {
    let body = alerts(bytes);
    bencher.counter(BytesCount::of_slice(&body)).bench(|| bodies(black_box(&body)));
}

/// All of it, from the signature to the objects that go to S3.
#[divan::bench(args = SIZES)]
fn verify_validate_record(bencher: Bencher<'_, '_>, bytes: usize) {
    let delivery = Delivery::of(alerts(bytes));
    bencher.counter(BytesCount::of_slice(&delivery.body)).bench(|| {
        let payload = decode(delivery.verified(), usize::MAX).unwrap();
        bodies(&payload)
    });
}

/// What is ours of the notifier. An object holds one record, or 500 if a payload has more of one hour.
#[divan::bench(args = [1, 500])]
fn notify(bencher: Bencher<'_, '_>, records: usize) {
    let logs = alerts(0).repeat(records);
    let context = ReceiveContext { received: DateTime::<Utc>::UNIX_EPOCH, source: &SOURCE };
    let batch = Batch::build(elements(&logs, probe), &SCHEMAS, context);
    let prefix = Prefix::default();
    let object = batch.objects(&prefix).next().unwrap();
    let body = object.body().repeat(records);
    let message = created("lake", &object.key, body.len());
    let preview = || {
        Preview::of(black_box(&message), black_box(&body), "lake", Some("us-east-1"), Places::default(), &SCHEMAS)
            .unwrap()
    };
    assert_eq!(preview().messages.len(), records);
    bencher.counter(ItemsCount::new(records)).bench(preview);
}

/// The size of all objects that a payload becomes.
fn bodies(payload: &[u8]) -> usize {
    let context = ReceiveContext { received: DateTime::<Utc>::UNIX_EPOCH, source: &SOURCE };
    let batch = Batch::build(elements(payload, probe), &SCHEMAS, context);
    batch.objects(&Prefix::default()).map(|object| object.body().len()).sum()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}
