//! Negative likelihood ratio.

use super::{Metric, Outcomes, ratio};

/// `(1 − sensitivity) / specificity`, 0 to infinity, the smaller the better; 0 if the specificity is 0.
///
/// # Source
/// ClinicaDL 1.6.1, `metric_module.py`.
pub(super) struct NegativeLikelihoodRatio;

impl Metric for NegativeLikelihoodRatio {
    fn id(&self) -> &'static str {
        "negative_likelihood_ratio"
    }

    fn column(&self) -> &'static str {
        "LR_minus"
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn range(&self) -> (f64, f64) {
        (0.0, f64::INFINITY)
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        let counts = outcomes.counts(class);
        ratio(1.0 - counts.sensitivity(), counts.specificity())
    }
}
