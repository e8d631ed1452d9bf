//! The expected calibration error, and the bins it is made of.

use super::{Metric, Outcomes, ratio};

/// Bins of equal width between 0 and 1.
pub const BINS: usize = 15;

/// `Σ nᵦ/n |rightᵦ − confidenceᵦ|` over [`BINS`] bins of the probability of the predicted class, 0 to 1, the
/// smaller the better; 0 without images.
///
/// # Source
/// Guo et al. 2017, arXiv:1706.04599, equation 3; bins are open below and closed above.
pub(super) struct CalibrationError;

impl Metric for CalibrationError {
    fn id(&self) -> &'static str {
        "expected_calibration_error"
    }

    fn column(&self) -> &'static str {
        "ECE"
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn is_by_class(&self) -> bool {
        false
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, _: usize) -> f64 {
        let images = 0..outcomes.truth.len();
        let told = images.map(|image| {
            let predicted = outcomes.predicted[image];
            let is_right = outcomes.truth[image] == predicted;
            (outcomes.probability(image, predicted), is_right)
        });
        match reliability(told) {
            Some(bins) => {
                let gaps = bins.iter().map(|bin| (bin.right - bin.probability).abs());
                ratio(gaps.sum(), outcomes.truth.len() as f64)
            }
            None => f64::NAN,
        }
    }
}

/// What was said and what was true, of the images whose probability is in one bin.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    /// Images.
    pub count: usize,
    /// The sum of their probabilities.
    pub probability: f64,
    /// How many of them were as said.
    pub right: f64,
}

/// The bins of probabilities, each with whether it came true; `None` if one is NaN.
pub fn reliability(told: impl Iterator<Item = (f64, bool)>) -> Option<[Bin; BINS]> {
    let mut bins = [Bin::default(); BINS];
    for (probability, is_right) in told {
        if probability.is_nan() {
            return None;
        }
        let above = (1..BINS).find(|&i| probability <= edge(i));
        let bin = &mut bins[above.map_or(BINS - 1, |i| i - 1)];
        bin.count += 1;
        bin.probability += probability;
        bin.right += f64::from(u8::from(is_right));
    }
    Some(bins)
}

/// The upper edge of the bin before bin `i`.
pub fn edge(i: usize) -> f64 {
    i as f64 * (1.0 / BINS as f64)
}
