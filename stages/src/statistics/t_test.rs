//! Student's t-test.

use statrs::function::beta::checked_beta_reg;

use super::known;

/// Two-sided p-value of Student's t-test with pooled variance, for means of two samples.
///
/// NaN values are left out. NaN when a sample has no value, or both have one. Without any variance it is
/// 1 when the means are equal, else 0.
///
/// # Source
/// `scipy.stats.ttest_ind` 1.11 with `equal_var=True`, `nan_policy='omit'`.
pub fn t_test(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (known(a), known(b));
    if a.is_empty() || b.is_empty() || a.len() + b.len() < 3 {
        return f64::NAN;
    }
    let (na, nb) = (a.len() as f64, b.len() as f64);
    let (ma, mb) = (mean(&a), mean(&b));
    let freedom = na + nb - 2.0;
    let pooled = (squares(&a, ma) + squares(&b, mb)) / freedom;
    if pooled == 0.0 {
        return if ma.total_cmp(&mb).is_eq() { 1.0 } else { 0.0 };
    }
    let squared = (ma - mb).powi(2) / (pooled * (1.0 / na + 1.0 / nb));
    two_sided(squared, freedom)
}

/// The mean, which of equal values is that value: their sum need not be a multiple of it.
fn mean(values: &[f64]) -> f64 {
    let first = values[0];
    first + values.iter().map(|v| v - first).sum::<f64>() / values.len() as f64
}

fn squares(values: &[f64], mean: f64) -> f64 {
    values.iter().map(|v| (v - mean).powi(2)).sum()
}

/// The probability that |t| is at least the root of `squared`.
///
/// It is a regularized incomplete beta function, of t²/(ν+t²) or of its complement. The smaller of them
/// is computed, as the larger rounds where it is close to 1.
fn two_sided(squared: f64, freedom: f64) -> f64 {
    let below = squared / (freedom + squared);
    let half = freedom / 2.0;
    let p = if below < 1.5 / (half + 2.5) {
        checked_beta_reg(0.5, half, below).map(|inside| 1.0 - inside)
    } else {
        checked_beta_reg(half, 0.5, freedom / (freedom + squared))
    };
    p.unwrap_or(f64::NAN)
}
