//! How far a training is: what a checkpoint holds besides tensors.

use engine::profile::span;
use engine::{Digest, StageError};
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
const FORMAT: u32 = 5;

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

/// A file of tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    part: Part,
    mark: Mark,
    digest: Digest,
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
    files: Vec<Saved>,
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
                let load = |part, mark| checkpoints.load(part, mark, progress.digest(part, mark));
                for epoch in progress.best.iter().filter_map(|(_, epoch)| epoch) {
                    drop(load(Part::Weights, Mark::end_of(epoch))?);
                }
                Ok((load(Part::Weights, mark)?, load(Part::Optimizer, mark)?))
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
        let _span = span("checkpoint");
        let mark = progress.mark();
        progress.optimizer = optimizer.memory().clone();
        let entries = self.network.state().entries().iter();
        let network = entries.map(|entry| (entry.name.clone(), &entry.tensor));
        let digest = checkpoints.save(Part::Weights, mark, network)?;
        let weights = Saved {
            part: Part::Weights,
            mark,
            digest,
        };
        let digest = checkpoints.save(Part::Optimizer, mark, optimizer.tensors())?;
        let optimizer = Saved {
            part: Part::Optimizer,
            mark,
            digest,
        };
        let best = progress.best.iter().filter_map(|(_, epoch)| epoch);
        let best: Vec<Mark> = best.map(Mark::end_of).collect();
        let before = std::mem::take(&mut progress.files);
        let is_wanted = |saved: &&Saved| {
            let is_of_epoch = self.schedule.save_all && saved.mark.batches.is_none();
            saved.part == Part::Weights
                && saved.mark != mark
                && (is_of_epoch || best.contains(&saved.mark))
        };
        progress.files = vec![weights, optimizer];
        progress.files.extend(before.iter().filter(is_wanted));
        checkpoints.commit(progress)?;
        let both = progress.files.iter().chain(&before);
        let both: Vec<(Part, Mark)> = both.map(|saved| (saved.part, saved.mark)).collect();
        checkpoints.keep_only(&both);
        Ok(())
    }
}

impl Progress {
    /// What a file of tensors should be.
    fn digest(&self, part: Part, mark: Mark) -> Option<Digest> {
        let mut files = self.files.iter();
        let file = files.find(|file| (file.part, file.mark) == (part, mark));
        file.map(|file| file.digest)
    }

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
