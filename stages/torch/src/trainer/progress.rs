//! How far a training is: what a checkpoint holds besides tensors.

use engine::StageError;
use serde::{Deserialize, Serialize};

use super::best::BestEpochs;
use super::exact::Exact;
use super::schedule::Plateau;
use super::{EarlyStopping, Trainer};
use crate::checkpoint::{Checkpoints, Part};
use crate::evaluation::Values;
use crate::optimizers::{Memory, Optimizer};
use crate::weights;

/// Raised when the state of a checkpoint means something else.
const FORMAT: u32 = 2;

/// Metrics at one moment of the training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HistoryRow {
    /// Number of the epoch, from 0.
    pub(crate) epoch: u32,
    /// Number of the last batch seen in the epoch, from 0.
    pub(crate) iteration: usize,
    train: Option<Vec<Exact>>,
    validation: Vec<Exact>,
}

/// Everything but tensors that a checkpoint holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    format: u32,
    /// Finished epochs.
    pub(super) epochs: u32,
    pub(super) is_stopped: bool,
    pub(super) optimizer: Memory,
    pub(super) stopping: EarlyStopping,
    pub(super) plateau: Option<Plateau>,
    pub(super) best: BestEpochs,
    pub(super) history: Vec<HistoryRow>,
}

impl Trainer<'_> {
    /// Nothing is finished yet.
    pub(super) fn start(&self, optimizer: &Optimizer) -> Progress {
        Progress {
            format: FORMAT,
            epochs: 0,
            is_stopped: false,
            optimizer: optimizer.memory().clone(),
            stopping: self.schedule.stopping.clone(),
            plateau: self.schedule.rates.start(),
            best: BestEpochs::new(self.schedule.selection.iter().cloned()),
            history: Vec::new(),
        }
    }

    /// Goes on from the last checkpoint, if there is a whole one.
    pub(super) fn resume(
        &self,
        optimizer: &mut Optimizer,
        checkpoints: &Checkpoints,
    ) -> Result<Option<Progress>, StageError> {
        let Some(progress) = checkpoints.state::<Progress>() else {
            return Ok(None);
        };
        let last = progress.epochs.checked_sub(1);
        let Some(last) = last.filter(|_| progress.format == FORMAT) else {
            return Ok(None);
        };
        let read = || {
            let network = checkpoints.load(Part::Weights, last)?;
            let memory = checkpoints.load(Part::Optimizer, last)?;
            for epoch in progress.best.iter().filter_map(|(_, epoch)| epoch) {
                drop(checkpoints.load(Part::Weights, epoch)?);
            }
            Ok((network, memory))
        };
        let (network, memory) = match read() {
            Ok(tensors) => tensors,
            Err(StageError { message, .. }) => {
                self.context.warn(format!("starting again: {message}"));
                return Ok(None);
            }
        };
        weights::load_state_dict(self.network.state(), &network, "checkpoint")?;
        weights::load(optimizer.tensors(), &memory, "checkpoint")?;
        optimizer.restore(progress.optimizer.clone());
        let epochs = progress.epochs;
        self.context.info(format!("going on after epoch {epochs}"));
        Ok(Some(progress))
    }

    /// Writes a checkpoint of the epoch that has just ended.
    pub(super) fn save(
        &self,
        progress: &mut Progress,
        optimizer: &Optimizer,
        checkpoints: &Checkpoints,
    ) -> Result<(), StageError> {
        let last = progress.epochs - 1;
        progress.optimizer = optimizer.memory().clone();
        let network = weights::state_dict(self.network.state())?;
        checkpoints.save(Part::Weights, last, &network)?;
        let memory = weights::export(optimizer.tensors())?;
        checkpoints.save(Part::Optimizer, last, &memory)?;
        checkpoints.commit(progress)?;
        let mut kept = vec![(Part::Weights, last), (Part::Optimizer, last)];
        let best = progress.best.iter().filter_map(|(_, epoch)| epoch);
        kept.extend(best.map(|epoch| (Part::Weights, epoch)));
        if self.schedule.save_all {
            kept.extend((0..last).map(|epoch| (Part::Weights, epoch)));
        }
        checkpoints.keep_only(&kept);
        Ok(())
    }
}

impl HistoryRow {
    /// What an evaluation found.
    pub(super) fn new(
        epoch: u32,
        iteration: usize,
        train: Option<&Values>,
        validation: &Values,
    ) -> Self {
        Self {
            epoch,
            iteration,
            train: train.map(exact),
            validation: exact(validation),
        }
    }

    /// Metrics in the order of the table, then the loss, on the training set.
    pub(crate) fn train(&self) -> Option<Vec<f64>> {
        let values = self.train.as_ref()?;
        Some(values.iter().map(|value| value.0).collect())
    }

    /// The same on the validation set.
    pub(crate) fn validation(&self) -> Vec<f64> {
        self.validation.iter().map(|value| value.0).collect()
    }
}

fn exact(values: &Values) -> Vec<Exact> {
    let metrics = values.metrics.iter().map(|(_, value)| *value);
    metrics.chain([values.loss]).map(Exact).collect()
}
