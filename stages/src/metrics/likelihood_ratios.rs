//! Likelihood ratios.

use super::{Metric, Outcomes, ratio};

/// Positive likelihood ratio: `sensitivity / (1 − specificity)`, at least 0; 0 if the specificity is 1.
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

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        let counts = outcomes.counts(class);
        ratio(counts.sensitivity(), 1.0 - counts.specificity())
    }
}

/// Negative likelihood ratio: `(1 − sensitivity) / specificity`, at least 0, the smaller the better; 0 if
/// the specificity is 0.
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

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        let counts = outcomes.counts(class);
        ratio(1.0 - counts.sensitivity(), counts.specificity())
    }
}
