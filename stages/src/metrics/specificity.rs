//! Specificity.

use super::{Metric, Outcomes};

/// `TN / (TN + FP)`, 0 to 1; 0 without a true member of the other classes.
///
/// # Source
/// ClinicaDL 1.6.1, `metric_module.py`.
pub(super) struct Specificity;

impl Metric for Specificity {
    fn id(&self) -> &'static str {
        "specificity"
    }

    fn column(&self) -> &'static str {
        "specificity"
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        outcomes.counts(class).specificity()
    }
}
