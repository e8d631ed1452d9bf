//! Tests of two models on the same images.

use statrs::distribution::{Binomial, ChiSquared, ContinuousCDF, DiscreteCDF, Normal};

use crate::metrics::delong::{self, Z};

/// The outcome of a test.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Paired {
    /// Its name in tables.
    pub(super) test: String,
    /// What is compared, model less reference.
    pub(super) difference: f64,
    /// The 95 % interval of the difference, where the test has one.
    pub(super) interval: Option<(f64, f64)>,
    /// NaN where the test has none.
    pub(super) statistic: f64,
    /// Two-sided.
    pub(super) p_value: f64,
}

/// McNemar's tests of which of two models is right more often, given how many images only the model and
/// only the reference has right: exact, and by the chi-square distribution with a correction for continuity.
///
/// # Source
/// McNemar 1947, doi:10.1007/BF02295996; Edwards 1948, doi:10.1007/BF02289261. As R's `mcnemar.test`, equal
/// numbers need no correction.
pub(super) fn mcnemar(only_model: u64, only_reference: u64) -> [Paired; 2] {
    let (n, least) = (only_model + only_reference, only_model.min(only_reference));
    let difference = only_model as f64 - only_reference as f64;
    let exact = match Binomial::new(0.5, n) {
        Ok(binomial) if n > 0 => (2.0 * binomial.cdf(least)).min(1.0),
        _ => 1.0,
    };
    let corrected = (difference.abs() - 1.0).max(0.0).powi(2);
    let statistic = if n > 0 { corrected / n as f64 } else { 0.0 };
    let p_value = ChiSquared::new(1.0).map_or(f64::NAN, |chi| chi.sf(statistic));
    let paired = |test: &str, statistic, p_value| Paired {
        test: test.to_owned(),
        difference,
        interval: None,
        statistic,
        p_value,
    };
    [
        paired("mcnemar_exact", f64::NAN, exact),
        paired("mcnemar_corrected", statistic, p_value),
    ]
}

/// DeLong's test of two areas under the ROC curve, over participants; `None` where an area is undefined.
///
/// # Source
/// DeLong et al. 1988, doi:10.2307/2531595; see [`delong`].
pub(super) fn delong_test(
    test: String,
    is_member: &[bool],
    [model, reference]: [&[f64]; 2],
    participants: &[&str],
) -> Option<Paired> {
    let found = delong::areas(is_member, &[model, reference], participants)?;
    let c = &found.covariance;
    let difference = found.areas[0] - found.areas[1];
    let error = (c[0][0] + c[1][1] - c[0][1] - c[1][0]).max(0.0).sqrt();
    // Equal orders have equal areas, and no error.
    let statistic = if difference == 0.0 {
        0.0
    } else {
        difference / error
    };
    Some(Paired {
        test,
        difference,
        interval: Some((difference - Z * error, difference + Z * error)),
        statistic,
        p_value: 2.0 * Normal::standard().sf(statistic.abs()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Made by the script beside it with scipy.
    const REFERENCE: &str = include_str!("../../../tests/reference/metrics/paired.json");

    #[test]
    fn p_values_are_those_of_scipy() {
        let reference: Value = serde_json::from_str(REFERENCE).unwrap();
        for case in reference["mcnemar"].as_array().unwrap() {
            let count = |key: &str| case[key].as_u64().unwrap();
            let [exact, corrected] = mcnemar(count("only_model"), count("only_reference"));
            for (got, key) in [
                (exact.p_value, "exact"),
                (corrected.statistic, "statistic"),
                (corrected.p_value, "corrected"),
            ] {
                let expected = case[key].as_f64().unwrap();
                assert!((got - expected).abs() < 1e-9, "{case}: {key} is {got}");
            }
        }
        for case in reference["delong"].as_array().unwrap() {
            let list =
                |key: &str| -> Vec<f64> { serde_json::from_value(case[key].clone()).unwrap() };
            let is_member: Vec<bool> = serde_json::from_value(case["is_member"].clone()).unwrap();
            let names: Vec<String> = (0..is_member.len()).map(|i| format!("sub-{i}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let scores = [&list("model")[..], &list("reference")[..]];
            let got = delong_test("delong".to_owned(), &is_member, scores, &names).unwrap();
            let (lower, upper) = got.interval.unwrap();
            for (got, key) in [
                (got.difference, "difference"),
                (lower, "lower"),
                (upper, "upper"),
                (got.statistic, "statistic"),
                (got.p_value, "p_value"),
            ] {
                let expected = case[key].as_f64().unwrap();
                assert!(
                    (got - expected).abs() < 1e-9,
                    "{key} is {got}, expected {expected}"
                );
            }
        }
    }

    #[test]
    fn models_that_say_the_same_do_not_differ() {
        assert!(mcnemar(0, 0).iter().all(|test| test.p_value > 1.0 - 1e-12));
        let score = [0.1, 0.4, 0.35, 0.8];
        let is_member = [false, false, true, true];
        let names = ["a", "b", "c", "d"];
        let test = delong_test(String::new(), &is_member, [&score, &score], &names).unwrap();
        assert_eq!((test.difference, test.statistic), (0.0, 0.0));
        assert!((test.p_value - 1.0).abs() < 1e-12);
    }
}
