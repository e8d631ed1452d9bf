//! Logistic regression.

use super::linear::solve;
use super::matrix::{Matrix, dot};

/// Steps of Newton's method at most; a dozen is usual.
const STEPS: usize = 200;
/// The decrease that a step promises, at which the minimum is reached.
const REACHED: f64 = 1e-20;

/// Weights and intercept of every class.
#[derive(Debug, Clone)]
pub(super) struct Logistic {
    /// A row for each class, its intercept being the last.
    weights: Matrix,
}

impl Logistic {
    /// Minimises `Σ −log p(truth) + penalty/2 Σ w²` over weights; intercepts are free.
    ///
    /// Two classes have one set of weights, more have one each.
    ///
    /// # Source
    /// scikit-learn `LogisticRegression(C=1/penalty)`, which minimises the same; here by Newton's method, to
    /// the last digits.
    ///
    /// # Errors
    /// The minimum is not found, in words.
    pub(super) fn fit(
        features: &Matrix,
        truth: &[usize],
        classes: usize,
        penalty: f64,
    ) -> Result<Self, String> {
        let mut model = Self {
            weights: Matrix::zeros(classes, features.width() + 1),
        };
        let mut value = model.objective(features, truth, penalty);
        for _ in 0..STEPS {
            let (gradient, curvature) = model.derivatives(features, truth, penalty);
            let step = solve(&curvature, &gradient);
            let step = step.ok_or("its equations have no solution: features are too large")?;
            let promised = dot(&step, &gradient);
            if promised <= REACHED * value.max(1.0) {
                return Ok(model);
            }
            // Half of a step that is too long, until it descends.
            let mut length = 1.0;
            model = loop {
                let next = model.moved(&step, length);
                let there = next.objective(features, truth, penalty);
                if there <= value - 1e-4 * length * promised {
                    value = there;
                    break next;
                }
                length /= 2.0;
                if length < 1e-10 {
                    // Nothing can be gained beyond rounding.
                    return Ok(model);
                }
            };
        }
        Err(format!("it did not converge in {STEPS} steps"))
    }

    /// Probabilities, a row for each image.
    pub(super) fn probabilities(&self, features: &Matrix) -> Matrix {
        let of_row = |row: &[f64]| {
            let (logits, log_sum) = self.logits(row);
            logits.iter().map(|logit| (logit - log_sum).exp()).collect()
        };
        let rows = features.rows().map(of_row).collect();
        Matrix::of_rows(self.classes(), rows)
    }

    fn classes(&self) -> usize {
        self.weights.height()
    }

    /// The logit of each class, and the logarithm of the sum of their exponentials.
    fn logits(&self, row: &[f64]) -> (Vec<f64>, f64) {
        let d = row.len();
        let of_class = |weights: &[f64]| dot(&weights[..d], row) + weights[d];
        let logits: Vec<f64> = self.weights.rows().map(of_class).collect();
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
        (logits, most + sum.ln())
    }

    fn objective(&self, features: &Matrix, truth: &[usize], penalty: f64) -> f64 {
        let losses = features.rows().zip(truth).map(|(row, &truth)| {
            let (logits, log_sum) = self.logits(row);
            log_sum - logits[truth]
        });
        let d = features.width();
        let squares = self.weights.rows().map(|row| dot(&row[..d], &row[..d]));
        losses.sum::<f64>() + penalty / 2.0 * squares.sum::<f64>()
    }

    /// Class and column of the weights that are free, in the order of the equations: of two classes those of
    /// the second; of more all, but the last intercept, as all may move together.
    fn free(&self) -> Vec<(usize, usize)> {
        let (classes, d) = (self.classes(), self.weights.width() - 1);
        let first = usize::from(classes == 2);
        let all = (first..classes).flat_map(|class| (0..=d).map(move |j| (class, j)));
        let fixed = (classes > 2).then_some((classes - 1, d));
        all.filter(|place| Some(*place) != fixed).collect()
    }

    fn derivatives(&self, features: &Matrix, truth: &[usize], penalty: f64) -> (Vec<f64>, Matrix) {
        let d = features.width();
        let free = self.free();
        let by_class = self.probabilities(features).transposed();
        // A column of ones for the intercept.
        let mut columns: Vec<Vec<f64>> =
            features.transposed().rows().map(<[f64]>::to_vec).collect();
        columns.push(vec![1.0; features.height()]);
        let columns = Matrix::of_rows(features.height(), columns);
        let error = |class: usize| -> Vec<f64> {
            let pairs = by_class.row(class).iter().zip(truth);
            pairs
                .map(|(p, &truth)| p - f64::from(u8::from(truth == class)))
                .collect()
        };
        let errors: Vec<Vec<f64>> = (0..self.classes()).map(error).collect();
        let gradient = free.iter().map(|&(class, j)| {
            let pull = if j < d {
                penalty * self.weights.row(class)[j]
            } else {
                0.0
            };
            dot(columns.row(j), &errors[class]) + pull
        });
        let mut curvature = Matrix::zeros(free.len(), free.len());
        let first = free.first().map_or(0, |(class, _)| *class);
        for a in first..self.classes() {
            for b in first..=a {
                let same = f64::from(u8::from(a == b));
                let pairs = by_class.row(a).iter().zip(by_class.row(b));
                let spread: Vec<f64> = pairs.map(|(a, b)| a * (same - b)).collect();
                let spread_columns = columns.rows().map(|column| {
                    let pairs = column.iter().zip(&spread);
                    pairs.map(|(x, s)| x * s).collect()
                });
                let spread_columns = Matrix::of_rows(features.height(), spread_columns.collect());
                let block = spread_columns.products(&columns);
                let (of_a, of_b) = ((a - first) * (d + 1), (b - first) * (d + 1));
                for j in 0..=d {
                    for k in 0..=d {
                        let (row, column) = (of_a + j, of_b + k);
                        // Only the very last equation is left out.
                        if row < free.len() && column < free.len() {
                            curvature.row_mut(row)[column] = block.row(j)[k];
                            curvature.row_mut(column)[row] = block.row(j)[k];
                        }
                    }
                }
            }
        }
        for (i, &(_, j)) in free.iter().enumerate() {
            if j < d {
                curvature.row_mut(i)[i] += penalty;
            }
        }
        (gradient.collect(), curvature)
    }

    fn moved(&self, step: &[f64], length: f64) -> Self {
        let mut moved = self.clone();
        for ((class, j), step) in self.free().into_iter().zip(step) {
            moved.weights.row_mut(class)[j] -= length * step;
        }
        moved
    }
}
