//! Parts of images vote for the class of their image.
//!
//! The probability of a class is the mean of what the parts say, weighted by how good each part is on the
//! validation set; the class of the highest probability is predicted, the first of equals. Parts whose score
//! is below a threshold do not vote.
//!
//! # Source
//! `ensemble_prediction` of ClinicaDL 1.6.1; S. Raschka, Python Machine Learning, 2015. Deviations: balanced
//! accuracy is the default, which 1.6.1 documents while it computes accuracy; where no part has a weight, all
//! weigh the same instead of giving NaN; images may lack parts, of which those that are there then share the
//! vote.

use std::collections::BTreeMap;

use crate::learning::names::VotingName;
use crate::metrics::{METRICS, Outcomes};

/// How good the predictions of one part of images are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PartScore {
    /// The number of the part within the image.
    pub part: usize,
    /// Images that were predicted.
    pub images: usize,
    /// Accuracy on them.
    pub accuracy: f64,
    /// Balanced accuracy on them, the mean over classes where there are more than two.
    pub balanced_accuracy: f64,
}

impl PartScore {
    /// The score of a part, of its predictions of validation images.
    pub fn of(part: usize, outcomes: &Outcomes<'_>) -> Self {
        let value = |id: &str| {
            let metric = METRICS.iter().find(|metric| metric.id() == id);
            metric.map_or(0.0, |metric| metric.value(outcomes))
        };
        Self {
            part,
            images: outcomes.truth.len(),
            accuracy: value("accuracy"),
            balanced_accuracy: value("balanced_accuracy"),
        }
    }
}

/// What the vote of each part weighs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights {
    /// Shares of a vote, which add up to 1; empty if all parts weigh the same.
    by_part: BTreeMap<usize, f64>,
    /// Whether no part had a weight, so that all weigh the same.
    pub is_fallback: bool,
}

impl Weights {
    /// All parts weigh the same.
    pub fn equal() -> Self {
        Self::default()
    }

    /// Weights by scores; parts whose score is below the threshold do not vote.
    pub fn of(scores: &[PartScore], voting: VotingName, threshold: f64) -> Self {
        let weight = |score: &PartScore| {
            let value = match voting {
                VotingName::BalancedAccuracy => score.balanced_accuracy,
                VotingName::Accuracy => score.accuracy,
                VotingName::Equal => return 1.0,
            };
            if value < threshold { 0.0 } else { value }
        };
        Self::given(scores.iter().map(|score| (score.part, weight(score))))
    }

    /// Weights of parts, scaled to add up to 1.
    pub fn given(weights: impl IntoIterator<Item = (usize, f64)>) -> Self {
        let mut by_part: BTreeMap<usize, f64> = weights.into_iter().collect();
        let mut total: f64 = by_part.values().sum();
        let is_fallback = total <= 0.0;
        if is_fallback {
            by_part.values_mut().for_each(|weight| *weight = 1.0);
            total = by_part.len() as f64;
        }
        by_part.values_mut().for_each(|weight| *weight /= total);
        Self {
            by_part,
            is_fallback,
        }
    }

    /// The share of a part; nothing for one that validation did not see.
    pub fn of_part(&self, part: usize) -> f64 {
        if self.by_part.is_empty() {
            return 1.0;
        }
        self.by_part.get(&part).copied().unwrap_or(0.0)
    }
}

/// What parts said about their image.
#[derive(Debug, Clone, PartialEq)]
pub struct Vote {
    /// The probability of each class.
    pub probabilities: Vec<f64>,
    /// The class of the highest.
    pub predicted: usize,
    /// Whether no part of the image had a weight, so that all weighed the same.
    pub is_even: bool,
}

