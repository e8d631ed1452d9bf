//! The coefficient of determination.

use super::{Column, NumberMetric, mean};

/// 1 − Σ(y − ŷ)² / Σ(y − ȳ)²; 0 where all true values are equal, as in ClinicaDL 1.6.1.
pub(super) struct R2Score;

impl NumberMetric for R2Score {
    fn about(&self) -> Column {
        Column {
            id: "r2_score",
            column: "R2_score",
            higher_is_better: true,
        }
    }

    fn value(&self, truth: &[f64], predicted: &[f64]) -> f64 {
        let middle = mean(truth.iter().copied(), truth.len());
        let spread: f64 = truth.iter().map(|y| (y - middle).powi(2)).sum();
        let rest: f64 = truth
            .iter()
            .zip(predicted)
            .map(|(y, p)| (y - p).powi(2))
            .sum();
        if spread == 0.0 {
            0.0
        } else {
            1.0 - rest / spread
        }
    }
}
