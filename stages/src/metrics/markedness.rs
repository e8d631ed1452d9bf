//! Markedness.

use super::{Metric, Outcomes};

/// `PPV + NPV − 1`, −1 to 1.
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

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        let counts = outcomes.counts(class);
        counts.positive_predictive_value() + counts.negative_predictive_value() - 1.0
    }
}
