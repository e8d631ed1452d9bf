//! The training loop.
//!
//! Every batch starts from what the last one left and from random streams of its own. A checkpoint is
//! written at the end of each epoch, and where the training is asked to stop: one that was interrupted
//! goes on to the same bytes.
//!
//! # Source
//! The loop of ClinicaDL 1.6.1 (`maps_manager.py`), with these deviations: the loss is the mean over
//! images instead of a sum over batches; gradients of accumulated batches are averaged over images
//! instead of summed; every epoch is in the history; the training set is evaluated in the order of its
//! table; any metric selects models; what is resumed equals what was never interrupted.
//!
//! What a batch is and what is minimised is a matter of [`Steps`].

mod best;
mod domains;
mod progress;
mod scale;
mod schedule;
mod segments;
mod steps;
mod stopping;
mod turn;

use engine::profile::span;
use engine::seed::Stream;
use engine::{Context, StageError};
use stages::augmentation::Augmenter;
use stages::learning::names::Precision;
use stages::listed::listed;
use stages::metrics::SLOW;
use tch::Tensor;

use crate::checkpoint::Checkpoints;
use crate::data::{Batch, Batches, Changes, Dataset};
use crate::error::During;
use crate::evaluation::{Evaluator, Values};
use crate::losses::Criterion;
use crate::networks::Network;
use crate::optimizers::Optimizer;
use crate::session::Session;
use crate::tasks::Objective;

pub(crate) use domains::{Counts, DomainSteps, Samplers, SourceSets};
pub(crate) use progress::HistoryRow;
use progress::Progress;
pub(crate) use schedule::{Length, Rates};
pub(crate) use steps::{OneDomain, Steps};
pub(crate) use stopping::EarlyStopping;
pub(crate) use turn::Turn;

/// What a training is made of.
pub(crate) struct Trainer<'a> {
    pub(crate) context: &'a Context,
    /// Of every random draw.
    pub(crate) stream: Stream,
    pub(crate) turn: Turn,
    pub(crate) session: &'a Session,
    pub(crate) network: &'a dyn Network,
    pub(crate) objective: &'a dyn Objective,
    pub(crate) criterion: &'a Criterion,
    /// What batches are made of, and what is minimised.
    pub(crate) steps: &'a dyn Steps,
    /// The sets that are evaluated; models are selected by the validation.
    pub(crate) train: &'a Dataset<'a>,
    pub(crate) validation: &'a Dataset<'a>,
    /// Those of another domain, which are evaluated beside them.
    pub(crate) source: Option<SourceSets<'a>>,
    /// Random changes of training images.
    pub(crate) augmenter: Augmenter,
    pub(crate) batches: Batches,
    pub(crate) schedule: Schedule,
}

/// How long to train, and when to look.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) epochs: u32,
    pub(crate) accumulation_steps: usize,
    pub(crate) evaluation_steps: usize,
    pub(crate) evaluate_training_set: bool,
    /// Column names of the selection metrics.
    pub(crate) selection: Vec<String>,
    pub(crate) stopping: EarlyStopping,
    pub(crate) rates: Rates,
    /// What layers compute with.
    pub(crate) precision: Precision,
    /// Longest gradient; 0 for any.
    pub(crate) clipping: f64,
    /// Keep the weights of every epoch.
    pub(crate) save_all: bool,
}

/// What a training found.
#[derive(Debug)]
pub(crate) struct Fitted {
    /// Selection metric by column name, and its best epoch.
    pub(crate) best: Vec<(String, u32)>,
    pub(crate) history: Vec<HistoryRow>,
}

