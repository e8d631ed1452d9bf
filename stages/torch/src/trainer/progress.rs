//! How far a training is: what a checkpoint holds besides tensors.

use engine::StageError;
use serde::{Deserialize, Serialize};

use super::best::BestEpochs;
use super::scale::LossScale;
use super::schedule::Plateau;
use super::{EarlyStopping, Trainer};
use crate::checkpoint::{Checkpoints, Mark, Part};
use crate::evaluation::Values;
use crate::exact::Exact;
use crate::optimizers::{Memory, Optimizer};
use crate::weights;

/// Raised when the state of a checkpoint means something else.
const FORMAT: u32 = 4;

/// Metrics at one moment of the training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HistoryRow {
    /// Number of the epoch, from 0.
    pub(crate) epoch: u32,
    /// Number of the last batch seen in the epoch, from 0.
    pub(crate) iteration: usize,
    train: Option<Vec<Exact>>,
    validation: Vec<Exact>,
    /// The same of another domain, where there is one.
    #[serde(default)]
    pub(crate) source: Option<Box<Self>>,
}

/// Everything but tensors that a checkpoint holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    format: u32,
    /// Finished epochs.
    pub(super) epochs: u32,
    /// Finished batches of the epoch that runs.
    pub(super) batches: usize,
    /// Whether an evaluation comes before the next batch.
    pub(super) is_evaluating: bool,
    /// The files of tensors that belong to it.
    files: Vec<(Part, Mark)>,
    pub(super) is_stopped: bool,
    pub(super) optimizer: Memory,
    pub(super) stopping: EarlyStopping,
    pub(super) plateau: Option<Plateau>,
    pub(super) scale: LossScale,
    pub(super) best: BestEpochs,
    pub(super) history: Vec<HistoryRow>,
}

impl Trainer<'_> {
    /// Nothing is finished yet.
    pub(super) fn start(&self, optimizer: &Optimizer) -> Progress {
        Progress {
            format: FORMAT,
            epochs: 0,
            batches: 0,
            is_evaluating: false,
            files: Vec::new(),
            is_stopped: false,
            optimizer: optimizer.memory().clone(),
            stopping: self.schedule.stopping.clone(),
            plateau: self.schedule.rates.start(),
            scale: LossScale::of(self.schedule.precision),
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
        for progress in checkpoints.states::<Progress>() {
            if progress.format != FORMAT {
                continue;
            }
            let mark = progress.mark();
            let read = || {
                let network = checkpoints.load(Part::Weights, mark)?;
                let memory = checkpoints.load(Part::Optimizer, mark)?;
                for epoch in progress.best.iter().filter_map(|(_, epoch)| epoch) {
                    drop(checkpoints.load(Part::Weights, Mark::end_of(epoch))?);
                }
                Ok((network, memory))
            };
            let (network, memory) = match read() {
                Ok(tensors) => tensors,
                Err(StageError { message, .. }) => {
                    self.context
                        .warn(format!("a checkpoint is damaged: {message}"));
                    continue;
                }
            };
            weights::load_state_dict(self.network.state(), &network, "checkpoint")?;
            weights::load(optimizer.tensors(), &memory, "checkpoint")?;
            optimizer.restore(progress.optimizer.clone());
            let (epochs, batches) = (progress.epochs, progress.batches);
            self.context.info(self.turn.told(match batches {
                0 => format!("going on after epoch {epochs}"),
                _ => format!("going on after epoch {epochs} and {batches} batches"),
            }));
            return Ok(Some(progress));
        }
        Ok(None)
    }

    /// Writes a checkpoint of this moment.
    pub(super) fn save(
        &self,
        progress: &mut Progress,
        optimizer: &Optimizer,
        checkpoints: &Checkpoints,
    ) -> Result<(), StageError> {
        let mark = progress.mark();
        progress.optimizer = optimizer.memory().clone();
        let mut files = vec![(Part::Weights, mark), (Part::Optimizer, mark)];
        let best = progress.best.iter().filter_map(|(_, epoch)| epoch);
        files.extend(best.map(|epoch| (Part::Weights, Mark::end_of(epoch))));
        if self.schedule.save_all {
            let all = (0..progress.epochs).map(Mark::end_of);
            files.extend(all.map(|mark| (Part::Weights, mark)));
        }
        let before = std::mem::replace(&mut progress.files, files);
        let network = weights::state_dict(self.network.state())?;
        checkpoints.save(Part::Weights, mark, &network)?;
        let memory = weights::export(optimizer.tensors())?;
        checkpoints.save(Part::Optimizer, mark, &memory)?;
        checkpoints.commit(progress)?;
        let both: Vec<(Part, Mark)> = progress.files.iter().chain(&before).copied().collect();
        checkpoints.keep_only(&both);
        Ok(())
    }
}

impl Progress {
    /// The last moment; there is one after the first batch.
    fn mark(&self) -> Mark {
        match self.batches {
            0 => Mark::end_of(self.epochs.saturating_sub(1)),
            batches => Mark {
                epoch: self.epochs,
                batches: Some(batches),
            },
        }
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
            source: None,
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
