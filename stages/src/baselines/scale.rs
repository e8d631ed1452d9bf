//! Features with mean 0 and deviation 1 over the training set.

use super::matrix::Matrix;

/// Means and deviations of the training set, and of nothing else.
#[derive(Debug)]
pub(super) struct Scale {
    /// 0 for the deviation of a feature that is the same everywhere.
    known: Vec<(f64, f64)>,
}

impl Scale {
    /// That of training features.
    pub(super) fn of(features: &Matrix) -> Self {
        let n = features.height() as f64;
        let mut known = vec![(0.0, 0.0); features.width()];
        for row in features.rows() {
            for ((mean, _), x) in known.iter_mut().zip(row) {
                *mean += x / n;
            }
        }
        for row in features.rows() {
            for ((mean, variance), x) in known.iter_mut().zip(row) {
                *variance += (x - *mean).powi(2) / n;
            }
        }
        let mut varies = vec![false; features.width()];
        for row in features.rows() {
            for ((varies, x), first) in varies.iter_mut().zip(row).zip(features.row(0)) {
                *varies |= x.total_cmp(first).is_ne();
            }
        }
        // The mean of equal values may differ from them by rounding.
        for ((_, variance), varies) in known.iter_mut().zip(varies) {
            *variance = if varies { variance.sqrt() } else { 0.0 };
        }
        Self { known }
    }

    /// Features scaled; those that are the same throughout the training set are 0.
    pub(super) fn apply(&self, mut features: Matrix) -> Matrix {
        for i in 0..features.height() {
            for (x, &(mean, deviation)) in features.row_mut(i).iter_mut().zip(&self.known) {
                *x = match deviation > 0.0 {
                    true => (*x - mean) / deviation,
                    false => 0.0,
                };
            }
        }
        features
    }
}
