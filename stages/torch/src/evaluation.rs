//! A network applied to a cohort: predictions, their metrics and the loss.

use engine::StageError;
use engine::profile::span;
use engine::seed::Stream;
use stages::learning::LOSS;
use stages::metrics::{Column, Estimate};
use tch::{TchError, Tensor};

use crate::data::{Batch, Batches, Dataset, Sample};
use crate::error::During;
use crate::losses::Criterion;
use crate::networks::{Mode, Network, Outputs};
use crate::tasks::{Objective, Said, Target};

/// What a network says about one image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prediction {
    pub(crate) cohort: String,
    pub(crate) participant: String,
    pub(crate) session: String,
    /// The number of the part; 0 for a whole image.
    pub(crate) part: usize,
    /// The truth, where labels are used.
    pub(crate) target: Option<Target>,
    pub(crate) said: Said,
}

/// The predictions of a cohort.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Evaluation {
    pub(crate) predictions: Vec<Prediction>,
    /// Mean over images; `None` where labels are not used.
    pub(crate) loss: Option<f64>,
}

/// What a network found of a cohort, or the network of one part of images.
#[derive(Debug, Clone)]
pub(crate) struct Evaluated {
    /// The number of its part; `None` for one network of all parts.
    pub(crate) network: Option<usize>,
    pub(crate) evaluation: Evaluation,
    /// Its metrics, where labels are used.
    pub(crate) estimates: Option<Vec<Estimate>>,
}

/// The random draws of a network, which do not depend on those of other parts.
pub(crate) fn of_network(stream: Stream, network: Option<usize>) -> Stream {
    match network {
        None => stream,
        Some(network) => stream.child("network").child(network),
    }
}

/// What is evaluated, and how.
#[derive(Clone, Copy)]
pub(crate) struct Evaluator<'a> {
    pub(crate) network: &'a dyn Network,
    pub(crate) objective: &'a dyn Objective,
    /// `None` where labels are not used.
    pub(crate) criterion: Option<&'a Criterion>,
    pub(crate) batches: Batches,
    /// With measures that take long.
    pub(crate) thorough: bool,
}

impl Evaluator<'_> {
    /// Evaluates every image of a dataset, in the order of its table.
    ///
    /// The loss is the mean over images, so that it does not depend on how they are batched.
    ///
    /// # Errors
    /// An image cannot be read, libtorch fails, or `proceed` says to stop.
    pub(crate) fn evaluate(
        self,
        dataset: &Dataset<'_>,
        proceed: &dyn Fn() -> Result<(), StageError>,
    ) -> Result<Evaluation, StageError> {
        let network = self.network;
        self.evaluate_with(dataset, proceed, &|images| {
            network.outputs(images, Mode::Evaluate)
        })
    }

    /// The same for other outputs than those of the whole network.
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`].
    pub(crate) fn evaluate_with(
        self,
        dataset: &Dataset<'_>,
        proceed: &dyn Fn() -> Result<(), StageError>,
        outputs: &dyn Fn(&Tensor) -> Result<Outputs, TchError>,
    ) -> Result<Evaluation, StageError> {
        let _span = span("evaluation");
        let order = dataset.natural_order();
        let mut predictions = Vec::with_capacity(order.len());
        let mut total = 0.0;
        dataset.for_each_batch(&order, self.batches, None, |batch| {
            proceed()?;
            let outputs = tch::no_grad(|| outputs(&batch.images)).during("evaluate the network")?;
            let (said, loss) = self.of_batch(&batch, &outputs)?;
            total += loss;
            let rows = batch.samples.iter().zip(said);
            predictions.extend(rows.map(|(sample, said)| Prediction::of(sample, said)));
            Ok(())
        })?;
        let loss = self.criterion.map(|_| total / predictions.len() as f64);
        Ok(Evaluation { predictions, loss })
    }

    /// What outputs say about each image of a batch, and the sum of their losses, 0 where labels are not used.
    ///
    /// # Errors
    /// libtorch fails.
    pub(crate) fn of_batch(
        self,
        batch: &Batch<'_>,
        outputs: &Outputs,
    ) -> Result<(Vec<Said>, f64), StageError> {
        let mut total = 0.0;
        if let Some(criterion) = self.criterion {
            let target = self.objective.target(batch)?;
            let mean = tch::no_grad(|| criterion.mean(outputs, &target)?.f_double_value(&[]))
                .during("evaluate the loss")?;
            total = mean * batch.samples.len() as f64;
        }
        let said = tch::no_grad(|| self.objective.said(outputs, batch, self.thorough))?;
        Ok((said, total))
    }
}

impl Prediction {
    /// What was said about a sample.
    pub(crate) fn of(sample: &Sample, said: Said) -> Self {
        Self {
            cohort: sample.cohort.clone(),
            participant: sample.participant.clone(),
            session: sample.session.clone(),
            part: sample.part,
            target: sample.target,
            said,
        }
    }
}

impl Evaluation {
    /// Every metric of the task and the loss; needs labels.
    pub(crate) fn values(&self, objective: &dyn Objective) -> Values {
        let columns = objective.columns().into_iter();
        let values = objective.values(&self.predictions);
        Values {
            metrics: columns.zip(values).collect(),
            loss: self.loss.unwrap_or(f64::NAN),
        }
    }

    /// Every metric with its confidence interval; needs labels.
    pub(crate) fn estimates(
        &self,
        objective: &dyn Objective,
        resamples: u32,
        stream: &Stream,
    ) -> Vec<Estimate> {
        objective.estimates(&self.predictions, resamples, stream)
    }
}

/// Metrics in the order of the task's table, and the loss.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Values {
    pub(crate) metrics: Vec<(Column, f64)>,
    pub(crate) loss: f64,
}

impl Values {
    /// The value of a selection metric, and whether models are better where it is higher.
    pub(crate) fn of(&self, column: &str) -> Option<(f64, bool)> {
        if column == LOSS {
            return Some((self.loss, false));
        }
        let mut metrics = self.metrics.iter();
        metrics
            .find(|(metric, _)| metric.column == column)
            .map(|(metric, value)| (*value, metric.higher_is_better))
    }
}
