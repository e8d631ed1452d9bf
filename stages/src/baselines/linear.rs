//! Symmetric systems of linear equations, small enough to solve directly.

use super::matrix::{Matrix, dot};

/// What is left of a diagonal that counts as nothing, beside its greatest value.
const NOTHING: f64 = 1e-13;

/// The solution of `a x = b` for a symmetric `a` that is positive definite; `None` if it is not.
pub(super) fn solve(a: &Matrix, b: &[f64]) -> Option<Vec<f64>> {
    let n = b.len();
    // A Cholesky factor.
    let mut lower = Matrix::zeros(n, n);
    for i in 0..n {
        for j in 0..=i {
            let rest = a.row(i)[j] - dot(&lower.row(i)[..j], &lower.row(j)[..j]);
            lower.row_mut(i)[j] = match i == j {
                true if rest > 0.0 => rest.sqrt(),
                true => return None,
                false => rest / lower.row(j)[j],
            };
        }
    }
    let mut x = b.to_vec();
    for i in 0..n {
        x[i] = (x[i] - dot(&lower.row(i)[..i], &x[..i])) / lower.row(i)[i];
    }
    for i in (0..n).rev() {
        x[i] /= lower.row(i)[i];
        let known = x[i];
        for (x, factor) in x[..i].iter_mut().zip(lower.row(i)) {
            *x -= factor * known;
        }
    }
    Some(x)
}

/// Coordinates of points in the space that the training points span, from their products alone: the
/// distances and angles of many features in no more numbers than there are training points.
#[derive(Debug)]
pub(super) struct Span {
    /// Training points that the coordinates are made from.
    pivots: Vec<usize>,
    /// Coordinates of the training points; those of the pivots are a triangle.
    pub(super) coordinates: Matrix,
}

impl Span {
    /// The span of points with these products: a Cholesky factor, greatest remainders first.
    pub(super) fn of(products: &Matrix) -> Self {
        let n = products.height();
        let mut rest: Vec<f64> = (0..n).map(|i| products.row(i)[i]).collect();
        let greatest = rest.iter().copied().fold(0.0, f64::max);
        let mut coordinates = Matrix::zeros(n, n);
        let mut pivots = Vec::new();
        while pivots.len() < n {
            let most = |best: usize, i: usize| if rest[i] > rest[best] { i } else { best };
            let pivot = (0..n).fold(0, most);
            if rest[pivot] <= NOTHING * greatest {
                break;
            }
            let rank = pivots.len();
            let length = rest[pivot].sqrt();
            let of_pivot = coordinates.row(pivot)[..rank].to_vec();
            for (i, rest) in rest.iter_mut().enumerate() {
                let done = dot(&coordinates.row(i)[..rank], &of_pivot);
                let value = (products.row(i)[pivot] - done) / length;
                coordinates.row_mut(i)[rank] = value;
                *rest -= value * value;
            }
            rest[pivot] = 0.0;
            pivots.push(pivot);
        }
        Self {
            coordinates: coordinates.first_columns(pivots.len()),
            pivots,
        }
    }

    /// Coordinates of other points, from their products with the training points.
    pub(super) fn place(&self, products: &Matrix) -> Matrix {
        let place = |products: &[f64]| {
            let mut placed = Vec::with_capacity(self.pivots.len());
            for (k, &pivot) in self.pivots.iter().enumerate() {
                let of_pivot = self.coordinates.row(pivot);
                let value = (products[pivot] - dot(&placed, &of_pivot[..k])) / of_pivot[k];
                placed.push(value);
            }
            placed
        };
        Matrix::of_rows(self.pivots.len(), products.rows().map(place).collect())
    }
}
