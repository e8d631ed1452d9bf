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
mod average_precision;
mod balanced_accuracy;
mod bootstrap;
mod brier_score;
mod calibration_error;
mod cohen_kappa;
mod column;
pub mod delong;
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
pub use calibration_error::{BINS, Bin, edge, reliability};
pub use column::{Column, Measures, RECONSTRUCTION, SLOW, columns, find, find_in};
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
    &cohen_kappa::CohenKappa,
    &average_precision::AveragePrecision,
    &brier_score::BrierScore,
    &calibration_error::CalibrationError,
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

    /// Its value with more than two classes, from those [`Metric::of_class`]: their mean.
    fn of_all(&self, outcomes: &Outcomes<'_>, by_class: &[f64]) -> f64 {
        let _ = outcomes;
        mean(by_class.iter().copied())
    }

    /// The values of each class against the others, with more than two classes; else none.
    fn by_class(&self, outcomes: &Outcomes<'_>) -> Vec<f64> {
        let classes = match outcomes.classes {
            many if many > 2 && self.is_by_class() => 0..many,
            _ => 0..0,
        };
        classes
            .map(|class| self.of_class(outcomes, class))
            .collect()
    }

    /// Its value: that of class 0 with two classes, that [`Metric::of_all`] with more.
    fn value(&self, outcomes: &Outcomes<'_>) -> f64 {
        match self.by_class(outcomes) {
            none if none.is_empty() => self.of_class(outcomes, 0),
            by_class => self.of_all(outcomes, &by_class),
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

/// [`Outcomes`] with values of their own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OwnedOutcomes {
    /// Number of classes.
    pub classes: usize,
    /// Codes of the true classes.
    pub truth: Vec<usize>,
    /// Codes of the predicted classes.
    pub predicted: Vec<usize>,
    /// Probabilities of the classes.
    pub probabilities: Vec<f64>,
}

impl OwnedOutcomes {
    /// As metrics take them.
    pub fn as_ref(&self) -> Outcomes<'_> {
        Outcomes {
            classes: self.classes,
            truth: &self.truth,
            predicted: &self.predicted,
            probabilities: &self.probabilities,
        }
    }
}

impl Outcomes<'_> {
    /// Those of some images, which may be there more than once.
    pub fn pick(&self, images: &[usize]) -> OwnedOutcomes {
        let k = self.classes;
        let rows = images.iter();
        let rows = rows.flat_map(|&i| &self.probabilities[i * k..(i + 1) * k]);
        OwnedOutcomes {
            classes: k,
            truth: images.iter().map(|&i| self.truth[i]).collect(),
            predicted: images.iter().map(|&i| self.predicted[i]).collect(),
            probabilities: rows.copied().collect(),
        }
    }

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

    /// The probability of a class for every image, and whether it is a member, in ascending order; `None`
    /// if a probability is NaN.
    fn ranking(&self, class: usize) -> Option<Vec<(f64, bool)>> {
        let images = 0..self.truth.len();
        let mut scores: Vec<(f64, bool)> = images
            .map(|image| (self.probability(image, class), self.truth[image] == class))
            .collect();
        scores.sort_by(|a, b| a.0.total_cmp(&b.0));
        let has_nan = scores.iter().any(|(score, _)| score.is_nan());
        (!has_nan).then_some(scores)
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
