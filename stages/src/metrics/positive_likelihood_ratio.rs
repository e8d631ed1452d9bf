//! Positive likelihood ratio.

use super::{Metric, Outcomes, ratio};

/// `sensitivity / (1 − specificity)`, 0 to infinity; 0 if the specificity is 1.
///
/// # Source
/// ClinicaDL 1.6.1, `metric_module.py`.
pub(super) struct PositiveLikelihoodRatio;

impl Metric for PositiveLikelihoodRatio {
    fn id(&self) -> &'static str {
        "positive_likelihood_ratio"
    }

    fn column(&self) -> &'static str {
        "LR_plus"
    }

    fn range(&self) -> (f64, f64) {
        (0.0, f64::INFINITY)
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        let counts = outcomes.counts(class);
        ratio(counts.sensitivity(), 1.0 - counts.specificity())
    }
}
