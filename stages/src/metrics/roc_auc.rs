//! Area under the ROC curve.

use super::{Metric, Outcomes};

/// Probability that a member of the class has a greater probability of it than a member of another,
/// ties counting half, 0 to 1; NaN without members on both sides, or if a probability is NaN, and so for
/// the mean over classes of which one is absent.
///
/// # Source
/// Mann–Whitney form, Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747;
/// scikit-learn `roc_auc_score`, one class against the rest, macro average.
pub(super) struct RocAuc;

impl Metric for RocAuc {
    fn id(&self) -> &'static str {
        "roc_auc"
    }

    fn column(&self) -> &'static str {
        "AUC"
    }

    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64 {
        let Some(scores) = outcomes.ranking(class) else {
            return f64::NAN;
        };
        let positives = scores.iter().filter(|(_, inside)| *inside).count() as f64;
        let negatives = scores.len() as f64 - positives;
        if positives == 0.0 || negatives == 0.0 {
            return f64::NAN;
        }
        let mut rank_sum = 0.0;
        let mut before = 0.0;
        for ties in scores.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
            let inside = ties.iter().filter(|(_, inside)| *inside).count() as f64;
            rank_sum += inside * (before + (ties.len() as f64 + 1.0) / 2.0);
            before += ties.len() as f64;
        }
        (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives)
    }
}
