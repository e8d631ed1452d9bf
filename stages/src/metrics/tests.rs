use serde_json::Value;

use super::*;

/// Made by the script beside it with scikit-learn.
const REFERENCE: &str = include_str!("../../../tests/reference/metrics/metrics.json");

#[test]
fn every_metric_equals_scikit_learn_also_where_a_denominator_is_zero() {
    let reference: Value = serde_json::from_str(REFERENCE).unwrap();
    for (name, case) in reference["cases"].as_object().unwrap() {
        let list = |field: &str| -> Vec<f64> { serde_json::from_value(case[field].clone()).unwrap() };
        let codes = |field: &str| -> Vec<usize> { serde_json::from_value(case[field].clone()).unwrap() };
        let (truth, predicted, probabilities) =
            (codes("truth"), codes("predicted"), list("probabilities"));
        let classes = usize::try_from(case["classes"].as_u64().unwrap()).unwrap();
        let outcomes =
            Outcomes { classes, truth: &truth, predicted: &predicted, probabilities: &probabilities };
        for metric in METRICS {
            let expected = case["values"][metric.id()].as_f64().unwrap_or(f64::NAN);
            let value = metric.value(&outcomes);
            let equal = (value - expected).abs() < 1e-9 || (value.is_nan() && expected.is_nan());
            assert!(equal, "{name}: {} is {value}, expected {expected}", metric.id());
        }
    }
}

#[test]
fn ids_and_columns_are_unique() {
    let (id, column) = (|m: &dyn Metric| m.id(), |m: &dyn Metric| m.column());
    for field in [id as fn(&dyn Metric) -> &'static str, column] {
        let mut names: Vec<_> = METRICS.iter().map(|metric| field(*metric)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
    }
}
