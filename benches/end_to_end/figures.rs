//! Medians and percentiles.

/// Converts a count for calculations.
#[expect(
    clippy::cast_precision_loss,
    reason = "rows, bytes and nanoseconds of a run are far below 2^53"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// The median. Zero if there are no values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = |at: usize| values.get(at).copied().unwrap_or(0.0);
    f64::midpoint(
        middle(values.len().saturating_sub(1) / 2),
        middle(values.len() / 2),
    )
}

/// The smallest value that `percent` percent of the values do not exceed. Zero if there are no values.
pub(crate) fn percentile(values: impl IntoIterator<Item = f64>, percent: usize) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}
