//! Rows of numbers.

use rayon::prelude::*;

/// Numbers by row: an image each, or an equation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matrix {
    width: usize,
    height: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// Zeros.
    pub(super) fn zeros(height: usize, width: usize) -> Self {
        Self {
            width,
            height,
            values: vec![0.0; height * width],
        }
    }

    /// Rows of one width.
    pub(super) fn of_rows(width: usize, rows: Vec<Vec<f64>>) -> Self {
        let height = rows.len();
        let values: Vec<f64> = rows.into_iter().flatten().collect();
        debug_assert_eq!(values.len(), width * height);
        Self {
            width,
            height,
            values,
        }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn height(&self) -> usize {
        self.height
    }

    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    pub(super) fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.width..(i + 1) * self.width]
    }

    pub(super) fn row_mut(&mut self, i: usize) -> &mut [f64] {
        &mut self.values[i * self.width..(i + 1) * self.width]
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &[f64]> {
        (0..self.height).map(|i| self.row(i))
    }

    /// The first columns.
    pub(super) fn first_columns(&self, width: usize) -> Self {
        let rows = self.rows().map(|row| row[..width].to_vec());
        Self::of_rows(width, rows.collect())
    }

    /// Columns as rows.
    pub(super) fn transposed(&self) -> Self {
        let mut turned = Self::zeros(self.width, self.height);
        for (i, row) in self.rows().enumerate() {
            for (j, &value) in row.iter().enumerate() {
                turned.values[j * self.height + i] = value;
            }
        }
        turned
    }

    /// Products of every row with every row of another matrix.
    pub(super) fn products(&self, other: &Self) -> Self {
        let of_row = |i: usize| -> Vec<f64> {
            let row = self.row(i);
            other.rows().map(|column| dot(row, column)).collect()
        };
        let rows: Vec<Vec<f64>> = (0..self.height).into_par_iter().map(of_row).collect();
        Self::of_rows(other.height, rows)
    }

    /// Every number divided by the same one.
    pub(super) fn divided(mut self, by: f64) -> Self {
        self.values.iter_mut().for_each(|value| *value /= by);
        self
    }
}

/// The sum of products, in one order on every processor; eight sums at once are faster than one.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_parts, a_rest) = a.as_chunks::<8>();
    let (b_parts, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a_parts.iter().zip(b_parts) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}
