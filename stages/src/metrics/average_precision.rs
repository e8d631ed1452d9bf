//! Average precision: the area under the curve of precision and recall.

use super::{Metric, Outcomes};

/// `Σ (Rₙ − Rₙ₋₁) Pₙ` over the distinct probabilities of the class, from the greatest down, 0 to 1; what has
/// no skill gets the share of the class. NaN without members of the class, where no recall is defined.
///
/// # Source
/// scikit-learn `average_precision_score`, one class against the rest, macro average. Deviation: without
/// members it says 0.
pub(super) struct AveragePrecision;

impl Metric for AveragePrecision {
    fn id(&self) -> &'static str {
        "average_precision"
    }

    fn column(&self) -> &'static str {
        "AP"
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        let Some(ranking) = outcomes.ranking(class) else {
            return f64::NAN;
        };
        let members = ranking.iter().filter(|(_, inside)| *inside).count() as f64;
        if members == 0.0 {
            return f64::NAN;
        }
        let (mut found, mut taken, mut area) = (0.0, 0.0, 0.0);
        for ties in ranking.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()).rev() {
            let inside = ties.iter().filter(|(_, inside)| *inside).count() as f64;
            found += inside;
            taken += ties.len() as f64;
            area += inside / members * (found / taken);
        }
        area
    }
}
