use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Made by the script beside it with scikit-learn and numpy.
const REFERENCE: &str = include_str!("../../../tests/reference/metrics/metrics.json");

pub(super) use super::OwnedOutcomes as Case;

/// Numbers of the reference, in which NaN is null.
fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap().iter();
    list.map(|x| x.as_f64().unwrap_or(f64::NAN)).collect()
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
                probabilities: numbers(&value["probabilities"]),
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
        let outcomes = case.as_ref();
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
    // Accuracy, sensitivity and specificity have the same ID and column.
    assert_eq!(names.len(), 2 * METRICS.len() - 3);
    assert!(find("balanced").is_none());
}

fn any_case() -> impl Strategy<Value = Case> {
    (2..5_usize, 0..30_usize).prop_flat_map(|(classes, images)| {
        let codes = || proptest::collection::vec(0..classes, images);
        let weights = proptest::collection::vec(0.01..=1.0, images * classes);
        (codes(), codes(), weights).prop_map(
            move |(truth, predicted, weights): (_, _, Vec<f64>)| Case {
                classes,
                truth,
                predicted,
                probabilities: weights
                    .chunks(classes)
                    .flat_map(|row| row.iter().map(|w| w / row.iter().sum::<f64>()))
                    .collect(),
            },
        )
    })
}

proptest! {
    #[test]
    fn values_stay_in_their_range(case in any_case()) {
        for metric in METRICS {
            let (value, (least, greatest)) = (metric.value(&case.as_ref()), metric.range());
            // Rounding: a mean of ones may exceed one by its last digit.
            let inside = (least - 1e-12..=greatest + 1e-12).contains(&value);
            let may_be_undefined = ["roc_auc", "average_precision"].contains(&metric.id());
            let undefined = may_be_undefined && value.is_nan();
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
            let values = [metric.value(&case.as_ref()), metric.value(&reversed.as_ref())];
            // Sums of probabilities round otherwise in another order.
            let same = (values[0] - values[1]).abs() < 1e-12 || values[0].is_nan() && values[1].is_nan();
            prop_assert!(same, "{}: {values:?}", metric.id());
        }
    }
}

#[test]
fn areas_and_their_covariance_are_those_of_delong_and_obuchowski() {
    let reference: Value = serde_json::from_str(REFERENCE).unwrap();
    for (name, case) in reference["delong"].as_object().unwrap() {
        let is_member: Vec<bool> = serde_json::from_value(case["is_member"].clone()).unwrap();
        let participants: Vec<String> =
            serde_json::from_value(case["participants"].clone()).unwrap();
        let participants: Vec<&str> = participants.iter().map(String::as_str).collect();
        let scores: Vec<Vec<f64>> = case["scores"]
            .as_array()
            .unwrap()
            .iter()
            .map(numbers)
            .collect();
        let scores: Vec<&[f64]> = scores.iter().map(Vec::as_slice).collect();
        let Some(found) = delong::areas(&is_member, &scores, &participants) else {
            assert!(case["areas"].is_null(), "{name}");
            continue;
        };
        let expected = numbers(&case["areas"]);
        let pairs = found.areas.iter().zip(&expected);
        assert!(
            pairs.clone().all(|(a, b)| (a - b).abs() < 1e-12),
            "{name} {found:?}"
        );
        for (row, expected) in found
            .covariance
            .iter()
            .zip(case["covariance"].as_array().unwrap())
        {
            for (a, b) in row.iter().zip(numbers(expected)) {
                assert!((a - b).abs() < 1e-12, "{name}: {a}, expected {b}");
            }
        }
    }
}

#[test]
fn the_interval_of_delong_is_beside_that_of_the_bootstrap() {
    let (_, case, reference) = cases("cases").remove(0);
    let names: Vec<String> = (0..case.truth.len()).map(|i| format!("sub-{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let all = estimates(&case.as_ref(), &names, 2000, &engine::seed::Stream::root(1));
    let of = |id: &str| all.iter().find(|e| e.metric.id == id).unwrap();
    let (area, delong) = (of("roc_auc"), of("roc_auc_delong"));
    assert!(is_close(delong.value, &reference["values"]["roc_auc"]));
    let (a, b) = (area.interval.unwrap(), delong.interval.unwrap());
    // Two estimates of one error, from 40 images.
    assert!(
        (a.standard_error / b.standard_error - 1.0).abs() < 0.1,
        "{a:?} {b:?}"
    );
}
