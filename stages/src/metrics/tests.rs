use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Made by the script beside it with scikit-learn and numpy.
const REFERENCE: &str = include_str!("../../../tests/reference/metrics/metrics.json");

/// Outcomes that own their values.
#[derive(Debug, Clone, Default)]
pub(super) struct Case {
    pub(super) classes: usize,
    pub(super) truth: Vec<usize>,
    pub(super) predicted: Vec<usize>,
    pub(super) probabilities: Vec<f64>,
}

impl Case {
    pub(super) fn outcomes(&self) -> Outcomes<'_> {
        let (truth, predicted) = (&self.truth, &self.predicted);
        let (classes, probabilities) = (self.classes, &self.probabilities);
        Outcomes {
            classes,
            truth,
            predicted,
            probabilities,
        }
    }
}

/// The reference cases of one kind, by name.
pub(super) fn cases(kind: &str) -> Vec<(String, Case, Value)> {
    let reference: Value = serde_json::from_str(REFERENCE).unwrap();
    let cases = reference[kind].as_object().unwrap().clone();
    let codes = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    cases
        .into_iter()
        .map(|(name, value)| {
            let case = Case {
                classes: serde_json::from_value(value["classes"].clone()).unwrap(),
                truth: codes(&value["truth"]),
                predicted: codes(&value["predicted"]),
                probabilities: serde_json::from_value(value["probabilities"].clone()).unwrap(),
            };
            (name, case, value)
        })
        .collect()
}

/// 1e-9: only the order of summation differs from the reference.
fn is_close(value: f64, expected: &Value) -> bool {
    match expected.as_f64() {
        Some(expected) => (value - expected).abs() < 1e-9,
        None => value.is_nan(),
    }
}

#[test]
fn every_metric_equals_scikit_learn_also_where_a_denominator_is_zero() {
    for (name, case, reference) in cases("cases") {
        let outcomes = case.outcomes();
        for metric in METRICS {
            let (id, value) = (metric.id(), metric.value(&outcomes));
            let expected = &reference["values"][id];
            assert!(
                is_close(value, expected),
                "{name}: {id} is {value}, expected {expected}"
            );
            for (class, expected) in reference["by_class"].as_array().unwrap().iter().enumerate() {
                let value = metric.of_class(&outcomes, class);
                let expected = &expected[id];
                assert!(
                    is_close(value, expected),
                    "{name}: {id}-{class} {value}, {expected}"
                );
            }
        }
    }
}

#[test]
fn ids_and_columns_are_unique_and_find_their_metric() {
    let mut names = std::collections::BTreeSet::new();
    for metric in METRICS {
        names.insert(metric.id());
        names.insert(metric.column());
        assert_eq!(find(metric.id()).unwrap().column, metric.column());
        assert_eq!(find(metric.column()).unwrap().id, metric.id());
    }
    // Three metrics have the same ID and column.
    assert_eq!(names.len(), 2 * METRICS.len() - 3);
    assert!(find("balanced").is_none());
}

fn any_case() -> impl Strategy<Value = Case> {
    (2..5_usize, 0..30_usize).prop_flat_map(|(classes, images)| {
        let codes = || proptest::collection::vec(0..classes, images);
        let probabilities = proptest::collection::vec(0.0..=1.0, images * classes);
        (codes(), codes(), probabilities).prop_map(move |(truth, predicted, probabilities)| Case {
            classes,
            truth,
            predicted,
            probabilities,
        })
    })
}

proptest! {
    #[test]
    fn values_stay_in_their_range(case in any_case()) {
        for metric in METRICS {
            let (value, (least, greatest)) = (metric.value(&case.outcomes()), metric.range());
            // Rounding: a mean of ones may exceed one by its last digit.
            let inside = (least - 1e-12..=greatest + 1e-12).contains(&value);
            let undefined = metric.id() == "roc_auc" && value.is_nan();
            prop_assert!(inside || undefined, "{} is {}", metric.id(), value);
        }
    }

    #[test]
    fn the_order_of_images_does_not_matter(case in any_case()) {
        let reversed = Case {
            classes: case.classes,
            truth: case.truth.iter().rev().copied().collect(),
            predicted: case.predicted.iter().rev().copied().collect(),
            probabilities: case.probabilities.chunks(case.classes).rev().flatten().copied().collect(),
        };
        for metric in METRICS {
            let values = [metric.value(&case.outcomes()), metric.value(&reversed.outcomes())];
            prop_assert_eq!(values[0].to_bits(), values[1].to_bits(), "{}", metric.id());
        }
    }
}
