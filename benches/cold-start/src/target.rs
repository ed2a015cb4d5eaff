//! The targets, and whether the run meets them.

use comfy_table::Table;

use crate::{
    delivery::BATCH_BYTES,
    function::{EMPTY, OURS, PUT_OBJECT},
    measure::Measured,
    report::{self, Report, megabytes},
    statistics::summary,
};

/// The zip, in MB.
const MOST_ZIP: f64 = 4.0;
/// The peak memory of a batch, in payloads.
const MOST_BATCH: f64 = 4.0;

/// Empty unless all that is compared was measured.
fn ratios(report: &Report) -> Vec<(&'static str, f64, f64)> {
    let (Some(ours), Some(empty), Some(put)) = (report.of(OURS), report.of(EMPTY), report.of(PUT_OBJECT)) else {
        return Vec::new();
    };
    let ratio = |value: fn(&Measured) -> f64, other: &Measured| value(ours) / value(other);
    vec![
        ("first request / the empty handler's", ratio(|of| of.first().median, empty), 3.0),
        ("first request / put-object's", ratio(|of| of.first().median, put), 0.01),
        ("INIT / put-object's", ratio(|of| of.init().median, put), 1.5),
        ("warm CPU per request / put-object's", ratio(|of| of.cpu().median, put), 1.05),
        ("warm p50 / put-object's", ratio(|of| of.warm(0.5).median, put), 1.0),
        (
            "CPU of a forged request / the empty handler's of a request",
            ours.forged_cpu().map_or(f64::NAN, |cpu| cpu.median) / empty.cpu().median,
            1.15,
        ),
        ("peak memory / put-object's", ratio(|of| of.peak_memory().median, put), 1.2),
    ]
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
