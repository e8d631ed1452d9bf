//! Tasks: what a network is compared with, and what its outputs say.

mod classification;
mod reconstruction;
mod regression;
mod similarity;

use engine::StageError;
use engine::seed::Stream;
use maps::files::Identity;
use stages::learning::names::Task;
use stages::metrics::{Column, Estimate, LabelCode, Measures, columns};
use tch::Tensor;

use crate::data::Batch;
use crate::evaluation::Prediction;
use crate::networks::Outputs;

pub(crate) use classification::Classification;
pub(crate) use reconstruction::{Reconstruction, measures};
pub(crate) use regression::Regression;
pub(crate) use similarity::structural_similarity;

/// What is known of an image before a network sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// The output node of its class.
    Class(usize),
    /// A number of its own.
    Number(f64),
}

/// What a network says about one image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// The node of highest output, and the softmax of all.
    Class {
        predicted: usize,
        probabilities: Vec<f64>,
    },
    /// A number.
    Number(f64),
    /// How near its reconstruction is, in the order of
    /// [`RECONSTRUCTION`](stages::metrics::RECONSTRUCTION).
    Measures(Measures),
}

/// A kind of prediction.
pub(crate) trait Objective {
    /// Its name.
    fn task(&self) -> Task;

    /// Number of outputs of the network; 0 where those are an image.
    fn outputs(&self) -> usize;

    /// What the outputs of a batch are compared with.
    ///
    /// # Errors
    /// The cohort was built without labels.
    fn target(&self, batch: &Batch<'_>) -> Result<Tensor, StageError>;

    /// What outputs say about each image of a batch; `thorough` with measures that take long, which are NaN
    /// else.
    ///
    /// # Errors
    /// libtorch fails.
    fn said(
        &self,
        outputs: &Outputs,
        batch: &Batch<'_>,
        thorough: bool,
    ) -> Result<Vec<Said>, StageError>;

    /// Every metric, in the order of [`columns`]; needs labels, and at least one prediction.
    fn values(&self, predictions: &[Prediction]) -> Vec<f64>;

    /// Every metric with its confidence interval.
    fn estimates(
        &self,
        predictions: &[Prediction],
        resamples: u32,
        stream: &Stream,
    ) -> Vec<Estimate>;

    /// The table of predictions, of parts of this level.
    ///
    /// # Errors
    /// A number does not fit its column.
    fn table(
        &self,
        predictions: &[Prediction],
        level: &str,
        leakage: Option<&str>,
    ) -> Result<Vec<u8>, StageError>;

    /// Metrics by their names.
    fn columns(&self) -> Vec<Column> {
        columns(self.task())
    }
}

/// The objective of a task; labels have a code only in a classification.
pub(crate) fn objective(task: Task, code: &LabelCode) -> Box<dyn Objective> {
    match task {
        Task::Classification => Box::new(Classification {
            classes: code.classes(),
        }),
        Task::Regression => Box::new(Regression),
        Task::Reconstruction => Box::new(Reconstruction),
    }
}

/// Who a prediction is about.
fn identity(prediction: &Prediction) -> Result<Identity, StageError> {
    Ok(Identity {
        participant: prediction.participant.clone(),
        session: prediction.session.clone(),
        image_id: u32::try_from(prediction.part)
            .map_err(|_| StageError::internal("the number of a part is out of range"))?,
    })
}

/// The participants of predictions.
fn participants(predictions: &[Prediction]) -> Vec<&str> {
    predictions
        .iter()
        .map(|row| row.participant.as_str())
        .collect()
}
