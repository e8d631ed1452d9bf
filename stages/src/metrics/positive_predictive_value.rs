//! Positive predictive value (precision).

use super::{Metric, Outcomes};

/// `TP / (TP + FP)`, 0 to 1; 0 if the class is never predicted.
///
/// # Source
/// ClinicaDL 1.6.1, `metric_module.py`.
pub(super) struct PositivePredictiveValue;

impl Metric for PositivePredictiveValue {
    fn id(&self) -> &'static str {
        "positive_predictive_value"
    }

    fn column(&self) -> &'static str {
        "PPV"
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        outcomes.counts(class).positive_predictive_value()
    }
}
