//! The files of models and predictions, written into the output of a stage.

use std::collections::BTreeSet;

use engine::{Output, StageError};
use maps::files::{DataRow, DataTable, EventFile, SessionsTable, TrainingRow, TrainingTable};
use maps::layout::{SplitPath, TRAIN, TRAIN_VALIDATION, VALIDATION};
use stages::extraction::Mode;
use stages::learning::LOSS;
use stages::metrics::{Column, Estimate};
use stages::predictions::{describe, metrics_table};

use crate::data::{Cohort, Sample};
use crate::evaluation::Evaluation;
use crate::tasks::Objective;
use crate::trainer::HistoryRow;

/// Where predictions of one model on one data group go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// What is predicted: whole images, or parts of one kind.
    pub(crate) mode: Mode,
    /// How the data leak, where that was allowed.
    pub(crate) leakage: Option<&'a str>,
    /// Column name of the metric that selected the model.
    pub(crate) metric: &'a str,
    /// Name of the data group.
    pub(crate) group: &'a str,
}

/// Writes the sessions of a data group; the label's column is left out where labels are not used.
pub(crate) fn write_data(
    output: &Output,
    group: &str,
    cohort: &Cohort,
    label: Option<&str>,
) -> Result<(), StageError> {
    // Each session once, whatever the number of its parts.
    let mut seen: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    let mut samples: Vec<&Sample> = cohort.samples.iter().collect();
    samples.retain(|sample| seen.insert((&sample.cohort, &sample.participant, &sample.session)));
    let rows = samples.into_iter().map(|sample| DataRow {
        participant: sample.participant.clone(),
        session: sample.session.clone(),
        cohort: sample.cohort.clone(),
        label: sample.label.clone(),
    });
    let table = DataTable {
        label: label.map(str::to_owned),
        rows: rows.collect(),
    };
    output.write(&SplitPath::Data { group }.in_artifact(), &table.to_bytes())
}

/// Writes every session that a training sees, sorted.
pub(crate) fn write_seen(
    output: &Output,
    train: &Cohort,
    validation: &Cohort,
) -> Result<(), StageError> {
    let sessions: BTreeSet<maps::files::Session> = train
        .samples
        .iter()
        .chain(&validation.samples)
        .map(|sample| maps::files::Session {
            participant: sample.participant.clone(),
            session: sample.session.clone(),
        })
        .collect();
    let table = SessionsTable {
        rows: sessions.into_iter().collect(),
    };
    output.write(TRAIN_VALIDATION, &table.to_bytes())
}

/// Writes the history of a training, as a table and for TensorBoard.
pub(crate) fn write_history(
    output: &Output,
    metrics: &[Column],
    history: &[HistoryRow],
    batches_per_epoch: usize,
) -> Result<(), StageError> {
    let mut columns: Vec<String> = metrics
        .iter()
        .map(|metric| metric.column.to_owned())
        .collect();
    columns.push(LOSS.to_owned());
    let not_evaluated = vec![f64::NAN; columns.len()];
    let rows = history.iter().map(|row| TrainingRow {
        epoch: row.epoch.into(),
        iteration: row.iteration as u64,
        // The column exists for readers of ClinicaDL; a duration would make equal trainings differ.
        time_s: Some(0.0),
        train: row.train().unwrap_or_else(|| not_evaluated.clone()),
        validation: row.validation(),
    });
    let rows: Vec<TrainingRow> = rows.collect();
    for (group, of) in [
        (
            TRAIN,
            (|row: &TrainingRow| &row.train) as fn(&TrainingRow) -> &Vec<f64>,
        ),
        (VALIDATION, |row: &TrainingRow| &row.validation),
    ] {
        let mut events = EventFile::default();
        for row in &rows {
            let step = row.epoch * batches_per_epoch as u64 + row.iteration;
            for (tag, value) in columns.iter().zip(of(row)) {
                events.add(step, tag, *value);
            }
        }
        let path = SplitPath::Events { group };
        output.write(&path.in_artifact(), events.to_bytes())?;
    }
    let table = TrainingTable::try_new(columns, rows)?;
    output.write(&SplitPath::Training.in_artifact(), &table.to_bytes())
}

/// Writes the predictions of a model on a data group, and its metrics where labels are used.
pub(crate) fn write_evaluation(
    output: &Output,
    place: Place<'_>,
    objective: &dyn Objective,
    evaluation: &Evaluation,
    estimates: Option<&[Estimate]>,
) -> Result<(), StageError> {
    let Place {
        mode,
        leakage,
        metric,
        group,
    } = place;
    let level = mode.name();
    let path = SplitPath::Prediction {
        metric,
        group,
        level,
    };
    let table = objective.table(&evaluation.predictions, level, leakage)?;
    output.write(&path.in_artifact(), &table)?;
    if let Some(estimates) = estimates {
        let path = SplitPath::Metrics {
            metric,
            group,
            level,
        };
        let mut table = metrics_table(estimates, evaluation.loss);
        table.leakage = leakage.map(str::to_owned);
        output.write(&path.in_artifact(), &table.to_bytes())?;
    }
    let path = SplitPath::Description { metric, group };
    let rows = evaluation.predictions.iter();
    let sessions = rows.map(|row| (row.participant.as_str(), row.session.as_str()));
    let mut text = describe(group, sessions);
    if let Some(leakage) = leakage {
        text.push_str(&format!("Data leakage, allowed: {leakage}\n"));
    }
    output.write(&path.in_artifact(), text.as_bytes())
}
