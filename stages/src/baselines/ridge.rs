//! Ridge regression.

use super::linear::solve;
use super::matrix::{Matrix, dot};

/// Weights and intercept.
#[derive(Debug)]
pub(super) struct Ridge {
    weights: Vec<f64>,
    intercept: f64,
}

impl Ridge {
    /// Minimises `Σ (y − ŷ)² + penalty Σ w²`; the intercept is free.
    ///
    /// # Shapes
    /// Every column of `features` has mean 0.
    ///
    /// # Source
    /// scikit-learn `Ridge(alpha=penalty)`.
    ///
    /// # Errors
    /// The equations have no solution, in words.
    pub(super) fn fit(features: &Matrix, truth: &[f64], penalty: f64) -> Result<Self, String> {
        let intercept = truth.iter().sum::<f64>() / truth.len() as f64;
        let rest: Vec<f64> = truth.iter().map(|y| y - intercept).collect();
        let columns = features.transposed();
        let mut equations = columns.products(&columns);
        for i in 0..equations.height() {
            equations.row_mut(i)[i] += penalty;
        }
        let right: Vec<f64> = columns.rows().map(|column| dot(column, &rest)).collect();
        let weights = solve(&equations, &right);
        let weights = weights.ok_or("its equations have no solution: features are too large")?;
        Ok(Self { weights, intercept })
    }

    /// One number for each row.
    pub(super) fn predict(&self, features: &Matrix) -> Vec<f64> {
        let rows = features.rows();
        rows.map(|row| dot(row, &self.weights) + self.intercept)
            .collect()
    }
}
