//! What Lambda charges: list prices of us-east-1, x86.

use comfy_table::Table;

use crate::{
    function::OURS,
    report::{self, Report},
};

/// Dollars for a GB-second (x86) and for a million requests; INIT is billed like any other time since August 2025.
const GB_SECOND: f64 = 0.000_016_666_7;
const MILLION_REQUESTS: f64 = 0.20;

/// A million deliveries, each to a cold function, and each to a warm one.
pub(crate) fn table(reports: &[Report]) -> Table {
    let mut table = report::table(&["memory, MB", "cold: billed ms", "cold: $", "warm: billed ms", "warm: $"]);
    for report in reports {
        let Some(ours) = report.of(OURS) else { continue };
        let [cold, warm] = [ours.init().median + ours.first().median, ours.warm(0.5).median].map(f64::ceil);
        let dollars = |millis: f64| {
            let gigabyte_seconds = 1e6 * millis / 1e3 * f64::from(report.memory) / 1024.0;
            format!("{:.2}", gigabyte_seconds * GB_SECOND + MILLION_REQUESTS)
        };
        table.add_row([report.memory.to_string(), cold.to_string(), dollars(cold), warm.to_string(), dollars(warm)]);
    }
    table
}
