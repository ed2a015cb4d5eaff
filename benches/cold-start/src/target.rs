//! The targets, and whether the run meets them.

use comfy_table::Table;

use crate::{
    delivery::{BATCH_BYTES, BATCH_LOGS},
    function::{EMPTY, EMPTY_LEAN, OURS, PUT_OBJECT_LEAN},
    measure::{Batch, Measured, summary},
    report::{self, Report, megabytes, millis},
};

/// The zip, in MB.
const MOST_ZIP: f64 = 3.9;
/// The peak memory of a batch, in payloads.
const MOST_BATCH: f64 = 4.0;
/// The CPU of a batch of logs, in as many requests of the leanest function that puts each of them.
const MOST_LOGS: f64 = 1.1;

/// A value of a function that is compared.
type Value = fn(&Measured) -> f64;

/// Each target: the name, what is compared, the other function and its value, and the most that the ratio may be.
const RATIOS: [(&str, Value, &str, Value, f64); 8] = [
    ("first request / the empty handler's", first, EMPTY, first, 2.0),
    ("INIT / put-object-lean's", init, PUT_OBJECT_LEAN, init, 1.25),
    ("warm CPU per request / put-object-lean's", cpu, PUT_OBJECT_LEAN, cpu, 1.05),
    ("the same back to back", back_to_back, PUT_OBJECT_LEAN, back_to_back, 1.05),
    ("warm p50 / put-object-lean's", p50, PUT_OBJECT_LEAN, p50, 1.05),
    ("CPU of a forged request / empty-lean's of a request", forged, EMPTY_LEAN, cpu, 1.1),
    ("the same back to back", forged_back_to_back, EMPTY_LEAN, back_to_back, 1.1),
    ("peak memory / put-object-lean's", peak_memory, PUT_OBJECT_LEAN, peak_memory, 0.8),
];

fn first(of: &Measured) -> f64 {
    of.first().median
}

fn init(of: &Measured) -> f64 {
    of.init().median
}

fn cpu(of: &Measured) -> f64 {
    of.cpu().median
}

fn back_to_back(of: &Measured) -> f64 {
    of.back_to_back_cpu().median
}

fn p50(of: &Measured) -> f64 {
    of.warm(0.5).median
}

fn forged(of: &Measured) -> f64 {
    of.forged_cpu().map_or(f64::NAN, |(paced, _)| paced.median)
}

fn forged_back_to_back(of: &Measured) -> f64 {
    of.forged_cpu().map_or(f64::NAN, |(_, back_to_back)| back_to_back.median)
}

fn peak_memory(of: &Measured) -> f64 {
    of.peak_memory().median
}

/// The targets whose functions were measured.
fn ratios(report: &Report) -> Vec<(&'static str, f64, f64)> {
    let Some(ours) = report.of(OURS) else { return Vec::new() };
    let ratios = RATIOS.iter().filter_map(|(name, value, other, others, limit)| {
        Some((*name, value(ours) / others(report.of(other)?), *limit))
    });
    ratios.collect()
}

/// Every target with its limit and what was measured.
pub(crate) fn table(report: &Report) -> Table {
    let mut rows = ratios(report);
    if let Some(bytes) = report.of(OURS).and_then(|ours| ours.zip_bytes) {
        rows.push(("zip, MB", megabytes(bytes as u64), MOST_ZIP));
    }
    if let Some(batches) = of_ours(&report.large) {
        let growth = summary(batches.iter().map(|batch| megabytes(batch.growth))).median;
        rows.push(("memory for a payload of 6 MB / the payload", growth / megabytes(BATCH_BYTES as u64), MOST_BATCH));
    }
    if let (Some(batches), Some(lean)) = (of_ours(&report.of_logs), report.of(PUT_OBJECT_LEAN)) {
        let cpu = summary(batches.iter().map(|batch| millis(batch.cpu))).median;
        let requests = back_to_back(lean) * BATCH_LOGS as f64;
        rows.push((
            "CPU of a payload of 500 logs / 500 requests of put-object-lean, back to back",
            cpu / requests,
            MOST_LOGS,
        ));
    }
    let mut table = report::table(&["target", "at most", "measured", ""]);
    for (name, measured, limit) in rows {
        let verdict = if measured <= limit { "met" } else { "**missed**" };
        table.add_row([name, &number(limit), &number(measured), verdict]);
    }
    table
}

fn of_ours(batches: &[(String, Vec<Batch>)]) -> Option<&[Batch]> {
    batches.iter().find(|(name, _)| name == OURS).map(|(_, batches)| batches.as_slice())
}

fn number(value: f64) -> String {
    let digits = if value < 0.1 { 4 } else { 2 };
    format!("{value:.digits$}")
}
