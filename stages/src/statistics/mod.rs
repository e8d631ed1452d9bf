//! Tests of whether two groups differ, for balancing splits.

use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

/// Two-sided p-value of Student's t-test with pooled variance, for means of two samples.
///
/// NaN when a sample has fewer than two values. Without any variance it is 1 when the means are equal,
/// else 0.
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
    let squares =
        |values: &[f64], mean: f64| values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
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
    use serde_json::Value;

    use super::*;

    /// Made by the script beside it with scipy.
    const REFERENCE: &str = include_str!("../../../tests/reference/split/statistics.json");

    fn cases(name: &str) -> Vec<Value> {
        let reference: Value = serde_json::from_str(REFERENCE).unwrap();
        reference[name].as_array().unwrap().clone()
    }

    /// Relative 1e-8: close to p = 1 the t law works on 1 − t²/ν, which rounds to √ε of t.
    fn assert_close(p: f64, case: &Value) {
        let expected = case["p"].as_f64().unwrap();
        assert!(
            (p - expected).abs() <= 1e-8 * expected,
            "{p}, expected {case}"
        );
    }

    #[test]
    fn t_test_equals_scipy() {
        let list = |value: &Value| -> Vec<f64> { serde_json::from_value(value.clone()).unwrap() };
        for case in cases("t_test") {
            assert_close(t_test(&list(&case["a"]), &list(&case["b"])), &case);
        }
    }

    #[test]
    fn chi_square_equals_scipy() {
        let list = |value: &Value| -> Vec<usize> { serde_json::from_value(value.clone()).unwrap() };
        for case in cases("chi_square") {
            assert_close(chi_square(&list(&case["a"]), &list(&case["b"])), &case);
        }
    }

    #[test]
    fn a_test_that_cannot_tell_groups_apart_says_so() {
        assert!((t_test(&[5.0, 5.0], &[5.0, 5.0, 5.0]) - 1.0).abs() < 1e-12);
        assert!(t_test(&[5.0, 5.0], &[6.0, 6.0]).abs() < 1e-12);
        assert!(t_test(&[1.0], &[1.0, 2.0]).is_nan());
        assert!((chi_square(&[3, 0], &[9, 0]) - 1.0).abs() < 1e-12);
        assert!((chi_square(&[0, 0], &[9, 1]) - 1.0).abs() < 1e-12);
        assert!((chi_square(&[], &[]) - 1.0).abs() < 1e-12);
    }
}
