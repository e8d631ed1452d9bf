//! Sensitivity (recall).

use super::{Metric, Outcomes};

/// `TP / (TP + FN)`, 0 to 1; 0 without a true member of the class.
///
/// # Source
/// ClinicaDL 1.6.1, `metric_module.py`.
pub(super) struct Sensitivity;

impl Metric for Sensitivity {
    fn id(&self) -> &'static str {
        "sensitivity"
    }

    fn column(&self) -> &'static str {
        "sensitivity"
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        outcomes.counts(class).sensitivity()
    }
}
