//! The models, metrics and course of each split.

use std::collections::BTreeSet;

use super::super::ImportError;
use super::super::draft::Draft;
use super::{Facts, KEPT};
use crate::MapsError;
use crate::files::{MetricColumn, MetricsTable, Numbers, TrainingRow, TrainingTable};
use crate::layout::{SplitPath, VALIDATION, selection_metric_of};
use crate::weights::{Checkpoint, write_pth};

/// The loss in tables.
const LOSS: &str = "loss";
/// The beginning of the names of a network's tensors.
const NETWORK: &str = "network.";
/// What a model after the last epoch is called, where no metric selected one.
const FINAL: &str = "final";

/// Adds what every split has; gives the metrics that selected models.
pub(super) fn write(draft: &mut Draft, facts: &Facts) -> Result<Vec<String>, ImportError> {
    let mut selected = BTreeSet::new();
    for (split, folder) in facts.splits.clone() {
        let models = format!("{folder}/models");
        let best = draft.names(&format!("{models}/best_models"));
        let mut found: Vec<(String, String)> = best
            .iter()
            .filter_map(|name| {
                let metric = selection_metric_of(name)?;
                Some((named(facts, metric), format!("{models}/best_models/{name}")))
            })
            .collect();
        if found.is_empty() && draft.exists(&format!("{models}/final/model.pt")) {
            draft.note(
                &models,
                "no metric selected a model: the one after the last epoch is `best-final`",
            );
            found.push((FINAL.to_owned(), format!("{models}/final")));
        }
        for (metric, place) in found {
            if model(draft, facts, split, &metric, &place)? {
                selected.insert(metric);
            }
        }
        every_epoch(draft, facts, split, &models)?;
        history(draft, facts, split, &folder)?;
        let machine = format!("{folder}/computational.json");
        if draft.exists(&machine) {
            draft.copy(&machine, &format!("{KEPT}/{machine}"));
        }
        for name in [
            "summary.log",
            "warning.log",
            "logs/computational.tsv",
            "tmp",
        ] {
            let path = format!("{folder}/{name}");
            if draft.exists(&path) {
                draft.note(&path, "tells of the run, not of its results: left out");
            }
        }
    }
    Ok(selected.into_iter().collect())
}

/// What a metric is called here.
pub(super) fn named(facts: &Facts, metric: &str) -> String {
    let name = facts.names.get(metric);
    name.cloned().unwrap_or_else(|| metric.to_owned())
}

/// Adds a selected model and its metrics.
fn model(
    draft: &mut Draft,
    facts: &Facts,
    split: usize,
    metric: &str,
    place: &str,
) -> Result<bool, ImportError> {
    let path = format!("{place}/model.pt");
    if !draft.exists(&path) {
        draft.note(place, "has no `model.pt`: left out");
        return Ok(false);
    }
    let epoch = epoch_of(draft, place)?;
    let checkpoint = checkpoint(draft, facts, &path, epoch)?;
    let to = SplitPath::Model { metric }.in_maps(split);
    draft.bytes(&to, write_pth(&checkpoint));
    let to = SplitPath::Safetensors { metric }.in_maps(split);
    draft.safetensors(&to, &checkpoint)?;
    let tables = format!("{place}/validation_metrics");
    metrics(draft, facts, (split, metric, VALIDATION), &tables)?;
    Ok(true)
}

/// The weights of a model under the names that they have here.
fn checkpoint(
    draft: &mut Draft,
    facts: &Facts,
    path: &str,
    epoch: Option<i64>,
) -> Result<Checkpoint, MapsError> {
    let read = draft.weights(path)?;
    let (mut model, mut others) = (crate::weights::Weights::new(), Vec::new());
    for (name, array) in read.model {
        match name.strip_prefix(NETWORK) {
            Some(name) => {
                model.insert(name.to_owned(), array);
            }
            None => others.push(name),
        }
    }
    if !others.is_empty() {
        let message = format!(
            "tensors that are not of the network are left out: {}",
            others.join(", ")
        );
        draft.note(path, message);
    }
    Ok(Checkpoint {
        model,
        epoch,
        name: Some(facts.architecture.clone()),
    })
}

/// The epoch of a model, counted from 0, by its metrics.
fn epoch_of(draft: &Draft, place: &str) -> Result<Option<i64>, MapsError> {
    let path = format!("{place}/validation_metrics/aggregated.tsv");
    if !draft.exists(&path) {
        return Ok(None);
    }
    let epochs = draft.read(&path, Numbers::read)?.column("epoch");
    let last = epochs.and_then(|epochs| epochs.last().copied());
    Ok(last.and_then(counted))
}

/// An epoch of ClinicaDL 2.0, which counts from 1.
#[expect(
    clippy::cast_possible_truncation,
    reason = "checked to be small and whole"
)]
fn counted(epoch: f64) -> Option<i64> {
    let is_whole = epoch.fract().abs() < f64::EPSILON;
    (is_whole && (1.0..1e9).contains(&epoch)).then(|| epoch as i64 - 1)
}

