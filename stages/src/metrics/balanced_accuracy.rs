//! Balanced accuracy.

use super::{Metric, Outcomes};

/// `(sensitivity + specificity) / 2`, 0 to 1; one of them that is undefined counts as 0.
///
/// # Source
/// ClinicaDL 1.6.1, `metric_module.py`; Brodersen et al. 2010, doi:10.1109/ICPR.2010.764.
pub(super) struct BalancedAccuracy;

impl Metric for BalancedAccuracy {
    fn id(&self) -> &'static str {
        "balanced_accuracy"
    }

    fn column(&self) -> &'static str {
        "BA"
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        let counts = outcomes.counts(class);
        (counts.sensitivity() + counts.specificity()) / 2.0
    }
}
