//! A number per image.

use engine::StageError;
use engine::seed::Stream;
use maps::files::{MeasuredRow, MeasuredTable, REGRESSION_COLUMNS};
use stages::learning::names::Task;
use stages::metrics::{Estimate, REGRESSION, estimates_of};
use tch::{Device, Kind, Tensor};

use super::{Objective, Said, Target, identity, participants};
use crate::data::Batch;
use crate::error::During;
use crate::evaluation::Prediction;
use crate::networks::Outputs;

/// The one output is the number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Regression;

/// What stands for a true number that was not used.
const NO_LABEL: f64 = -1.0;

impl Objective for Regression {
    fn task(&self) -> Task {
        Task::Regression
    }

    fn outputs(&self) -> usize {
        1
    }

    /// The numbers, `[B, 1]` float32.
    fn target(&self, batch: &Batch<'_>) -> Result<Tensor, StageError> {
        let numbers: Vec<f32> = batch
            .samples
            .iter()
            .filter_map(|sample| match sample.target {
                Some(Target::Number(number)) => Some(number as f32),
                _ => None,
            })
            .collect();
        if numbers.len() < batch.samples.len() {
            return Err(StageError::internal("the labels of a batch were not read"));
        }
        let device = batch.images.device();
        Tensor::f_from_slice(&numbers)
            .and_then(|numbers| numbers.f_unsqueeze(1)?.f_to_device(device))
            .during("make a batch")
    }

    fn said(&self, outputs: &Outputs, _: &Batch<'_>, _: bool) -> Result<Vec<Said>, StageError> {
        let act = "read the network's outputs";
        let numbers = outputs
            .prediction
            .f_to_kind(Kind::Float)
            .and_then(|p| p.f_to_device(Device::Cpu)?.f_contiguous()?.f_view(-1))
            .during(act)?;
        let numbers = Vec::<f32>::try_from(&numbers).during(act)?;
        Ok(numbers
            .into_iter()
            .map(|number| Said::Number(number.into()))
            .collect())
    }

    fn values(&self, predictions: &[Prediction]) -> Vec<f64> {
        let (truth, predicted) = columns(predictions);
        values(&truth, &predicted)
    }

    fn estimates(
        &self,
        predictions: &[Prediction],
        resamples: u32,
        stream: &Stream,
    ) -> Vec<Estimate> {
        let (truth, predicted) = columns(predictions);
        let of = |images: &[usize]| {
            let pick = |all: &[f64]| images.iter().map(|&i| all[i]).collect::<Vec<_>>();
            values(&pick(&truth), &pick(&predicted))
        };
        let participants = participants(predictions);
        let resamples = resamples as usize;
        estimates_of(&self.columns(), of, &participants, resamples, stream)
    }

    fn table(
        &self,
        predictions: &[Prediction],
        level: &str,
        leakage: Option<&str>,
    ) -> Result<Vec<u8>, StageError> {
        let rows = predictions.iter().map(|row| {
            let (truth, predicted) = pair(row);
            Ok(MeasuredRow {
                identity: identity(row)?,
                values: vec![truth, predicted],
            })
        });
        let table = MeasuredTable {
            columns: &REGRESSION_COLUMNS,
            level: level.to_owned(),
            leakage: leakage.map(str::to_owned),
            rows: rows.collect::<Result<_, StageError>>()?,
        };
        Ok(table.to_bytes())
    }
}

fn pair(row: &Prediction) -> (f64, f64) {
    let truth = match row.target {
        Some(Target::Number(truth)) => truth,
        _ => NO_LABEL,
    };
    let predicted = match row.said {
        Said::Number(predicted) => predicted,
        _ => f64::NAN,
    };
    (truth, predicted)
}

fn columns(predictions: &[Prediction]) -> (Vec<f64>, Vec<f64>) {
    predictions.iter().map(pair).unzip()
}

fn values(truth: &[f64], predicted: &[f64]) -> Vec<f64> {
    let metrics = REGRESSION.iter();
    metrics
        .map(|metric| metric.value(truth, predicted))
        .collect()
}
