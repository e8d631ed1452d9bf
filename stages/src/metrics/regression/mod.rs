//! Metrics of regression: one file each, listed in [`REGRESSION`].

mod mean_absolute_error;
mod r2_score;
mod root_mean_squared_error;

use super::Column;

/// Every metric of a regression, in the order of metrics tables.
pub static REGRESSION: &[&dyn NumberMetric] = &[
    &r2_score::R2Score,
    &mean_absolute_error::MeanAbsoluteError,
    &root_mean_squared_error::RootMeanSquaredError,
];

/// A number that tells how near predicted numbers are to the true ones, in whose unit it is.
pub trait NumberMetric: Sync {
    /// What tables call it.
    fn about(&self) -> Column;

    /// Its value; there is at least one image.
    fn value(&self, truth: &[f64], predicted: &[f64]) -> f64;
}

fn mean(values: impl Iterator<Item = f64>, count: usize) -> f64 {
    values.sum::<f64>() / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of scikit-learn 1.9.1 for `[1, 2, 4, 7]` and `[1.5, 1.5, 5, 6]`.
    #[test]
    fn values_are_those_of_scikit_learn() {
        let (truth, predicted) = ([1.0, 2.0, 4.0, 7.0], [1.5, 1.5, 5.0, 6.0]);
        let expected = [0.880_952_380_952_381, 0.75, 0.790_569_415_042_094_8];
        for (metric, expected) in REGRESSION.iter().zip(expected) {
            let value = metric.value(&truth, &predicted);
            assert!((value - expected).abs() < 1e-12, "{:?}", metric.about());
        }
    }

    #[test]
    fn a_constant_truth_explains_nothing() {
        assert!(REGRESSION[0].value(&[3.0, 3.0], &[3.0, 4.0]).abs() < f64::EPSILON);
    }
}
