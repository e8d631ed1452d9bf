//! The files of models and predictions, written into the output of a stage.

use std::borrow::Cow;
use std::collections::BTreeSet;

use engine::{Output, StageError};
use maps::files::{
    DataRow, DataTable, EventFile, Interval, MetricColumn, MetricsTable, NetworkMetrics,
    SessionsTable, TrainingRow, TrainingTable,
};
use maps::layout::{IMAGE_LEVEL, SplitPath, TRAIN, TRAIN_VALIDATION, VALIDATION};
use stages::extraction::Mode;
use stages::learning::LOSS;
use stages::metrics::{Column, Estimate};

use crate::data::{Cohort, Sample};
use crate::evaluation::{Evaluated, Prediction};
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
pub(crate) fn write_seen(output: &Output, cohorts: &[&Cohort]) -> Result<(), StageError> {
    let sessions: BTreeSet<maps::files::Session> = cohorts
        .iter()
        .flat_map(|cohort| &cohort.samples)
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

/// Where the history of a training goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    table: SplitPath<'static>,
    train: &'static str,
    validation: &'static str,
}

impl Course {
    /// Of a training on one domain.
    pub(crate) const ONE_DOMAIN: Self = Self {
        table: SplitPath::Training,
        train: TRAIN,
        validation: VALIDATION,
    };
    /// Of a training on two, of the one that it is made for.
    pub(crate) const TARGET: Self = Self {
        table: SplitPath::TrainingTarget,
        ..Self::ONE_DOMAIN
    };
    /// Of a training on two, of the other one.
    pub(crate) const SOURCE: Self = Self {
        table: SplitPath::Training,
        train: "train-source",
        validation: "validation-source",
    };
}

/// Writes the history of a training, as a table and for TensorBoard.
pub(crate) fn write_history<'h>(
    output: &Output,
    course: Course,
    network: Option<usize>,
    metrics: &[Column],
    history: impl Iterator<Item = &'h HistoryRow>,
    batches_per_epoch: usize,
) -> Result<(), StageError> {
    let mut columns: Vec<String> = metrics
        .iter()
        .map(|metric| metric.column.to_owned())
        .collect();
    columns.push(LOSS.to_owned());
    let not_evaluated = vec![f64::NAN; columns.len()];
    let rows = history.map(|row| TrainingRow {
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
            course.train,
            (|row: &TrainingRow| &row.train) as fn(&TrainingRow) -> &Vec<f64>,
        ),
        (course.validation, |row: &TrainingRow| &row.validation),
    ] {
        let mut events = EventFile::default();
        for row in &rows {
            let step = row.epoch * batches_per_epoch as u64 + row.iteration;
            for (tag, value) in columns.iter().zip(of(row)) {
                events.add(step, tag, *value);
            }
        }
        let path = SplitPath::Events { group };
        output.write(&path.of_network(network), events.to_bytes())?;
    }
    let table = TrainingTable::try_new(columns, rows)?;
    output.write(&course.table.of_network(network), &table.to_bytes())
}

/// Writes the predictions of a model on a data group, and its metrics where labels are used.
///
/// Where each part has a network of its own, predictions of all are in one table, and the metrics of each
/// follow one another.
pub(crate) fn write_evaluation(
    output: &Output,
    place: Place<'_>,
    objective: &dyn Objective,
    evaluated: &[Evaluated],
) -> Result<(), StageError> {
    let Place {
        mode,
        leakage,
        metric,
        group,
    } = place;
    let level = mode.name();
    let predictions = predictions_of(evaluated);
    let path = SplitPath::Prediction {
        metric,
        group,
        level,
    };
    let table = objective.table(&predictions, level, leakage)?;
    output.write(&path.in_artifact(), &table)?;
    let tables = evaluated.iter().filter_map(|one| {
        let table = metrics_table(one.estimates.as_ref()?, one.evaluation.loss, leakage);
        Some((one.network, table))
    });
    let tables: Vec<(Option<usize>, MetricsTable)> = tables.collect();
    let bytes = match tables.as_slice() {
        [] => None,
        [(None, table)] => Some(table.to_bytes()),
        _ => {
            let networks = tables.into_iter();
            let networks = networks.filter_map(|(network, table)| Some((network?, table)));
            let networks = networks.collect();
            Some(NetworkMetrics { networks }.to_bytes())
        }
    };
    if let Some(bytes) = bytes {
        let path = SplitPath::Metrics {
            metric,
            group,
            level,
        };
        output.write(&path.in_artifact(), &bytes)?;
    }
    let path = SplitPath::Description { metric, group };
    let mut text = describe(group, &predictions);
    if let Some(leakage) = leakage {
        text.push_str(&format!("Data leakage, allowed: {leakage}\n"));
    }
    output.write(&path.in_artifact(), text.as_bytes())
}

/// Writes what parts say together about their images, and its metrics where labels are used.
pub(crate) fn write_images(
    output: &Output,
    place: Place<'_>,
    objective: &dyn Objective,
    images: &[Prediction],
    estimates: Option<&[Estimate]>,
) -> Result<(), StageError> {
    let Place {
        leakage,
        metric,
        group,
        ..
    } = place;
    let level = IMAGE_LEVEL;
    let path = SplitPath::Prediction {
        metric,
        group,
        level,
    };
    let table = objective.table(images, level, leakage)?;
    output.write(&path.in_artifact(), &table)?;
    let Some(estimates) = estimates else {
        return Ok(());
    };
    let path = SplitPath::Metrics {
        metric,
        group,
        level,
    };
    let table = metrics_table(estimates, None, leakage);
    output.write(&path.in_artifact(), &table.to_bytes())
}

/// The predictions of all networks, one network after the other.
pub(crate) fn predictions_of(evaluated: &[Evaluated]) -> Cow<'_, [Prediction]> {
    match evaluated {
        [one] => Cow::Borrowed(&one.evaluation.predictions),
        several => {
            let all = several.iter().flat_map(|one| &one.evaluation.predictions);
            Cow::Owned(all.cloned().collect())
        }
    }
}

fn metrics_table(estimates: &[Estimate], loss: Option<f64>, leakage: Option<&str>) -> MetricsTable {
    let mut columns: Vec<MetricColumn> = estimates
        .iter()
        .map(|estimate| MetricColumn {
            name: estimate.metric.column.to_owned(),
            value: estimate.value,
            interval: estimate.interval.map(|interval| Interval {
                lower: interval.lower,
                upper: interval.upper,
                standard_error: interval.standard_error,
            }),
        })
        .collect();
    columns.extend(loss.map(|value| MetricColumn {
        name: LOSS.to_owned(),
        value,
        interval: None,
    }));
    MetricsTable {
        columns,
        leakage: leakage.map(str::to_owned),
    }
}

fn describe(group: &str, rows: &[Prediction]) -> String {
    let participants: BTreeSet<&str> = rows.iter().map(|row| row.participant.as_str()).collect();
    let sessions: BTreeSet<(&str, &str)> = rows
        .iter()
        .map(|row| (row.participant.as_str(), row.session.as_str()))
        .collect();
    format!(
        "Prediction {group} group\nNumber of participants: {}\nNumber of sessions: {}\n",
        participants.len(),
        sessions.len()
    )
}
