//! Tests of whether two groups differ, for balancing splits.
//!
//! All give a two-sided p-value: NaN where a group is too small for the test, 1 where nothing can differ.

mod chi_square;
mod kolmogorov_smirnov;
mod t_test;

pub use chi_square::{chi_square, chi_square_on_proportions};
pub use kolmogorov_smirnov::kolmogorov_smirnov;
pub use t_test::t_test;

/// The values that are known.
fn known(values: &[f64]) -> Vec<f64> {
    values.iter().copied().filter(|v| !v.is_nan()).collect()
}

#[cfg(test)]
mod tests;
