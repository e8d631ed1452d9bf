use serde_json::Value;

use super::*;

/// Made by the script beside it with scipy.
const REFERENCE: &str = include_str!("../../../tests/reference/statistics/statistics.json");

fn cases(name: &str) -> Vec<Value> {
    let reference: Value = serde_json::from_str(REFERENCE).unwrap();
    reference[name].as_array().unwrap().clone()
}

/// A list of numbers, null for NaN.
fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap().iter();
    list.map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
}

/// Relative 1e-10: all are computed without differences of nearly equal numbers.
fn assert_close(p: f64, expected: &Value, case: &Value) {
    match expected.as_f64() {
        None => assert!(p.is_nan(), "{p}, expected NaN of {case}"),
        Some(expected) => assert!(
            (p - expected).abs() <= 1e-10 * expected,
            "{p}, expected {expected} of {case}"
        ),
    }
}

fn equals(p: f64, expected: f64) -> bool {
    (p - expected).abs() < 1e-12
}

#[test]
fn t_test_equals_scipy() {
    for case in cases("t_test") {
        let (a, b) = (numbers(&case["a"]), numbers(&case["b"]));
        assert_close(t_test(&a, &b), &case["p"], &case);
        assert_close(t_test(&b, &a), &case["p"], &case);
    }
}

#[test]
fn both_tests_of_chi_square_equal_scipy() {
    let counts = |value: &Value| -> Vec<usize> { serde_json::from_value(value.clone()).unwrap() };
    for case in cases("chi_square") {
        let (a, b) = (counts(&case["a"]), counts(&case["b"]));
        assert_close(chi_square(&a, &b), &case["p"], &case);
        let p = chi_square_on_proportions(&a, &b);
        assert_close(p, &case["on_proportions"], &case);
    }
}

#[test]
fn kolmogorov_smirnov_equals_scipy() {
    for case in cases("kolmogorov_smirnov") {
        let (a, b) = (numbers(&case["a"]), numbers(&case["b"]));
        assert_close(kolmogorov_smirnov(&a, &b), &case["p"], &case);
        assert_close(kolmogorov_smirnov(&b, &a), &case["p"], &case);
    }
}

#[test]
fn large_samples_equal_scipy_too() {
    for case in cases("ranges") {
        let range = |from: f64, count: &Value| -> Vec<f64> {
            let count = count.as_u64().unwrap();
            (0..count).map(|i| from + i as f64).collect()
        };
        let a = range(0.0, &case["n"]);
        let b = range(case["start"].as_f64().unwrap(), &case["m"]);
        assert_close(t_test(&a, &b), &case["t_test"], &case);
        let p = kolmogorov_smirnov(&a, &b);
        assert_close(p, &case["kolmogorov_smirnov"], &case);
    }
}

/// Vectors of ClinicaDL 1.6.1.
#[test]
fn proportions_are_compared_as_clinicadl_does() {
    assert!(equals(
        chi_square_on_proportions(&[6, 4], &[15, 15]),
        0.841480581121794
    ));
    assert!(equals(
        chi_square_on_proportions(&[2, 2], &[1, 3]),
        0.5637028616507731
    ));
    assert!(equals(chi_square_on_proportions(&[1, 1], &[2, 0]), 0.0));
    // The defect for which counts are the default: a hundred times the members, the same p.
    let few = chi_square_on_proportions(&[6, 4], &[15, 15]);
    let many = chi_square_on_proportions(&[600, 400], &[1500, 1500]);
    assert!(equals(few, many));
    assert!(chi_square(&[600, 400], &[1500, 1500]) < 1e-6);
}

/// Vector of ClinicaDL 1.6.1.
#[test]
fn a_missing_value_takes_no_part() {
    let a = [70.0, 72.0, f64::NAN, 68.0];
    let b = [71.0, 69.0, 75.0, 80.0, 66.0];
    assert!(equals(t_test(&a, &b), 0.5365755822913194));
    let known = [70.0, 72.0, 68.0];
    assert!(equals(
        kolmogorov_smirnov(&a, &b),
        kolmogorov_smirnov(&known, &b)
    ));
    assert!(kolmogorov_smirnov(&[f64::NAN], &b).is_nan());
}

#[test]
fn a_test_that_cannot_tell_groups_apart_says_so() {
    assert!(equals(t_test(&[5.0, 5.0], &[5.0, 5.0, 5.0]), 1.0));
    // The sum of three 0.1 is not 0.3.
    assert!(equals(t_test(&[0.1, 0.1], &[0.1, 0.1, 0.1]), 1.0));
    assert!(equals(t_test(&[5.0, 5.0], &[6.0, 6.0]), 0.0));
    assert!(t_test(&[1.0], &[2.0]).is_nan());
    assert!(t_test(&[], &[1.0, 2.0, 3.0]).is_nan());
    assert!(equals(kolmogorov_smirnov(&[5.0], &[5.0, 5.0]), 1.0));
    assert!(kolmogorov_smirnov(&[], &[1.0]).is_nan());
    for test in [chi_square, chi_square_on_proportions] {
        assert!(equals(test(&[3, 0], &[9, 0]), 1.0));
        assert!(equals(test(&[0, 0], &[9, 1]), 1.0));
        assert!(equals(test(&[9, 1], &[0, 0]), 1.0));
        assert!(equals(test(&[], &[]), 1.0));
        assert!(equals(test(&[2, 0, 3], &[2, 0, 3]), 1.0));
    }
}

#[test]
fn infinite_values_do_not_panic() {
    let wild = [f64::INFINITY, f64::NEG_INFINITY, f64::MAX];
    assert!(t_test(&wild, &wild).is_nan());
    assert!(equals(kolmogorov_smirnov(&wild, &wild), 1.0));
}
