//! Spearman's rank correlation.

use super::pearson_correlation::correlation;
use super::{Column, NumberMetric};
use crate::metrics::delong::mid_ranks;

/// Pearson's correlation of ranks, those of equal numbers being their mean, −1 to 1; NaN where either are
/// all equal.
///
/// # Source
/// `scipy.stats.spearmanr`.
pub(super) struct SpearmanCorrelation;

impl NumberMetric for SpearmanCorrelation {
    fn about(&self) -> Column {
        Column {
            id: "spearman_correlation",
            column: "Spearman",
            higher_is_better: true,
        }
    }

    fn value(&self, truth: &[f64], predicted: &[f64]) -> f64 {
        if truth.iter().chain(predicted).any(|x| x.is_nan()) {
            return f64::NAN;
        }
        correlation(&mid_ranks(truth), &mid_ranks(predicted))
    }
}
