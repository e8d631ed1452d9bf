//! The mean absolute error.

use super::{Column, NumberMetric, mean};

/// The mean of |y − ŷ|.
pub(super) struct MeanAbsoluteError;

impl NumberMetric for MeanAbsoluteError {
    fn about(&self) -> Column {
        Column::MAE
    }

    fn value(&self, truth: &[f64], predicted: &[f64]) -> f64 {
        mean(
            truth.iter().zip(predicted).map(|(y, p)| (y - p).abs()),
            truth.len(),
        )
    }
}
