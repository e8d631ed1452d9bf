//! Markedness.

use super::{Metric, Outcomes};

/// `PPV + NPV − 1`, −1 to 1; a predictive value that is undefined counts as 0.
///
/// # Source
/// ClinicaDL 1.6.1, `metric_module.py`.
pub(super) struct Markedness;

impl Metric for Markedness {
    fn id(&self) -> &'static str {
        "markedness"
    }

    fn column(&self) -> &'static str {
        "MK"
    }

    fn range(&self) -> (f64, f64) {
        (-1.0, 1.0)
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        let counts = outcomes.counts(class);
        counts.positive_predictive_value() + counts.negative_predictive_value() - 1.0
    }
}
