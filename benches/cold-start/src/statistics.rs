//! Medians, quantiles, spread.

/// What a series of measurements comes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// Median and range; NaN where there are none.
pub(crate) fn summary(values: impl IntoIterator<Item = f64>) -> Summary {
    let sorted = sorted(values);
    Summary { median: of_sorted(&sorted, 0.5), least: of_sorted(&sorted, 0.0), most: of_sorted(&sorted, 1.0) }
}

/// The smallest value that `part` of all values do not exceed.
pub(crate) fn quantile(values: impl IntoIterator<Item = f64>, part: f64) -> f64 {
    of_sorted(&sorted(values), part)
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index")]
fn of_sorted(sorted: &[f64], part: f64) -> f64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
