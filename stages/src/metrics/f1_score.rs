//! F1 score.

use super::{Metric, Outcomes, ratio};

/// `2 · PPV · sensitivity / (PPV + sensitivity)`, 0 to 1; 0 if both are 0.
///
/// # Source
/// ClinicaDL 1.6.1, `metric_module.py`.
pub(super) struct F1Score;

impl Metric for F1Score {
    fn id(&self) -> &'static str {
        "f1_score"
    }

    fn column(&self) -> &'static str {
        "F1_score"
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        let counts = outcomes.counts(class);
        let (precision, recall) = (counts.positive_predictive_value(), counts.sensitivity());
        ratio(2.0 * precision * recall, precision + recall)
    }
}
