//! A class per image.

use engine::StageError;
use engine::seed::Stream;
use maps::files::{PredictionRow, PredictionTable};
use stages::learning::names::Task;
use stages::metrics::{Estimate, METRICS, Outcomes, estimates};
use tch::{Device, Kind, Tensor};

use super::{Objective, Said, Target, identity, participants};
use crate::data::Batch;
use crate::error::During;
use crate::evaluation::Prediction;
use crate::networks::Outputs;

/// Outputs are logits, one for each class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Classification {
    pub(crate) classes: usize,
}

impl Objective for Classification {
    fn task(&self) -> Task {
        Task::Classification
    }

    fn outputs(&self) -> usize {
        self.classes
    }

    /// Codes of the labels, `[B]` int64.
    fn target(&self, batch: &Batch<'_>) -> Result<Tensor, StageError> {
        let codes: Vec<i64> = batch
            .samples
            .iter()
            .filter_map(|sample| match sample.target {
                Some(Target::Class(code)) => i64::try_from(code).ok(),
                _ => None,
            })
            .collect();
        if codes.len() < batch.samples.len() {
            return Err(StageError::internal("the labels of a batch were not read"));
        }
        let device = batch.images.device();
        Tensor::f_from_slice(&codes)
            .and_then(|codes| codes.f_to_device(device))
            .during("make a batch")
    }

    fn said(&self, outputs: &Outputs, _: &Batch<'_>) -> Result<Vec<Said>, StageError> {
        let act = "read the network's outputs";
        let logits = &outputs.prediction;
        let classes = logits.size().last().copied().unwrap_or(0) as usize;
        let softmax = logits
            .f_softmax(-1, Kind::Float)
            .and_then(|p| p.f_to_device(Device::Cpu)?.f_contiguous()?.f_view(-1))
            .during(act)?;
        let argmax = logits.f_argmax(-1, false).during(act)?;
        let argmax = argmax.f_to_device(Device::Cpu).during(act)?;
        let predicted = Vec::<i64>::try_from(&argmax).during(act)?;
        let probabilities = Vec::<f32>::try_from(&softmax).during(act)?;
        let rows = probabilities.chunks(classes.max(1));
        Ok(predicted
            .into_iter()
            .zip(rows)
            .map(|(node, row)| Said::Class {
                predicted: node as usize,
                probabilities: row.iter().map(|&p| f64::from(p)).collect(),
            })
            .collect())
    }

    fn values(&self, predictions: &[Prediction]) -> Vec<f64> {
        let columns = Columns::of(predictions);
        let outcomes = columns.outcomes(self.classes);
        METRICS
            .iter()
            .map(|metric| metric.value(&outcomes))
            .collect()
    }

    fn estimates(
        &self,
        predictions: &[Prediction],
        resamples: u32,
        stream: &Stream,
    ) -> Vec<Estimate> {
        let columns = Columns::of(predictions);
        let outcomes = columns.outcomes(self.classes);
        let participants = participants(predictions);
        estimates(&outcomes, &participants, resamples as usize, stream)
    }

    fn table(
        &self,
        predictions: &[Prediction],
        level: &str,
        leakage: Option<&str>,
    ) -> Result<Vec<u8>, StageError> {
        let code = |code: usize| {
            i64::try_from(code).map_err(|_| StageError::internal("a class number is out of range"))
        };
        let rows = predictions.iter().filter_map(|row| {
            let Said::Class {
                predicted,
                probabilities,
            } = &row.said
            else {
                return None;
            };
            let truth = match row.target {
                Some(Target::Class(truth)) => Some(truth),
                _ => None,
            };
            let made = || {
                let identity = identity(row)?;
                Ok(PredictionRow {
                    participant: identity.participant,
                    session: identity.session,
                    image_id: identity.image_id,
                    true_label: truth.map(code).transpose()?,
                    predicted_label: code(*predicted)?,
                    probabilities: probabilities.clone(),
                })
            };
            Some(made())
        });
        let rows = rows.collect::<Result<_, StageError>>()?;
        let table = PredictionTable::try_new(self.classes, rows)?;
        Ok(table.of_level(level).marked(leakage).to_bytes())
    }
}

/// Predictions by column, as metrics take them.
struct Columns {
    truth: Vec<usize>,
    predicted: Vec<usize>,
    probabilities: Vec<f64>,
}

impl Columns {
    fn of(predictions: &[Prediction]) -> Self {
        let mut columns = Self {
            truth: Vec::new(),
            predicted: Vec::new(),
            probabilities: Vec::new(),
        };
        for row in predictions {
            if let Some(Target::Class(truth)) = row.target {
                columns.truth.push(truth);
            }
            if let Said::Class {
                predicted,
                probabilities,
            } = &row.said
            {
                columns.predicted.push(*predicted);
                columns.probabilities.extend(probabilities);
            }
        }
        columns
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
