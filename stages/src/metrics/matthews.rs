//! Matthews' correlation coefficient.

use super::{Metric, Outcomes, ratio};

/// `(TP·TN − FP·FN) / √((TP+FP)(TP+FN)(TN+FP)(TN+FN))`, −1 to 1; 0 if a factor is 0.
///
/// # Source
/// ClinicaDL 1.6.1, `metric_module.py`; Matthews 1975, doi:10.1016/0005-2795(75)90109-9.
pub(super) struct MatthewsCorrelation;

impl Metric for MatthewsCorrelation {
    fn id(&self) -> &'static str {
        "matthews_correlation"
    }

    fn column(&self) -> &'static str {
        "MCC"
    }

    fn range(&self) -> (f64, f64) {
        (-1.0, 1.0)
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        let c = outcomes.counts(class);
        let difference =
            c.true_positives * c.true_negatives - c.false_positives * c.false_negatives;
        let product = (c.true_positives + c.false_positives)
            * (c.true_positives + c.false_negatives)
            * (c.true_negatives + c.false_positives)
            * (c.true_negatives + c.false_negatives);
        ratio(difference, product.sqrt())
    }
}
