//! A network applied to a cohort: predictions, their metrics and the loss.

use engine::StageError;
use engine::seed::Stream;
use stages::learning::LOSS;
use stages::metrics::{Estimate, METRICS, Outcomes, estimates};
use tch::{Kind, Tensor};

use crate::data::{Batches, Dataset};
use crate::error::During;
use crate::losses::Loss;
use crate::networks::{Mode, Network};

/// What a network says about one image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prediction {
    pub(crate) participant: String,
    pub(crate) session: String,
    /// The number of the part; 0 for a whole image.
    pub(crate) part: usize,
    /// Code of the true label, where labels are used.
    pub(crate) truth: Option<usize>,
    /// Code of the class of highest output.
    pub(crate) predicted: usize,
    /// Softmax of the outputs.
    pub(crate) probabilities: Vec<f32>,
}

/// The predictions of a cohort.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Evaluation {
    pub(crate) classes: usize,
    pub(crate) predictions: Vec<Prediction>,
    /// Mean over images; `None` where labels are not used.
    pub(crate) loss: Option<f64>,
}

/// Evaluates a network on every image of a dataset, in the order of its table.
///
/// The loss is the mean over images, so that it does not depend on how they are batched.
///
/// # Errors
/// An image cannot be read, libtorch fails, or `proceed` says to stop.
pub(crate) fn evaluate(
    network: &dyn Network,
    dataset: &Dataset<'_>,
    batches: Batches,
    loss: Option<&dyn Loss>,
    proceed: &dyn Fn() -> Result<(), StageError>,
) -> Result<Evaluation, StageError> {
    let order = dataset.natural_order();
    let mut predictions = Vec::with_capacity(order.len());
    let mut total = 0.0;
    let mut classes = 0;
    dataset.for_each_batch(&order, batches, |batch| {
        proceed()?;
        let outputs = tch::no_grad(|| network.forward(&batch.images, Mode::Evaluate))
            .during("evaluate the network")?;
        if let Some(loss) = loss {
            let targets = batch.targets()?;
            let mean = tch::no_grad(|| loss.mean(&outputs, &targets)?.f_double_value(&[]))
                .during("evaluate the loss")?;
            total += mean * batch.samples.len() as f64;
        }
        let rows = probabilities(&outputs)?;
        classes = rows.classes;
        for (i, sample) in batch.samples.iter().enumerate() {
            predictions.push(Prediction {
                participant: sample.participant.clone(),
                session: sample.session.clone(),
                part: sample.part,
                truth: sample.code,
                predicted: rows.predicted[i],
                probabilities: rows.probabilities[i * classes..(i + 1) * classes].to_vec(),
            });
        }
        Ok(())
    })?;
    let loss = loss.map(|_| total / predictions.len() as f64);
    Ok(Evaluation {
        classes,
        predictions,
        loss,
    })
}

/// Softmax and first highest output of a batch.
struct Rows {
    classes: usize,
    predicted: Vec<usize>,
    probabilities: Vec<f32>,
}

fn probabilities(outputs: &Tensor) -> Result<Rows, StageError> {
    let act = "read the network's outputs";
    let classes = outputs.size().last().copied().unwrap_or(0) as usize;
    let softmax = outputs
        .f_softmax(-1, Kind::Float)
        .and_then(|p| p.f_to_device(tch::Device::Cpu)?.f_contiguous()?.f_view(-1))
        .during(act)?;
    let argmax = outputs.f_argmax(-1, false).during(act)?;
    let argmax = argmax.f_to_device(tch::Device::Cpu).during(act)?;
    let predicted = Vec::<i64>::try_from(&argmax).during(act)?;
    Ok(Rows {
        classes,
        predicted: predicted.into_iter().map(|node| node as usize).collect(),
        probabilities: Vec::<f32>::try_from(&softmax).during(act)?,
    })
}

impl Evaluation {
    /// Every metric of the table, then the loss, by column name; needs labels.
    pub(crate) fn values(&self) -> Values {
        let columns = Columns::of(self);
        let outcomes = columns.outcomes(self.classes);
        Values {
            metrics: METRICS
                .iter()
                .map(|metric| metric.value(&outcomes))
                .collect(),
            loss: self.loss.unwrap_or(f64::NAN),
        }
    }

    /// Every metric with its confidence interval; needs labels.
    pub(crate) fn estimates(&self, resamples: u32, stream: &Stream) -> Vec<Estimate> {
        let columns = Columns::of(self);
        let participants: Vec<&str> = self
            .predictions
            .iter()
            .map(|row| row.participant.as_str())
            .collect();
        let outcomes = columns.outcomes(self.classes);
        estimates(&outcomes, &participants, resamples as usize, stream)
    }
}

/// Metrics in the order of [`METRICS`], and the loss.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Values {
    pub(crate) metrics: Vec<f64>,
    pub(crate) loss: f64,
}

impl Values {
    /// The value of a selection metric, and whether models are better where it is higher.
    pub(crate) fn of(&self, column: &str) -> Option<(f64, bool)> {
        if column == LOSS {
            return Some((self.loss, false));
        }
        METRICS
            .iter()
            .zip(&self.metrics)
            .find(|(metric, _)| metric.column() == column)
            .map(|(metric, &value)| (value, metric.higher_is_better()))
    }
}

/// Predictions by column, as metrics take them.
struct Columns {
    truth: Vec<usize>,
    predicted: Vec<usize>,
    probabilities: Vec<f64>,
}

impl Columns {
    fn of(evaluation: &Evaluation) -> Self {
        let rows = &evaluation.predictions;
        let probabilities = rows.iter().flat_map(|row| &row.probabilities);
        Self {
            truth: rows.iter().filter_map(|row| row.truth).collect(),
            predicted: rows.iter().map(|row| row.predicted).collect(),
            probabilities: probabilities.map(|&p| f64::from(p)).collect(),
        }
    }

    fn outcomes(&self, classes: usize) -> Outcomes<'_> {
        Outcomes {
            classes,
            truth: &self.truth,
            predicted: &self.predicted,
            probabilities: &self.probabilities,
        }
    }
}
