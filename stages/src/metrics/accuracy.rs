//! Accuracy.

use super::{Metric, Outcomes, ratio};

/// Fraction of images whose class is predicted, 0 to 1; the same for every class.
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

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        let _ = class;
        let pairs = outcomes.truth.iter().zip(outcomes.predicted);
        let right = pairs.filter(|(truth, predicted)| truth == predicted).count();
        ratio(right as f64, outcomes.truth.len() as f64)
    }
}
