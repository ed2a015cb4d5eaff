//! Searches for the payload that takes longest to read, for its size: `tracebit-lake-worst SECONDS [SEED]`.
//!
//! A payload is a unit that is repeated in some place: among members, in an array, a string or lines. The search begins
//! with shapes that were slow once, changes the slowest ones at random, and prints the slowest of each place at the
//! full size. Its figure is the ratio to ordinary alerts, because nanoseconds are those of the machine.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark stops where it is broken, and prints its figures"
)]

#[path = "../../../payload/mod.rs"]
mod payload;

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    hint::black_box,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use fastrand::Rng;
use rustix::time::{ClockId, clock_gettime};
use tracebit_lake::core::{
    lake::{Batch, Prefix, ReceiveContext, Source},
    payload::{decode, elements},
    schema::{Schemas, probe},
};

use crate::payload::{ALERT, Delivery, alerts};

/// The size of a payload in the search, and in what is printed: the default of `MAX_PAYLOAD_BYTES`.
const TRIED_BYTES: usize = 256 * 1024;
const PRINTED_BYTES: usize = 16 * 1024 * 1024;

/// How many shapes of a place the search goes on with.
const KEPT: usize = 6;

/// How many of them are tried at the full size. The slowest of a small size need not be the slowest of a large one.
const PRINTED: usize = 2;

/// What stands before the units, between them, and after them. `ALERT` is the rest of an alert.
const PLACES: [(&str, &str, &str, &str); 14] = [
    ("members at the top", "{", ",", ",ALERT"),
    ("members below", "{\"x\":{", ",", "},ALERT"),
    ("an array", "{\"x\":[", ",", "],ALERT"),
    ("nested objects", "{\"x\":", "", ",ALERT"),
    ("a string", "{\"x\":\"", "", "\",ALERT"),
    ("a name", "{\"", "", "\":0,ALERT"),
    ("a number", "{\"x\":1", "", ",ALERT"),
    ("labels", "{\"canary_credential\":{\"labels\":[", ",", "]},ALERT"),
    ("a host", "{\"tracebit_portal_url\":\"https://", "", "/\",ALERT"),
    ("a domain", "{\"canary\":{\"okta\":{\"domain\":\"", "", "\"}},ALERT"),
    ("elements", "[", ",", ",{ALERT]"),
    ("lines", "", "\n", "\n{ALERT"),
    ("an object over lines", "{\n", "\n", "\n,ALERT"),
    ("text", "", "", ""),
];

/// The parts of a unit. `#` is a number in order, `%` one out of order, and `^` one out of order in capitals.
const PARTS: [&str; 46] = [
    "#",
    "%",
    "^",
    "\"",
    ":",
    ",",
    "{",
    "}",
    "[",
    "]",
    "\n",
    " ",
    "\\",
    "\"%\":0",
    "\"A^\":0",
    "\"\u{c4}%\":0",
    "AAAAAAAAAAAAAAAA",
    "aaaaaaaaaaaaaaaa",
    "\u{c4}\u{d6}\u{dc}",
    "\u{130}",
    "\u{1e9e}",
    "\u{212a}",
    "\u{3a3}",
    "_col",
    "p_",
    "\\u0041",
    "\\ud83d",
    "\\ud83d\\ude00",
    "\\n",
    "\\\"",
    "1",
    "0.1e-9",
    "null",
    "true",
    "{}",
    "[]",
    "\"\":0",
    "\"x\":{",
    "{\"x\":[",
    "xn--",
    ".",
    "{\"discriminator\":",
    "{\"discriminator\":{\"type\":\"health_check\"},",
    "{\"discriminator\":{\"type\":\"health_check\",\"subtype\":\"%\"},\"timestamp\":\"2026-11-22T09:00:00Z\",\
     \"is_healthy\":true}",
    "{\"name\":\"%\",\"value\":\"%\"}",
    "arn:aws:sts::123456789012:assumed-role/a/b@c",
];

/// Shapes that are slow, or were.
const KNOWN: [(usize, &[&str]); 17] = [
    (0, &["\"A", "AAAAAAAAAAAAAAAA", "^", "\":0"]),
    (1, &["\"A", "AAAAAAAAAAAAAAAA", "^", "\":0"]),
    (1, &["\"a", "aaaaaaaaaaaaaaaa", "%", "\":0"]),
    (0, &["\"\u{c4}", "%", "\":0"]),
    (2, &["{\"B^\":0,\"A^\":0}"]),
    (2, &["{}"]),
    (3, &["{\"z\":0,\"x\":"]),
    (4, &["\\u0041"]),
    (7, &["{\"name\":\"%\",\"value\":\"%\"}"]),
    (6, &["{}", "\n"]),
    (8, &["\u{130}", "."]),
    (9, &["xn--", "%", "."]),
    (10, &["{\"discriminator\":{\"type\":1},\"x\":[,"]),
    (11, &["{\"x\":["]),
    (11, &["{"]),
    (12, &["\"%\":{", "\n"]),
    (13, &["{{\"x\":1},{,"]),
];

/// A place and the parts of the unit that stands in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    place: usize,
    parts: Vec<&'static str>,
}

