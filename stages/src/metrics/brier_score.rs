//! The Brier score.

use super::{Metric, Outcomes, ratio};

/// Mean squared difference of the probability of the class and the truth (1 or 0), 0 to 1, the smaller the
/// better; 0 without images.
///
/// With more than two classes it is the sum over them, 0 to 2, as Brier defined it.
///
/// # Source
/// Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2; scikit-learn `brier_score_loss`.
pub(super) struct BrierScore;

impl Metric for BrierScore {
    fn id(&self) -> &'static str {
        "brier_score"
    }

    fn column(&self) -> &'static str {
        "Brier"
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn range(&self) -> (f64, f64) {
        (0.0, 2.0)
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        let squares = outcomes.truth.iter().enumerate().map(|(image, &truth)| {
            let is_member = f64::from(u8::from(truth == class));
            (outcomes.probability(image, class) - is_member).powi(2)
        });
        ratio(squares.sum(), outcomes.truth.len() as f64)
    }

    fn of_all(&self, _: &Outcomes<'_>, by_class: &[f64]) -> f64 {
        by_class.iter().sum()
    }
}
