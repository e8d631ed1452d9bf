//! Cohen's κ.

use super::{Metric, Outcomes, ratio};

/// Agreement beyond chance, `(p − e) / (1 − e)`, −1 to 1; 0 if chance alone would agree.
///
/// With more than two classes it is that of all classes at once, no mean over them.
///
/// # Source
/// Cohen 1960, doi:10.1177/001316446002000104; scikit-learn `cohen_kappa_score`.
pub(super) struct CohenKappa;

impl Metric for CohenKappa {
    fn id(&self) -> &'static str {
        "cohen_kappa"
    }

    fn column(&self) -> &'static str {
        "kappa"
    }

    fn range(&self) -> (f64, f64) {
        (-1.0, 1.0)
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        let c = outcomes.counts(class);
        let n = outcomes.truth.len() as f64;
        let truly = c.true_positives + c.false_negatives;
        let said = c.true_positives + c.false_positives;
        let chance = truly * said + (n - truly) * (n - said);
        kappa(c.true_positives + c.true_negatives, chance, n)
    }

    fn of_all(&self, outcomes: &Outcomes<'_>, _: &[f64]) -> f64 {
        let (mut agreed, mut chance) = (0.0, 0.0);
        for class in 0..outcomes.classes {
            let c = outcomes.counts(class);
            let truly = c.true_positives + c.false_negatives;
            let said = c.true_positives + c.false_positives;
            agreed += c.true_positives;
            chance += truly * said;
        }
        kappa(agreed, chance, outcomes.truth.len() as f64)
    }
}

/// From images that agree, and n² times the share that chance would make agree.
fn kappa(agreed: f64, chance: f64, n: f64) -> f64 {
    // Whole numbers, so that the denominator is 0 exactly where it should be.
    ratio(agreed * n - chance, n * n - chance)
}
