//! What is left of a network that was fitted: its course, its weights, and what its best ones say.

use std::collections::BTreeSet;

use engine::{Output, StageError};
use maps::layout::{SplitPath, TRAIN, VALIDATION};
use maps::weights::{Checkpoint, write_pth, write_safetensors};
use stages::learning::TrainParams;

use super::outcome::Outcome;
use crate::artifact::{Course, write_history};
use crate::checkpoint::{Checkpoints, Mark, Part};
use crate::data::Dataset;
use crate::evaluation::Evaluated;
use crate::trainer::{Fitted, Trainer};
use crate::weights;

/// Writes the history of the training; of two domains, that of each.
pub(super) fn write_courses(
    output: &Output,
    trainer: &Trainer<'_>,
    fitted: &Fitted,
) -> Result<(), StageError> {
    let (columns, batches) = (trainer.objective.columns(), trainer.steps.count());
    let (history, part) = (fitted.history.iter(), trainer.turn.part);
    if trainer.source.is_none() {
        return write_history(output, Course::ONE_DOMAIN, part, &columns, history, batches);
    }
    let of_source = history.clone().filter_map(|row| row.source.as_deref());
    write_history(output, Course::SOURCE, part, &columns, of_source, batches)?;
    write_history(output, Course::TARGET, part, &columns, history, batches)
}

/// Writes the weights of every epoch.
pub(super) fn write_all(
    output: &Output,
    trainer: &Trainer<'_>,
    params: &TrainParams,
    fitted: &Fitted,
    checkpoints: &Checkpoints,
) -> Result<(), StageError> {
    let epochs: BTreeSet<u32> = fitted.history.iter().map(|row| row.epoch).collect();
    for epoch in epochs {
        load_epoch(trainer, checkpoints, epoch)?;
        let archive = write_pth(&checkpoint(trainer, params, epoch)?);
        let path = SplitPath::EveryModel { epoch }.of_network(trainer.turn.part);
        output.write(&path, &archive)?;
    }
    Ok(())
}

/// Loads the weights of an epoch into the network.
fn load_epoch(
    trainer: &Trainer<'_>,
    checkpoints: &Checkpoints,
    epoch: u32,
) -> Result<(), StageError> {
    let stored = checkpoints.load(Part::Weights, Mark::end_of(epoch), None)?;
    weights::load_state_dict(trainer.network.state(), &stored, "checkpoint")
}

/// The weights of an epoch as they are in the network, in its order, which a safetensors file does not keep.
fn checkpoint(
    trainer: &Trainer<'_>,
    params: &TrainParams,
    epoch: u32,
) -> Result<Checkpoint, StageError> {
    Ok(Checkpoint {
        model: weights::state_dict(trainer.network.state())?,
        epoch: Some(epoch.into()),
        name: Some(params.network.name.clone()),
    })
}

/// Writes each best model, and keeps what it predicts on both sets.
///
/// Models selected by several metrics at the same epoch are evaluated once.
pub(super) fn keep_best(
    output: &Output,
    trainer: &Trainer<'_>,
    params: &TrainParams,
    fitted: &Fitted,
    checkpoints: &Checkpoints,
    outcome: &mut Outcome,
) -> Result<(), StageError> {
    let part = trainer.turn.part;
    let epochs: BTreeSet<u32> = fitted.best.iter().map(|(_, epoch)| *epoch).collect();
    for epoch in epochs {
        load_epoch(trainer, checkpoints, epoch)?;
        let groups = [(TRAIN, trainer.train), (VALIDATION, trainer.validation)];
        let evaluated = groups.map(|(group, dataset)| {
            trainer
                .context
                .info(format!("evaluating epoch {} on {group}", epoch + 1));
            evaluate_best(trainer, params, group, dataset)
        });
        let [train, validation] = evaluated;
        let evaluated = [train?, validation?];
        let metrics = fitted.best.iter().filter(|(_, best)| *best == epoch);
        let metrics: Vec<&str> = metrics.map(|(metric, _)| metric.as_str()).collect();
        let checkpoint = checkpoint(trainer, params, epoch)?;
        // One of both files at a time: weights are large.
        let archive = write_pth(&checkpoint);
        for metric in &metrics {
            output.write(&SplitPath::Model { metric }.of_network(part), &archive)?;
        }
        drop(archive);
        let plain = write_safetensors(&checkpoint.model).map_err(StageError::internal)?;
        for metric in &metrics {
            output.write(&SplitPath::Safetensors { metric }.of_network(part), &plain)?;
            outcome.keep(metric, evaluated.clone());
        }
    }
    Ok(())
}

fn evaluate_best(
    trainer: &Trainer<'_>,
    params: &TrainParams,
    group: &str,
    dataset: &Dataset<'_>,
) -> Result<Evaluated, StageError> {
    let proceed = || trainer.context.check_cancelled();
    let evaluation = trainer.evaluator().evaluate(dataset, &proceed)?;
    let stream = trainer.stream.child("bootstrap").child(group);
    let estimates = evaluation.estimates(trainer.objective, params.bootstrap, &stream);
    Ok(Evaluated {
        network: trainer.turn.part,
        evaluation,
        estimates: Some(estimates),
    })
}