impl Trainer<'_> {
    /// Trains until the last epoch or until nothing improves.
    ///
    /// # Errors
    /// An image cannot be read, the run is interrupted, or no epoch had a validation metric that is a
    /// number.
    pub(crate) fn fit(
        &self,
        mut optimizer: Optimizer,
        checkpoints: &Checkpoints,
    ) -> Result<Fitted, StageError> {
        self.network.state().require_gradients()?;
        let mut progress = match self.resume(&mut optimizer, checkpoints)? {
            Some(progress) => progress,
            None => self.start(&optimizer),
        };
        while progress.epochs < self.schedule.epochs && !progress.is_stopped {
            self.run_epoch(&mut progress, &mut optimizer, checkpoints)?;
            self.save(&mut progress, &optimizer, checkpoints)?;
        }
        let best = progress
            .best
            .iter()
            .map(|(column, epoch)| {
                let epoch = epoch.ok_or_else(|| never_a_number(column))?;
                Ok((column.to_owned(), epoch))
            })
            .collect::<Result<_, StageError>>()?;
        Ok(Fitted {
            best,
            history: progress.history,
        })
    }

    fn run_epoch(
        &self,
        progress: &mut Progress,
        optimizer: &mut Optimizer,
        checkpoints: &Checkpoints,
    ) -> Result<(), StageError> {
        let epoch = progress.epochs;
        let stream = self.stream.child("epoch").child(epoch);
        let order = self.steps.order(epoch)?;
        let size = self.steps.batch_size();
        let n_batches = order.len().div_ceil(size);
        let mut accumulated = Accumulated::default();
        if std::mem::take(&mut progress.is_evaluating) {
            progress
                .history
                .push(self.look(epoch, progress.batches - 1)?.0);
        }
        let done = progress.batches;
        let rest = &order[(done * size).min(order.len())..];
        let changes = Changes {
            augmenter: &self.augmenter,
            stream: stream.child("augmentation"),
            first: done * size,
        };
        let changes = Some(&changes);
        let batches = Batches {
            size,
            ..self.batches
        };
        let images = self.steps.dataset();
        images.for_each_batch(rest, batches, changes, |mut batch| {
            batch.index += done;
            let index = batch.index;
            // What is left of a group of accumulated batches is small.
            if self.context.is_cancelled() && accumulated.is_empty() {
                if index > done {
                    progress.batches = index;
                    self.save(progress, optimizer, checkpoints)?;
                }
                return Err(StageError::cancelled());
            }
            // Dropout of a batch depends on nothing that was drawn before it.
            self.session.seed(stream.child("batch").child(index).seed());
            let steps = self.schedule.accumulation_steps;
            let group = group_size(index, order.len(), size, steps);
            let factor = progress.scale.factor() * batch.samples.len() as f64 / group as f64;
            let loss = self.accumulate(&batch, epoch, factor, &mut accumulated)?;
            let is_update = (index + 1) % self.schedule.accumulation_steps == 0;
            let is_last = index + 1 == n_batches;
            if is_update || is_last {
                let update = u32::try_from(index / steps).unwrap_or(u32::MAX);
                let plateau = progress.plateau.as_ref();
                optimizer.set_learning_rate(self.schedule.rates.rate(epoch, update, plateau));
                let _span = span("optimizer");
                let mut gradients = accumulated.take();
                let scale = &mut progress.scale;
                if scale.undo(&mut gradients).during("scale gradients")? {
                    if self.schedule.clipping > 0.0 {
                        clip(&mut gradients, self.schedule.clipping).during("clip gradients")?;
                    }
                    optimizer.step(&mut gradients)?;
                }
            }
            self.tell_batch(epoch, index, n_batches, loss);
            let steps = self.schedule.evaluation_steps;
            if is_update && !is_last && steps > 0 && (index + 1) % steps == 0 {
                progress.batches = index + 1;
                progress.is_evaluating = true;
                let (row, _) = self.look_or_save(progress, optimizer, checkpoints)?;
                progress.history.push(row);
                progress.is_evaluating = false;
            }
            Ok(())
        })?;
        progress.batches = n_batches;
        let (row, validation) = self.look_or_save(progress, optimizer, checkpoints)?;
        self.tell_epoch(&row, n_batches);
        progress.history.push(row);
        progress.best.note(epoch, &validation);
        if let Some(plateau) = &mut progress.plateau {
            self.schedule.rates.note(plateau, epoch, validation.loss);
        }
        progress.is_stopped = progress.stopping.should_stop(validation.loss);
        if progress.is_stopped {
            let reached = epoch + 1;
            self.context.info(
                self.turn
                    .told(format!("stopped early after epoch {reached}")),
            );
        }
        progress.epochs += 1;
        progress.batches = 0;
        Ok(())
    }

    /// Adds the gradients of a batch, times a factor; returns its mean loss.
    fn accumulate(
        &self,
        batch: &Batch<'_>,
        epoch: u32,
        factor: f64,
        accumulated: &mut Accumulated,
    ) -> Result<f64, StageError> {
        let parameters = self.network.state().parameters();
        let (loss, gradients) = self.steps.gradients(batch, epoch, factor, &parameters)?;
        if !loss.is_finite() {
            return Err(not_a_number(loss, batch));
        }
        accumulated.add(gradients).during("accumulate gradients")?;
        Ok(loss)
    }

    /// The network as it is now, with the loss that is minimised.
    pub(crate) fn evaluator(&self) -> Evaluator<'_> {
        Evaluator {
            network: self.network,
            objective: self.objective,
            criterion: Some(self.criterion),
            batches: self.batches,
            thorough: true,
        }
    }

    /// Evaluates both sets after the last batch; if that is interrupted, the batches are not lost.
    fn look_or_save(
        &self,
        progress: &mut Progress,
        optimizer: &Optimizer,
        checkpoints: &Checkpoints,
    ) -> Result<(HistoryRow, Values), StageError> {
        let looked = self.look(progress.epochs, progress.batches - 1);
        if looked.is_err() && self.context.is_cancelled() {
            self.save(progress, optimizer, checkpoints)?;
        }
        looked
    }

    /// Evaluates both sets: a row of the history, and the values on the validation set.
    fn look(&self, epoch: u32, iteration: usize) -> Result<(HistoryRow, Values), StageError> {
        let proceed = || self.context.check_cancelled();
        let mut selection = self.schedule.selection.iter();
        let evaluator = Evaluator {
            thorough: selection.any(|column| SLOW.contains(&column.as_str())),
            ..self.evaluator()
        };
        let values = |dataset| -> Result<Values, StageError> {
            let evaluation = evaluator.evaluate(dataset, &proceed)?;
            Ok(evaluation.values(self.objective))
        };
        let train = if self.schedule.evaluate_training_set {
            Some(values(self.train)?)
        } else {
            None
        };
        let validation = values(self.validation)?;
        let mut row = HistoryRow::new(epoch, iteration, train.as_ref(), &validation);
        if let Some(source) = &self.source {
            let values = |dataset| -> Result<Values, StageError> {
                let evaluation = source.evaluate(evaluator, dataset, &proceed)?;
                Ok(evaluation.values(self.objective))
            };
            let train = train.map(|_| values(source.train)).transpose()?;
            let validation = values(source.validation)?;
            let of_source = HistoryRow::new(epoch, iteration, train.as_ref(), &validation);
            row.source = Some(Box::new(of_source));
        }
        Ok((row, validation))
    }

    fn tell_batch(&self, epoch: u32, index: usize, n_batches: usize, loss: f64) {
        let epochs = self.schedule.epochs as usize;
        let done = epoch as usize * n_batches + index + 1;
        let detail = format!("epoch {}/{epochs}, loss {loss:.4}", epoch + 1);
        self.turn
            .progress(self.context, done, epochs * n_batches, detail);
    }

    fn tell_epoch(&self, row: &HistoryRow, n_batches: usize) {
        let epochs = self.schedule.epochs as usize;
        let done = (row.epoch as usize + 1) * n_batches;
        let train = match row.train().and_then(|values| values.last().copied()) {
            Some(loss) => format!("training loss {loss:.4}, "),
            None => String::new(),
        };
        let validation = row.validation().last().copied().unwrap_or(f64::NAN);
        let number = row.epoch + 1;
        let detail = format!("epoch {number}/{epochs}, {train}validation loss {validation:.4}");
        self.turn
            .progress(self.context, done, epochs * n_batches, detail);
    }
}

