//! What is left of a network that was fitted: its course, its weights, and what its best ones say.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};

use engine::{Output, StageError};
use maps::layout::{SplitPath, TRAIN, VALIDATION};
use maps::weights::{save_pth, save_safetensors};
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
        let path = SplitPath::EveryModel { epoch }.of_network(trainer.turn.part);
        save_archive(output, &path, trainer, params, epoch)?;
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

/// Writes the weights of an epoch as they are in the network, in its order, which a safetensors file does not
/// keep.
fn save_archive(
    output: &Output,
    path: &str,
    trainer: &Trainer<'_>,
    params: &TrainParams,
    epoch: u32,
) -> Result<(), StageError> {
    let tensors = weights::state_dict(trainer.network.state())?;
    let (epoch, name) = (Some(epoch.into()), Some(params.network.name.as_str()));
    save(output, path, |file| {
        save_pth(file, &weights::borrowed(&tensors), epoch, name)
    })
}

/// Writes them as safetensors.
fn save_plain(output: &Output, path: &str, trainer: &Trainer<'_>) -> Result<(), StageError> {
    let tensors = weights::state_dict(trainer.network.state())?;
    save(output, path, |file| {
        save_safetensors(file, weights::borrowed(&tensors))
    })
}

/// Writes a file piece by piece: weights are large.
fn save(
    output: &Output,
    path: &str,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), StageError> {
    let target = output.create_path(path)?;
    let saved = File::create(&target).and_then(|file| {
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        file.flush()
    });
    saved.map_err(|e| StageError::io("write", &target, &e))
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
        let metrics = metrics.map(|(metric, _)| metric.as_str());
        for metric in metrics {
            let archive = SplitPath::Model { metric }.of_network(part);
            save_archive(output, &archive, trainer, params, epoch)?;
            let plain = SplitPath::Safetensors { metric }.of_network(part);
            save_plain(output, &plain, trainer)?;
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