impl Shape {
    /// The payload of this shape, of so many bytes.
    fn payload(&self, bytes: usize) -> Vec<u8> {
        let (_, before, separator, after) = PLACES[self.place];
        let mut alert: serde_json::Value = serde_json::from_str(ALERT).unwrap();
        alert.as_object_mut().unwrap().retain(|name, _| !before.starts_with(&format!("{{\"{name}\"")));
        let mut text = before.to_owned();
        let mut n: u32 = 0;
        while text.len() < bytes {
            if n > 0 {
                text.push_str(separator);
            }
            for letter in self.parts.iter().flat_map(|part| part.chars()) {
                match letter {
                    '#' => write!(text, "{n:06}").unwrap(),
                    '%' => write!(text, "{:x}", n.wrapping_mul(0x9e37_79b9)).unwrap(),
                    '^' => write!(text, "{:X}", n.wrapping_mul(0x9e37_79b9)).unwrap(),
                    letter => text.push(letter),
                }
            }
            n += 1;
        }
        text.push_str(&after.replace("ALERT", &alert.to_string()[1..]));
        text.into_bytes()
    }

    /// The same shape with a part more, less, or another one.
    fn changed(&self, rng: &mut Rng) -> Self {
        let mut parts = self.parts.clone();
        let at = rng.usize(..=parts.len());
        match rng.u8(..4) {
            0 if parts.len() > 1 => drop(parts.remove(at.min(parts.len() - 1))),
            1 if !parts.is_empty() => parts[at.min(self.parts.len() - 1)] = rng.choice(PARTS).unwrap(),
            2 if !parts.is_empty() => parts.insert(at, parts[rng.usize(..parts.len())]),
            _ => parts.insert(at, rng.choice(PARTS).unwrap()),
        }
        Self { place: if rng.u8(..8) == 0 { rng.usize(..PLACES.len()) } else { self.place }, parts }
    }
}

/// The time that this thread has had on a processor. The machine's other work hardly changes it.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

/// How long the steps between the request and the store take for a payload, in nanoseconds a byte: the least of some
/// runs.
fn nanoseconds(payload: Vec<u8>, runs: usize, schemas: &Schemas) -> f64 {
    let source = Source { id: None, label: "tracebit".to_owned() };
    let context = ReceiveContext { received: DateTime::<Utc>::UNIX_EPOCH, source: &source };
    let delivery = Delivery::of(payload);
    let once = || {
        let started = cpu_time();
        let payload = decode(delivery.verified(), usize::MAX).unwrap();
        let batch = Batch::build(elements(&payload, probe), schemas, context);
        black_box(batch.objects(&Prefix::default()).map(|object| object.body().len()).sum::<usize>());
        cpu_time().saturating_sub(started)
    };
    let least = (0..runs).map(|_| once()).min().unwrap();
    least.as_secs_f64() * 1e9 / delivery.body.len().max(1) as f64
}

fn main() {
    let mut arguments = env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(60, |text| text.parse().unwrap());
    let seed: u64 = arguments.next().map_or_else(|| fastrand::u64(..), |text| text.parse().unwrap());
    println!("seed {seed}");
    let (schemas, mut rng) = (Schemas::embedded().unwrap(), Rng::with_seed(seed));

    let mut known: BTreeMap<Shape, f64> = BTreeMap::new();
    let mut try_out = |shape: Shape, slowest: &mut Vec<Vec<(f64, Shape)>>| {
        if !known.contains_key(&shape) {
            let time = nanoseconds(shape.payload(TRIED_BYTES), 3, &schemas);
            known.insert(shape.clone(), time);
            let of_place = &mut slowest[shape.place];
            of_place.push((time, shape));
            of_place.sort_by(|a, b| b.0.total_cmp(&a.0));
            of_place.truncate(KEPT);
        }
        known.len()
    };
    let mut slowest = vec![Vec::new(); PLACES.len()];
    for (place, parts) in KNOWN {
        try_out(Shape { place, parts: parts.to_vec() }, &mut slowest);
    }
    let (started, mut tried) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(seconds) {
        let of_place = &slowest[rng.usize(..PLACES.len())];
        let next = match rng.choice(of_place) {
            Some((_, shape)) => shape.changed(&mut rng),
            None => Shape { place: rng.usize(..PLACES.len()), parts: vec![rng.choice(PARTS).unwrap()] },
        };
        tried = try_out(next, &mut slowest);
    }

    let ordinary = nanoseconds(alerts(PRINTED_BYTES), 3, &schemas);
    println!("{tried} shapes. Ordinary alerts take {ordinary:.1} ns a byte at {PRINTED_BYTES} bytes.\n");
    let mut rows: Vec<_> = slowest
        .iter()
        .flat_map(|of_place| of_place.iter().take(PRINTED))
        .map(|(_, shape)| (nanoseconds(shape.payload(PRINTED_BYTES), 1, &schemas), shape))
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("| place | unit | ns a byte | times ordinary |\n| --- | --- | ---: | ---: |");
    for (place, (name, ..)) in PLACES.iter().enumerate() {
        if let Some((time, shape)) = rows.iter().find(|(_, shape)| shape.place == place) {
            let unit = shape.parts.concat().escape_debug().to_string();
            println!("| {name} | `{unit}` | {time:.1} | {:.1} |", time / ordinary);
        }
    }
    let worst = rows.first().map_or(0.0, |(time, _)| *time);
    println!("\nThe worst takes {:.1} times as long as ordinary alerts of its size.", worst / ordinary);
}
