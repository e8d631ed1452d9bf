//! The root of the mean squared error.

use super::{Column, NumberMetric, mean};

/// The root of the mean of (y − ŷ)².
pub(super) struct RootMeanSquaredError;

impl NumberMetric for RootMeanSquaredError {
    fn about(&self) -> Column {
        Column::RMSE
    }

    fn value(&self, truth: &[f64], predicted: &[f64]) -> f64 {
        mean(
            truth.iter().zip(predicted).map(|(y, p)| (y - p).powi(2)),
            truth.len(),
        )
        .sqrt()
    }
}
