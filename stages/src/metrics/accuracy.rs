//! Accuracy.

use super::{Metric, Outcomes, ratio};

/// `right predictions / images`, over all classes at once, 0 to 1; 0 without images.
///
/// # Source
/// ClinicaDL 1.6.1, `metric_module.py`.
pub(super) struct Accuracy;

impl Metric for Accuracy {
    fn id(&self) -> &'static str {
        "accuracy"
    }

    fn column(&self) -> &'static str {
        "accuracy"
    }

    fn is_by_class(&self) -> bool {
        false
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, _: usize) -> f64 {
        let pairs = outcomes.truth.iter().zip(outcomes.predicted);
        let right = pairs
            .filter(|(truth, predicted)| truth == predicted)
            .count();
        ratio(right as f64, outcomes.truth.len() as f64)
    }
}
