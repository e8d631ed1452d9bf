//! Pearson's correlation.

use super::{Column, NumberMetric, mean};

/// The linear correlation of predicted with true numbers, −1 to 1; NaN where either are all equal, as with
/// one image.
///
/// # Source
/// `scipy.stats.pearsonr`.
pub(super) struct PearsonCorrelation;

impl NumberMetric for PearsonCorrelation {
    fn about(&self) -> Column {
        Column {
            id: "pearson_correlation",
            column: "Pearson",
            higher_is_better: true,
        }
    }

    fn value(&self, truth: &[f64], predicted: &[f64]) -> f64 {
        correlation(truth, predicted)
    }
}

/// The correlation of two lists of numbers.
pub(super) fn correlation(a: &[f64], b: &[f64]) -> f64 {
    // Of equal numbers the mean may differ by rounding, and the rest would be noise.
    let is_constant = |x: &[f64]| x.windows(2).all(|pair| pair[0].total_cmp(&pair[1]).is_eq());
    if is_constant(a) || is_constant(b) {
        return f64::NAN;
    }
    let centred = |x: &[f64]| -> Vec<f64> {
        let middle = mean(x.iter().copied(), x.len());
        x.iter().map(|x| x - middle).collect()
    };
    let (a, b) = (centred(a), centred(b));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let r = product(&a, &b) / (product(&a, &a).sqrt() * product(&b, &b).sqrt());
    r.clamp(-1.0, 1.0)
}