/// Adds a metrics table, if ClinicaDL wrote one.
pub(super) fn metrics(
    draft: &mut Draft,
    facts: &Facts,
    (split, metric, group): (usize, &str, &str),
    folder: &str,
) -> Result<(), MapsError> {
    let path = format!("{folder}/aggregated.tsv");
    if !draft.exists(&path) {
        return Ok(());
    }
    let table = draft.read(&path, Numbers::read)?;
    let values = table.rows.last().cloned().unwrap_or_default();
    let mut columns: Vec<MetricColumn> = table
        .header
        .iter()
        .zip(values)
        .filter(|(name, _)| *name != "epoch")
        .map(|(name, value)| MetricColumn {
            name: named(facts, name),
            value,
            interval: None,
        })
        .collect();
    columns.sort_by_key(|column| column.name == LOSS);
    let level = facts.level;
    let to = SplitPath::Metrics {
        metric,
        group,
        level,
    };
    let table = MetricsTable {
        columns,
        leakage: None,
    };
    draft.bytes(&to.in_maps(split), table.to_bytes());
    let details = format!("{folder}/details.tsv");
    if draft.exists(&details) {
        draft.note(
            &details,
            "has metrics of each image, which are no predictions: left out",
        );
    }
    Ok(())
}

/// Adds the models of certain epochs, and that of the last one.
fn every_epoch(
    draft: &mut Draft,
    facts: &Facts,
    split: usize,
    models: &str,
) -> Result<(), MapsError> {
    let checkpoints = format!("{models}/checkpoints");
    let names = draft.names(&checkpoints).into_iter();
    let mut places: Vec<(String, Option<i64>)> = names
        .map(|name| {
            let epoch = name.strip_prefix("epoch-").and_then(|n| n.parse().ok());
            let epoch = epoch.and_then(|n: u32| counted(n.into()));
            (format!("{checkpoints}/{name}"), epoch)
        })
        .collect();
    let last = format!("{models}/final");
    let epoch = epoch_of(draft, &last)?;
    places.push((last, epoch));
    for (place, epoch) in places {
        let path = format!("{place}/model.pt");
        if !draft.exists(&path) {
            continue;
        }
        let Some(number) = epoch.and_then(|epoch| u32::try_from(epoch).ok()) else {
            draft.note(&path, "does not tell its epoch: left out");
            continue;
        };
        let to = SplitPath::EveryModel { epoch: number }.in_maps(split);
        if !draft.has(&to) {
            let checkpoint = checkpoint(draft, facts, &path, epoch)?;
            draft.bytes(&to, write_pth(&checkpoint));
        }
    }
    Ok(())
}

/// Adds the course of the training: what was measured after epochs, and the mean loss of their batches.
fn history(draft: &mut Draft, facts: &Facts, split: usize, folder: &str) -> Result<(), MapsError> {
    let path = format!("{folder}/validation_metrics/aggregated.tsv");
    let table = if draft.exists(&path) {
        draft.read(&path, Numbers::read)?
    } else {
        Numbers::default()
    };
    let epochs = table.column("epoch").unwrap_or_default();
    let mut columns: Vec<(String, Vec<f64>)> = Vec::new();
    for name in table.header.iter().filter(|name| *name != "epoch") {
        columns.push((named(facts, name), table.column(name).unwrap_or_default()));
    }
    if !columns.iter().any(|(name, _)| name == LOSS) {
        columns.push((LOSS.to_owned(), vec![f64::NAN; epochs.len()]));
    }
    columns.sort_by_key(|(name, _)| name == LOSS);
    let last = epoch_of(draft, &format!("{folder}/models/final"))?;
    let last = last.or_else(|| epochs.last().copied().and_then(counted));
    let losses = batches(draft, folder, last)?;
    let rows = epochs.iter().enumerate().filter_map(|(i, &epoch)| {
        let epoch = u64::try_from(counted(epoch)?).ok()?;
        let batches = losses.get(usize::try_from(epoch).ok()?);
        let mut train = vec![f64::NAN; columns.len()];
        if let (Some(cell), Some(batches)) = (train.last_mut(), batches) {
            *cell = batches.iter().sum::<f64>() / batches.len() as f64;
        }
        Some(TrainingRow {
            epoch,
            iteration: batches.map_or(0, |batches| batches.len() as u64 - 1),
            time_s: None,
            train,
            validation: columns.iter().map(|(_, values)| values[i]).collect(),
        })
    });
    let rows = rows.collect();
    let names = columns.iter().map(|(name, _)| name.clone()).collect();
    let table = TrainingTable::try_new(names, rows)?;
    draft.bytes(&SplitPath::Training.in_maps(split), table.to_bytes());
    Ok(())
}

/// The losses of the batches of each epoch, of which all have as many.
fn batches(draft: &mut Draft, folder: &str, last: Option<i64>) -> Result<Vec<Vec<f64>>, MapsError> {
    let path = format!("{folder}/logs/training_loss.tsv");
    let Some(epochs) = last.and_then(|last| usize::try_from(last + 1).ok()) else {
        return Ok(Vec::new());
    };
    if !draft.exists(&path) {
        draft.note(&path, "is missing: the training loss is not known");
        return Ok(Vec::new());
    }
    let losses = draft
        .read(&path, Numbers::read)?
        .column(LOSS)
        .unwrap_or_default();
    if losses.is_empty() || losses.len() % epochs != 0 {
        let message = format!(
            "{} losses are not as many in each of {epochs} epochs: the training loss is not known",
            losses.len()
        );
        draft.note(&path, message);
        return Ok(Vec::new());
    }
    let each = losses.chunks(losses.len() / epochs);
    Ok(each.map(<[f64]>::to_vec).collect())
}
