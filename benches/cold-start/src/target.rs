//! The targets, and whether the run meets them.

use comfy_table::Table;

use crate::{
    delivery::BATCH_BYTES,
    function::{EMPTY, EMPTY_LEAN, OURS, PUT_OBJECT, PUT_OBJECT_LEAN},
    measure::Measured,
    report::{self, Report, megabytes},
    statistics::summary,
};

/// The zip, in MB.
const MOST_ZIP: f64 = 4.0;
/// The peak memory of a batch, in payloads.
const MOST_BATCH: f64 = 4.0;

/// A value of a function that is compared.
type Value = fn(&Measured) -> f64;

/// Each target: the name, what is compared, the other function and its value, and the most that the ratio may be.
const RATIOS: [(&str, Value, &str, Value, f64); 9] = [
    ("first request / the empty handler's", first, EMPTY, first, 3.0),
    ("first request / put-object's", first, PUT_OBJECT, first, 0.01),
    ("INIT / put-object's", init, PUT_OBJECT, init, 1.5),
    ("warm CPU per request / put-object-lean's", cpu, PUT_OBJECT_LEAN, cpu, 1.05),
    ("the same back to back", back_to_back, PUT_OBJECT_LEAN, back_to_back, 1.05),
    ("warm p50 / put-object's", p50, PUT_OBJECT, p50, 1.0),
    ("CPU of a forged request / empty-lean's of a request", forged, EMPTY_LEAN, cpu, 1.1),
    ("the same back to back", forged_back_to_back, EMPTY_LEAN, back_to_back, 1.1),
    ("peak memory / put-object's", peak_memory, PUT_OBJECT, peak_memory, 1.2),
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
    if let Some((_, batches)) = report.batches.iter().find(|(name, _)| name == OURS) {
        let growth = summary(batches.iter().map(|batch| megabytes(batch.growth))).median;
        rows.push(("memory for a payload of 6 MB / the payload", growth / megabytes(BATCH_BYTES as u64), MOST_BATCH));
    }
    let mut table = report::table(&["target", "at most", "measured", ""]);
    for (name, measured, limit) in rows {
        let verdict = if measured <= limit { "met" } else { "**missed**" };
        table.add_row([name, &number(limit), &number(measured), verdict]);
    }
    table
}

fn number(value: f64) -> String {
    let digits = if value < 0.1 { 4 } else { 2 };
    format!("{value:.digits$}")
}
