//! Tests of whether two groups differ, for balancing splits.

use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

/// Two-sided p-value of Student's t-test with pooled variance, for means of two samples.
///
/// NaN when a sample has fewer than two values; 1 when all values are equal.
///
/// # Source
/// `scipy.stats.ttest_ind` 1.11 with `equal_var=True`.
pub fn t_test(a: &[f64], b: &[f64]) -> f64 {
    let (na, nb) = (a.len() as f64, b.len() as f64);
    if a.len() < 2 || b.len() < 2 {
        return f64::NAN;
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let squares = |values: &[f64], mean: f64| values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    let freedom = na + nb - 2.0;
    let pooled = (squares(a, ma) + squares(b, mb)) / freedom;
    if pooled == 0.0 {
        return if ma.total_cmp(&mb).is_eq() { 1.0 } else { 0.0 };
    }
    let t = (ma - mb) / (pooled * (1.0 / na + 1.0 / nb)).sqrt();
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |law| 2.0 * law.cdf(-t.abs()))
}

/// p-value of Pearson's chi-square test of independence between two groups and `k` categories.
///
/// Works on counts, so that large groups show small differences. Categories that neither group has are
/// left out; 1 when fewer than two are left.
///
/// # Shapes
/// `a` and `b` hold the number of members of each of the `k` categories.
///
/// # Source
/// `scipy.stats.chi2_contingency` 1.11 with `correction=False`.
pub fn chi_square(a: &[usize], b: &[usize]) -> f64 {
    let (total_a, total_b): (usize, usize) = (a.iter().sum(), b.iter().sum());
    let total = (total_a + total_b) as f64;
    let mut statistic = 0.0;
    let mut categories = 0_u32;
    for (&in_a, &in_b) in a.iter().zip(b) {
        let in_both = (in_a + in_b) as f64;
        if in_a + in_b == 0 {
            continue;
        }
        categories += 1;
        for (observed, group) in [(in_a, total_a), (in_b, total_b)] {
            let expected = in_both * group as f64 / total;
            if expected > 0.0 {
                statistic += (observed as f64 - expected).powi(2) / expected;
            }
        }
    }
    if categories < 2 || total_a == 0 || total_b == 0 {
        return 1.0;
    }
    ChiSquared::new(f64::from(categories - 1)).map_or(f64::NAN, |law| law.sf(statistic))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Vectors: tests/reference/split/statistics.py, scipy 1.11.4. The distributions are computed by
    // other algorithms there, hence 1e-9.

    #[test]
    fn t_test_equals_scipy() {
        let p = t_test(&[70.0, 72.0, 68.0], &[71.0, 69.0, 75.0, 80.0, 66.0]);
        assert!((p - 0.5365755822913194).abs() < 1e-9, "{p}");
        assert!((t_test(&[5.0, 5.0], &[5.0, 5.0, 5.0]) - 1.0).abs() < 1e-12);
        assert!(t_test(&[1.0], &[1.0, 2.0]).is_nan());
    }

    #[test]
    fn chi_square_equals_scipy_and_sees_sample_size() {
        let small = chi_square(&[6, 4], &[15, 15]);
        let large = chi_square(&[600, 400], &[1500, 1500]);
        assert!((small - CHI_SMALL).abs() < 1e-9, "{small}");
        assert!((large - CHI_LARGE).abs() < 1e-9, "{large}");
        assert!((chi_square(&[3, 0], &[9, 0]) - 1.0).abs() < 1e-12);
    }

    const CHI_SMALL: f64 = 0.5834114432796204;
    const CHI_LARGE: f64 = 4.156149818695159e-08;
}