/// The vote of the parts that an image has, each with its number and the probabilities of the classes.
pub fn vote(weights: &Weights, parts: &[(usize, &[f64])]) -> Vote {
    let shares = parts.iter().map(|(part, _)| weights.of_part(*part));
    let mut shares: Vec<f64> = shares.collect();
    let is_even = shares.iter().all(|share| *share <= 0.0);
    if is_even {
        shares.fill(1.0);
    }
    let total: f64 = shares.iter().sum();
    let classes = parts.first().map_or(0, |(_, said)| said.len());
    let probability = |class: usize| {
        let votes = parts.iter().zip(&shares);
        votes
            .map(|((_, said), share)| share * said[class])
            .sum::<f64>()
            / total
    };
    let probabilities: Vec<f64> = (0..classes).map(probability).collect();
    let mut predicted = 0;
    for (class, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[predicted] {
            predicted = class;
        }
    }
    Vote {
        probabilities,
        predicted,
        is_even,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn score(part: usize, accuracy: f64, balanced_accuracy: f64) -> PartScore {
        PartScore {
            part,
            images: 10,
            accuracy,
            balanced_accuracy,
        }
    }

    fn shares(weights: &Weights, parts: usize) -> Vec<f64> {
        (0..parts).map(|part| weights.of_part(part)).collect()
    }

    fn assert_close(got: &[f64], expected: &[f64], told: &str) {
        assert_eq!(got.len(), expected.len(), "{told}");
        for (got, expected) in got.iter().zip(expected) {
            // Sums of some numbers of double precision, in another order.
            assert!((got - expected).abs() < 1e-9, "{told}: {got} {expected}");
        }
    }

    fn floats(value: &Value) -> Vec<f64> {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn codes(value: &Value) -> Vec<usize> {
        serde_json::from_value(value.clone()).unwrap()
    }

    /// `tests/reference/learning/voting.py` asked ClinicaDL 1.6.1.
    #[test]
    fn votes_are_those_of_clinicadl() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/reference/learning/voting.json"
        );
        let text = std::fs::read_to_string(path).unwrap();
        let cases: Value = serde_json::from_str(&text).unwrap();
        for case in cases["classification"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            let classes = usize::try_from(case["classes"].as_u64().unwrap()).unwrap();
            let scores: Vec<PartScore> = case["validation"]
                .as_array()
                .unwrap()
                .iter()
                .enumerate()
                .map(|(part, table)| {
                    let (truth, predicted) = (codes(&table["true"]), codes(&table["predicted"]));
                    let outcomes = Outcomes {
                        classes,
                        truth: &truth,
                        predicted: &predicted,
                        probabilities: &[],
                    };
                    PartScore::of(part, &outcomes)
                })
                .collect();
            let balanced: Vec<f64> = scores.iter().map(|s| s.balanced_accuracy).collect();
            assert_close(&balanced, &floats(&case["balanced_accuracy"]), name);
            let threshold = case["threshold"].as_f64().unwrap_or(0.0);
            let weights = Weights::of(&scores, VotingName::Accuracy, threshold);
            for image in case["images"].as_array().unwrap() {
                let said: Vec<Vec<f64>> = serde_json::from_value(image["parts"].clone()).unwrap();
                let parts = said.iter().enumerate();
                let parts: Vec<(usize, &[f64])> =
                    parts.map(|(part, row)| (part, row.as_slice())).collect();
                let vote = vote(&weights, &parts);
                assert_close(&vote.probabilities, &floats(&image["probabilities"]), name);
                assert_eq!(vote.predicted as u64, image["predicted"].as_u64().unwrap());
            }
        }
    }

    #[test]
    fn weights_follow_the_chosen_score_and_threshold() {
        let scores = [score(0, 0.9, 0.5), score(1, 0.6, 0.7), score(2, 0.3, 0.8)];
        let of = |voting, threshold| shares(&Weights::of(&scores, voting, threshold), 3);
        let balanced = of(VotingName::BalancedAccuracy, 0.0);
        assert_close(&balanced, &[0.25, 0.35, 0.4], "balanced");
        let plain = of(VotingName::Accuracy, 0.0);
        assert_close(&plain, &[0.5, 1.0 / 3.0, 1.0 / 6.0], "plain");
        // A part that is as good as the threshold votes.
        let some = of(VotingName::BalancedAccuracy, 0.7);
        assert_close(&some, &[0.0, 0.7 / 1.5, 0.8 / 1.5], "above");
        let equal = of(VotingName::Equal, 0.0);
        assert_close(&equal, &[1.0 / 3.0; 3], "equal");
    }

    #[test]
    fn where_no_part_has_a_weight_all_weigh_the_same() {
        let scores = [score(0, 0.0, 0.4), score(1, 0.0, 0.3)];
        let weights = Weights::of(&scores, VotingName::BalancedAccuracy, 0.9);
        assert!(weights.is_fallback);
        assert_close(&shares(&weights, 2), &[0.5, 0.5], "fallback");
        assert!(!Weights::of(&scores, VotingName::BalancedAccuracy, 0.4).is_fallback);
        let image = vote(&weights, &[(0, &[0.2, 0.8]), (1, &[0.6, 0.4])]);
        assert_close(&image.probabilities, &[0.4, 0.6], "vote");
        assert_eq!(image.predicted, 1);
    }

    #[test]
    fn the_parts_that_an_image_has_share_the_vote() {
        let weights = Weights::given([(0, 0.5), (1, 0.3), (2, 0.2), (3, 0.0)]);
        let two = vote(&weights, &[(1, &[1.0, 0.0]), (2, &[0.0, 1.0])]);
        assert_close(&two.probabilities, &[0.6, 0.4], "two parts");
        assert!(!two.is_even);
        // Part 3 has no weight, part 9 was never seen.
        let none = vote(&weights, &[(3, &[0.9, 0.1]), (9, &[0.4, 0.6])]);
        assert!(none.is_even);
        assert_close(&none.probabilities, &[0.65, 0.35], "no weight");
        let any = vote(&Weights::equal(), &[(7, &[0.5, 0.5])]);
        assert_eq!((any.predicted, any.is_even), (0, false));
    }
}
