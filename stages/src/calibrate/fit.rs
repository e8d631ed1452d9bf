//! Temperature and threshold, fitted to predictions whose truth is known.

use crate::metrics::OwnedOutcomes;

/// The temperatures that are looked at: beyond them probabilities are certain, or all equal.
pub(super) const TEMPERATURES: (f64, f64) = (0.01, 100.0);

/// Least probability of a true class, that of 32 bits: a logarithm of 0 has no end.
const LEAST: f64 = 1.175_494_350_822_287_5e-38;

/// The temperature `T` at which probabilities `softmax(ln p / T)` have the least cross-entropy, and whether
/// it lies within [`TEMPERATURES`].
///
/// The cross-entropy is convex in `1/T`: its derivative is bisected.
///
/// # Source
/// Guo et al. 2017, arXiv:1706.04599, section 4.2: logits are known up to what `softmax` leaves out.
pub(super) fn temperature(outcomes: &OwnedOutcomes) -> (f64, bool) {
    let slope = |inverse: f64| -> f64 {
        let rows = outcomes
            .probabilities
            .chunks(outcomes.classes)
            .zip(&outcomes.truth);
        rows.map(|(row, &truth)| {
            let logits = logits(row);
            let scaled = sharpened(row, inverse);
            let expected: f64 = logits.iter().zip(&scaled).map(|(z, p)| z * p).sum();
            expected - logits[truth]
        })
        .sum()
    };
    let (mut low, mut high) = (1.0 / TEMPERATURES.1, 1.0 / TEMPERATURES.0);
    if slope(low) >= 0.0 {
        return (TEMPERATURES.1, false);
    }
    if slope(high) <= 0.0 {
        return (TEMPERATURES.0, false);
    }
    for _ in 0..200 {
        let middle = low + (high - low) / 2.0;
        match slope(middle) > 0.0 {
            true => high = middle,
            false => low = middle,
        }
    }
    (1.0 / (low + (high - low) / 2.0), true)
}

fn logits(row: &[f64]) -> Vec<f64> {
    row.iter().map(|p| p.max(LEAST).ln()).collect()
}

/// Probabilities of one image at an inverse temperature.
pub(super) fn sharpened(row: &[f64], inverse: f64) -> Vec<f64> {
    let logits = logits(row);
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits
        .iter()
        .map(|z| ((z - most) * inverse).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// What a threshold aims at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Aim {
    /// The greatest sum of sensitivity and specificity.
    Youden,
    /// At least this sensitivity, with the greatest specificity.
    Sensitivity(f64),
}

/// The probability of class 0 from which on it is predicted, of two classes: one of those that were seen, the
/// greatest that serves the aim. `None` without members on both sides.
///
/// # Source
/// Youden 1950, doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3; the points are those of
/// scikit-learn `roc_curve(drop_intermediate=False)`.
pub(super) fn threshold(outcomes: &OwnedOutcomes, aim: Aim) -> Option<f64> {
    let pairs = outcomes.probabilities.chunks(2).zip(&outcomes.truth);
    let mut scores: Vec<(f64, bool)> = pairs.map(|(row, &truth)| (row[0], truth == 0)).collect();
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    let members = scores.iter().filter(|(_, inside)| *inside).count() as f64;
    let others = scores.len() as f64 - members;
    if members == 0.0 || others == 0.0 {
        return None;
    }
    let (mut found, mut wrong) = (0.0, 0.0);
    let mut best: Option<(f64, f64)> = None;
    for ties in scores.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let inside = ties.iter().filter(|(_, inside)| *inside).count() as f64;
        found += inside;
        wrong += ties.len() as f64 - inside;
        let sensitivity = found / members;
        let gain = match aim {
            // Whole numbers, so that ties are ties.
            Aim::Youden => found * others - wrong * members,
            // What comes first has the greatest specificity.
            Aim::Sensitivity(least) if sensitivity >= least => 0.0,
            Aim::Sensitivity(_) => continue,
        };
        if best.is_none_or(|(most, _)| gain > most) {
            best = Some((gain, ties[0].0));
        }
    }
    best.map(|(_, threshold)| threshold)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Made by the script beside it with scipy and scikit-learn.
    const REFERENCE: &str = include_str!("../../../tests/reference/metrics/calibration.json");

    fn cases() -> Vec<(Value, OwnedOutcomes)> {
        let reference: Value = serde_json::from_str(REFERENCE).unwrap();
        let cases = reference["cases"].as_array().unwrap().clone();
        let outcomes = cases.into_iter().map(|case| {
            let outcomes = OwnedOutcomes {
                classes: serde_json::from_value(case["classes"].clone()).unwrap(),
                truth: serde_json::from_value(case["truth"].clone()).unwrap(),
                predicted: Vec::new(),
                probabilities: serde_json::from_value(case["probabilities"].clone()).unwrap(),
            };
            (case, outcomes)
        });
        outcomes.collect()
    }

    #[test]
    fn the_temperature_is_the_optimum_of_scipy() {
        for (case, outcomes) in cases() {
            let (found, is_inside) = temperature(&outcomes);
            let expected = case["temperature"].as_f64().unwrap();
            assert!(
                is_inside && (found - expected).abs() < 1e-6 * expected,
                "{found} {expected}"
            );
        }
    }

    #[test]
    fn thresholds_are_those_of_the_curve_of_scikit_learn() {
        for (case, outcomes) in cases().into_iter().filter(|(_, o)| o.classes == 2) {
            for (key, aim) in [
                ("youden", Aim::Youden),
                ("sensitivity_0.9", Aim::Sensitivity(0.9)),
                ("sensitivity_1", Aim::Sensitivity(1.0)),
            ] {
                let found = threshold(&outcomes, aim).unwrap();
                let expected = case[key].as_f64().unwrap();
                assert!(
                    (found - expected).abs() < 1e-12,
                    "{key}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_fitted_is_told() {
        let of = |truth: &[usize], probabilities: &[f64]| OwnedOutcomes {
            classes: 2,
            truth: truth.to_vec(),
            predicted: Vec::new(),
            probabilities: probabilities.to_vec(),
        };
        // Always right: the surer the better. Always wrong: the less sure the better.
        assert_eq!(
            temperature(&of(&[0, 1], &[0.6, 0.4, 0.3, 0.7])),
            (0.01, false)
        );
        assert_eq!(
            temperature(&of(&[1, 0], &[0.6, 0.4, 0.3, 0.7])),
            (100.0, false)
        );
        assert_eq!(
            threshold(&of(&[0, 0], &[0.6, 0.4, 0.3, 0.7]), Aim::Youden),
            None
        );
        // A probability of 0 is as small as 32 bits have it.
        assert!(
            temperature(&of(&[0, 1, 1], &[0.0, 1.0, 0.3, 0.7, 0.2, 0.8]))
                .0
                .is_finite()
        );
    }
}