/// Gradients of the batches since the last update.
#[derive(Debug, Default)]
struct Accumulated(Option<Vec<Tensor>>);

impl Accumulated {
    fn add(&mut self, gradients: Vec<Tensor>) -> Result<(), tch::TchError> {
        match &mut self.0 {
            None => self.0 = Some(gradients),
            Some(sums) => {
                for (sum, gradient) in sums.iter_mut().zip(&gradients) {
                    drop(sum.f_add_(gradient)?);
                }
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn take(&mut self) -> Vec<Tensor> {
        self.0.take().unwrap_or_default()
    }
}

/// The number of images in the group of accumulated batches to which batch `index` belongs.
fn group_size(index: usize, n_images: usize, batch_size: usize, steps: usize) -> usize {
    let per_group = steps * batch_size;
    let start = index / steps * per_group;
    per_group.min(n_images - start)
}

/// Scales gradients down together, so that their length is at most `longest`.
///
/// # Source
/// `torch.nn.utils.clip_grad_norm_` of PyTorch 2.13, with the Euclidean norm.
fn clip(gradients: &mut [Tensor], longest: f64) -> Result<(), tch::TchError> {
    let mut squares = 0.0;
    for gradient in gradients.iter() {
        squares += gradient.f_norm()?.f_double_value(&[])?.powi(2);
    }
    let factor = longest / (squares.sqrt() + 1e-6);
    if factor < 1.0 {
        for gradient in gradients {
            drop(gradient.f_mul_scalar_(factor)?);
        }
    }
    Ok(())
}

/// A loss that is no number, with the images that it comes from.
fn not_a_number(loss: f64, batch: &Batch<'_>) -> StageError {
    let names = batch.samples.iter().map(|sample| {
        let (participant, session) = (&sample.participant, &sample.session);
        format!("{participant} {session}")
    });
    let names: Vec<String> = names.collect();
    let number = batch.index + 1;
    StageError::new(format!(
        "the training loss is {loss} in batch {number} of the epoch: {}",
        listed(&names, 50, "; ")
    ))
    .hint("lower `optimizer.learning_rate`, or set `gradient_clipping`")
    .hint("look at these images: voxels may be far too large")
}

fn never_a_number(column: &str) -> StageError {
    StageError::new(format!(
        "`{column}` of the validation set was never a number, so there is no best model"
    ))
    .hint("lower `optimizer.learning_rate`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, head};

    #[test]
    fn long_gradients_are_scaled_down_together() {
        let gradients = || {
            [
                Tensor::from_slice(&[3.0_f32, 0.0]),
                Tensor::from_slice(&[4.0_f32]),
            ]
        };
        let mut clipped = gradients();
        clip(&mut clipped, 1.0).unwrap();
        let all: Vec<f64> = clipped.iter().flat_map(|g| head(g, 2)).collect();
        // PyTorch's norm is 5 + 1e-6.
        assert_close(&all, &[0.6, 0.0, 0.8], 1e-6, "gradients");
        let mut short = gradients();
        clip(&mut short, 5.1).unwrap();
        assert_close(&head(&short[0], 2), &[3.0, 0.0], 1e-12, "gradients");
    }

    #[test]
    fn an_update_averages_over_the_images_of_its_group_also_the_last() {
        // Seven images in batches of two, two batches per update: groups of four and of three.
        let sizes = [0, 1, 2, 3].map(|index| group_size(index, 7, 2, 2));
        assert_eq!(sizes, [4, 4, 3, 3]);
        assert_eq!([0, 1, 2].map(|index| group_size(index, 5, 2, 1)), [2, 2, 1]);
    }
}
