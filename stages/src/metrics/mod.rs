//! Metrics: those of classification one file each, listed in [`METRICS`], those of [`regression`] in
//! [`REGRESSION`]; [`columns`] has the names of those of any task.
//!
//! Adding one is a file and its line in the table; training can then select models by it, and every
//! metrics table shows it. Metrics see codes and probabilities, never labels, tables or files.
//!
//! # Source
//! Definitions and values on a zero denominator are those of ClinicaDL 1.6.1, so that tables compare.
//! With two classes the positive one is code 0, the alphabetically first label (AD before CN); with
//! more, a metric of a class against the others is averaged over the classes (macro average).

mod accuracy;
mod balanced_accuracy;
mod bootstrap;
mod column;
mod f1_score;
mod labels;
mod markedness;
mod matthews;
mod negative_likelihood_ratio;
mod negative_predictive_value;
mod positive_likelihood_ratio;
mod positive_predictive_value;
pub mod regression;
mod roc_auc;
mod sensitivity;
mod specificity;

pub use bootstrap::{ClassEstimate, Estimate, Interval, RESAMPLES, estimates, estimates_of};
pub use column::{Column, RECONSTRUCTION, columns, find, find_in};
pub use labels::LabelCode;
pub use regression::REGRESSION;

/// Every metric, in the order of metrics tables.
pub static METRICS: &[&dyn Metric] = &[
    &balanced_accuracy::BalancedAccuracy,
    &accuracy::Accuracy,
    &f1_score::F1Score,
    &sensitivity::Sensitivity,
    &specificity::Specificity,
    &positive_predictive_value::PositivePredictiveValue,
    &negative_predictive_value::NegativePredictiveValue,
    &matthews::MatthewsCorrelation,
    &markedness::Markedness,
    &positive_likelihood_ratio::PositiveLikelihoodRatio,
    &negative_likelihood_ratio::NegativeLikelihoodRatio,
    &roc_auc::RocAuc,
];

/// A number that tells how good predictions are. It is computed once over all of them, never averaged
/// over batches.
pub trait Metric: Sync {
    /// The name in manifests and messages.
    fn id(&self) -> &'static str;

    /// The column of the tables in a MAPS.
    fn column(&self) -> &'static str;

    /// Whether models are better where it is greater.
    fn higher_is_better(&self) -> bool {
        true
    }

    /// Its names.
    fn about(&self) -> Column {
        Column {
            id: self.id(),
            column: self.column(),
            higher_is_better: self.higher_is_better(),
        }
    }

    /// Least and greatest value; none has a unit.
    fn range(&self) -> (f64, f64) {
        (0.0, 1.0)
    }

    /// Whether it takes one class against the others, so that classes have values of their own.
    fn is_by_class(&self) -> bool {
        true
    }

    /// Its value for one class against the others.
    fn of_class(&self, outcomes: &Outcomes<'_>, class: usize) -> f64;

    /// Its value: that of class 0 with two classes, the mean over all with more.
    fn value(&self, outcomes: &Outcomes<'_>) -> f64 {
        match outcomes.classes {
            many if many > 2 && self.is_by_class() => {
                mean((0..many).map(|class| self.of_class(outcomes, class)))
            }
            _ => self.of_class(outcomes, 0),
        }
    }
}

/// Predictions with the truth, image by image.
///
/// # Shapes
/// `truth` and `predicted` hold one code below `classes` per image; `probabilities` is
/// `[images × classes]`, image by image.
#[derive(Debug, Clone, Copy)]
pub struct Outcomes<'a> {
    /// Number of classes.
    pub classes: usize,
    /// Codes of the true classes.
    pub truth: &'a [usize],
    /// Codes of the predicted classes.
    pub predicted: &'a [usize],
    /// Probabilities of the classes.
    pub probabilities: &'a [f64],
}

impl Outcomes<'_> {
    /// Counts of one class against the others.
    pub fn counts(&self, class: usize) -> Counts {
        let mut counts = Counts::default();
        for (truth, predicted) in self.truth.iter().zip(self.predicted) {
            match (*truth == class, *predicted == class) {
                (true, true) => counts.true_positives += 1.0,
                (true, false) => counts.false_negatives += 1.0,
                (false, true) => counts.false_positives += 1.0,
                (false, false) => counts.true_negatives += 1.0,
            }
        }
        counts
    }

    /// The probability of a class for an image.
    pub fn probability(&self, image: usize, class: usize) -> f64 {
        self.probabilities[image * self.classes + class]
    }
}

/// A confusion matrix of one class against the others.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    /// The class, predicted as such.
    pub true_positives: f64,
    /// Another class, predicted as another.
    pub true_negatives: f64,
    /// Another class, predicted as this one.
    pub false_positives: f64,
    /// The class, predicted as another.
    pub false_negatives: f64,
}

impl Counts {
    fn sensitivity(&self) -> f64 {
        ratio(
            self.true_positives,
            self.true_positives + self.false_negatives,
        )
    }

    fn specificity(&self) -> f64 {
        ratio(
            self.true_negatives,
            self.false_positives + self.true_negatives,
        )
    }

    fn positive_predictive_value(&self) -> f64 {
        ratio(
            self.true_positives,
            self.true_positives + self.false_positives,
        )
    }

    fn negative_predictive_value(&self) -> f64 {
        ratio(
            self.true_negatives,
            self.true_negatives + self.false_negatives,
        )
    }
}

/// A quotient that is 0 where the denominator is.
fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 {
        0.0
    } else {
        numerator / denominator
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

#[cfg(test)]
mod tests;
