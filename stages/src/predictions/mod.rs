//! Predictions with the truth: read from what `predict`, `train` and others wrote, and written as they do.

mod read;
#[cfg(test)]
pub(crate) mod world;
mod write;

use maps::files::Identity;

use crate::learning::names::Task;
use crate::metrics::{Column, Estimate, METRICS, Measures, OwnedOutcomes, REGRESSION, columns};
use crate::metrics::{estimates, estimates_of};

pub use read::{groups_of, is_prediction_of};
pub use write::{describe, metrics_table, write_data};

/// What a model said of the images of a data group, or of their parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Whose images, in the order of the table.
    pub rows: Vec<Identity>,
    /// What is predicted, one of [`maps::layout::LEVELS`].
    pub level: String,
    /// How the data leak, where that was allowed.
    pub leakage: Option<String>,
    /// What was said, and what is true.
    pub answers: Answers,
}

/// What was said of each image, and what is true.
#[derive(Debug, Clone, PartialEq)]
pub enum Answers {
    /// A class.
    Classes(OwnedOutcomes),
    /// A number.
    Numbers {
        /// The true ones.
        truth: Vec<f64>,
        /// The predicted ones.
        predicted: Vec<f64>,
    },
    /// An image, of which is known how near it is to the true one.
    Measures(Vec<Measures>),
}

impl Answers {
    /// What was learnt.
    pub fn task(&self) -> Task {
        match self {
            Self::Classes(_) => Task::Classification,
            Self::Numbers { .. } => Task::Regression,
            Self::Measures(_) => Task::Reconstruction,
        }
    }

    /// The metrics of these answers.
    pub fn columns(&self) -> Vec<Column> {
        columns(self.task())
    }

    /// Every metric of some images, which may be there more than once, in the order of [`Self::columns`].
    pub fn values(&self, images: &[usize]) -> Vec<f64> {
        match self.pick(images) {
            Self::Classes(outcomes) => {
                let metrics = METRICS.iter();
                metrics
                    .map(|metric| metric.value(&outcomes.as_ref()))
                    .collect()
            }
            Self::Numbers { truth, predicted } => {
                let metrics = REGRESSION.iter();
                metrics
                    .map(|metric| metric.value(&truth, &predicted))
                    .collect()
            }
            Self::Measures(rows) => {
                let mean =
                    |k: usize| rows.iter().map(|row| row[k]).sum::<f64>() / rows.len() as f64;
                (0..Measures::default().len()).map(mean).collect()
            }
        }
    }

    /// The answers of some images, in this order.
    #[must_use]
    pub fn pick(&self, images: &[usize]) -> Self {
        let pick = |all: &[f64]| images.iter().map(|&i| all[i]).collect::<Vec<_>>();
        match self {
            Self::Classes(outcomes) => Self::Classes(outcomes.as_ref().pick(images)),
            Self::Numbers { truth, predicted } => Self::Numbers {
                truth: pick(truth),
                predicted: pick(predicted),
            },
            Self::Measures(rows) => Self::Measures(images.iter().map(|&i| rows[i]).collect()),
        }
    }

    /// The mean loss: cross-entropy of classes, squared error of numbers; none of measures.
    pub fn loss(&self) -> Option<f64> {
        let mean = |losses: Vec<f64>| losses.iter().sum::<f64>() / losses.len() as f64;
        match self {
            Self::Classes(outcomes) => {
                let of_truth = outcomes.truth.iter().enumerate();
                let losses =
                    of_truth.map(|(i, &truth)| -outcomes.as_ref().probability(i, truth).ln());
                Some(mean(losses.collect()))
            }
            Self::Numbers { truth, predicted } => {
                let pairs = truth.iter().zip(predicted);
                Some(mean(pairs.map(|(y, p)| (y - p).powi(2)).collect()))
            }
            Self::Measures(_) => None,
        }
    }
}

impl Predictions {
    /// The participant of each row.
    pub fn participants(&self) -> Vec<&str> {
        self.rows
            .iter()
            .map(|row| row.participant.as_str())
            .collect()
    }

    /// Every metric with its confidence interval.
    pub fn estimates(&self, resamples: usize, stream: &engine::seed::Stream) -> Vec<Estimate> {
        let participants = self.participants();
        match &self.answers {
            Answers::Classes(outcomes) => {
                estimates(&outcomes.as_ref(), &participants, resamples, stream)
            }
            answers => {
                let of = |images: &[usize]| answers.values(images);
                estimates_of(&answers.columns(), of, &participants, resamples, stream)
            }
        }
    }
}
