//! Negative predictive value.

use super::{Metric, Outcomes};

/// `TN / (TN + FN)`, 0 to 1; 0 if the class is always predicted.
///
/// # Source
/// ClinicaDL 1.6.1, `metric_module.py`.
pub(super) struct NegativePredictiveValue;

impl Metric for NegativePredictiveValue {
    fn id(&self) -> &'static str {
        "negative_predictive_value"
    }

    fn column(&self) -> &'static str {
        "NPV"
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        outcomes.counts(class).negative_predictive_value()
    }
}
