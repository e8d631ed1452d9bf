//! Splits: that weights load, and that tables are about the sessions of their data group.

use std::collections::{BTreeMap, BTreeSet};

use crate::MapsError;
use crate::files::{
    MeasuredTable, MetricsTable, PredictionTable, REGRESSION_COLUMNS, Session, TrainingTable,
    VotingTable,
};
use crate::layout::{
    ENSEMBLE, GROUPS, IMAGE_LEVEL, LEVELS, SplitPath, TRAIN, VALIDATION, selection_metric_of,
    split_of,
};
use crate::weights::{ArrayData, Weights, WeightsError, read_pth, read_safetensors};

use super::groups::{Group, Groups, Sessions};
use super::{Check, Facts, MapsIssue, attributions, saved};

/// How the files of weights are called, and how their names end where there are several.
const MODEL: &str = "model.pth.tar";

/// Probabilities are float32 and rounded: their sum may miss 1 by this much.
const SUM_TOLERANCE: f64 = 1e-4;

/// Checks every trained split.
pub(super) fn check(
    check: &mut Check,
    splits: &BTreeMap<usize, String>,
    facts: &Facts,
    groups: &Groups,
) {
    for split in splits.values() {
        let folders = check.subfolders(split);
        let found: Vec<&str> = folders
            .iter()
            .filter_map(|name| selection_metric_of(name))
            .collect();
        if found.is_empty() {
            check.report(split, "has no folder `best-<metric>`");
        }
        for metric in &facts.selection_metrics {
            if !found.is_empty() && !found.contains(&metric.as_str()) {
                check.report(
                    split,
                    format!("has no folder `best-{metric}`, a selection metric"),
                );
            }
        }
        check_histories(check, split, facts);
        for metric in found {
            let folder = format!("{split}/best-{metric}");
            check_models(check, &folder, facts);
            let voting = format!("{split}/{}", SplitPath::Voting { metric });
            if check.exists(&voting) {
                check.read(&voting, VotingTable::read);
            }
            check_tables(check, &folder, split, facts, groups);
            attributions::check(check, split, metric);
        }
    }
}

/// Checks what the models of all splits say together.
pub(super) fn check_ensembles(check: &mut Check, facts: &Facts, groups: &Groups) {
    if !check.exists(ENSEMBLE) {
        return;
    }
    for name in check.subfolders(ENSEMBLE) {
        let ensemble = format!("{ENSEMBLE}/{name}");
        let folders = check.subfolders(&ensemble);
        let mut found = folders
            .iter()
            .filter(|folder| selection_metric_of(folder).is_some())
            .peekable();
        if found.peek().is_none() {
            check.report(&ensemble, "has no folder `best-<metric>`");
        }
        for folder in found {
            check_tables(check, &format!("{ensemble}/{folder}"), "", facts, groups);
        }
    }
}

/// The course of the training, or that of each network where every part has one.
fn check_histories(check: &mut Check, split: &str, facts: &Facts) {
    let mut path = format!("{split}/{}", SplitPath::Training);
    if let Some(number) = split_of(split).filter(|_| !check.exists(&path)) {
        // ClinicaDL 1.6.1 writes logs to `split-<i>` where the rest is in `fold-<i>`.
        path = SplitPath::Training.in_maps(number);
    }
    for network in &facts.networks {
        let of_network = format!("{split}/{}", SplitPath::Training.of_network(*network));
        let path = network.map_or(&path, |_| &of_network);
        check.read(path, TrainingTable::read);
    }
    if facts.has_two_domains {
        let target = format!("{split}/{}", SplitPath::TrainingTarget);
        check.read(&target, TrainingTable::read);
    }
}

/// The model of a folder, or those of the networks of parts; where it is not known how many there are,
/// those that are found.
fn check_models(check: &mut Check, folder: &str, facts: &Facts) {
    let known = facts.networks.iter().map(|network| match network {
        None => MODEL.to_owned(),
        Some(number) => format!("network-{number}_{MODEL}"),
    });
    let mut names: Vec<String> = known.collect();
    if names.is_empty() {
        let entries = std::fs::read_dir(check.folder.join(folder));
        let found = entries.into_iter().flatten();
        names = found
            .filter_map(|entry| entry.ok()?.file_name().to_str().map(str::to_owned))
            .filter(|name| name.ends_with(MODEL))
            .collect();
        names.sort();
    }
    if names.is_empty() {
        check.report(folder, format!("has no weights `{MODEL}`"));
    }
    for name in names {
        check_weights(check, &format!("{folder}/{name}"), facts);
    }
}

fn check_weights(check: &mut Check, path: &str, facts: &Facts) {
    let Some(checkpoint) = check.read(path, wrap(read_pth)) else {
        return;
    };
    if let (Some(name), Some(expected)) = (&checkpoint.name, &facts.architecture)
        && name != expected
    {
        let message = format!("holds weights of `{name}`, expected `{expected}` as in `maps.json`");
        check.report(path, message);
    }
    for (name, array) in &checkpoint.model {
        if !is_finite(array.data()) {
            check.report(
                path,
                format!("tensor `{name}` has values that are not finite"),
            );
        }
    }
    let safe = path.replace(".pth.tar", ".safetensors");
    if check.exists(&safe)
        && let Some(weights) = check.read(&safe, wrap(read_safetensors))
        && !same(&weights, &checkpoint.model)
    {
        check.report(&safe, format!("holds other weights than `{path}`"));
    }
}

fn wrap<T>(
    read: impl FnOnce(&[u8]) -> Result<T, WeightsError>,
) -> impl FnOnce(&[u8], &str) -> Result<T, MapsError> {
    |bytes, file| {
        read(bytes).map_err(|source| MapsError::Weights {
            file: file.to_owned(),
            source,
        })
    }
}

fn is_finite(data: &ArrayData) -> bool {
    match data {
        ArrayData::F32(values) => values.iter().all(|value| value.is_finite()),
        ArrayData::F64(values) => values.iter().all(|value| value.is_finite()),
        ArrayData::F16(values) => values.iter().all(|value| value.is_finite()),
        ArrayData::BF16(values) => values.iter().all(|value| value.is_finite()),
        _ => true,
    }
}

/// Equal whatever the order: safetensors files have their own.
fn same(left: &Weights, right: &Weights) -> bool {
    let equal = |(name, array)| {
        right
            .get::<String>(name)
            .is_some_and(|other| other == array)
    };
    left.len() == right.len() && left.iter().all(equal)
}

fn check_tables(check: &mut Check, folder: &str, split: &str, facts: &Facts, groups: &Groups) {
    for group in check.subfolders(folder) {
        let data = match group.as_str() {
            TRAIN | VALIDATION => format!("{GROUPS}/{group}/{split}"),
            _ => format!("{GROUPS}/{group}"),
        };
        if let Some(known) = groups.get(&data) {
            saved::check(check, &format!("{folder}/{group}"), &known.sessions, facts);
        }
        for level in LEVELS {
            let name = format!("{folder}/{group}/{group}_{level}_level");
            check_metrics(check, &format!("{name}_metrics.tsv"));
            let path = format!("{name}_prediction.tsv");
            // A group that was only interpreted has no predictions.
            if !facts.is_known || !check.exists(&path) || has_lost_sessions(check, &path, facts) {
                continue;
            }
            let predicted = match facts.columns {
                None => read_classes(check, &path, facts.n_classes),
                Some(columns) => read_numbers(check, &path, columns),
            };
            let Some(predicted) = predicted else {
                continue;
            };
            let Some(expected) = groups.get(&data) else {
                check.report(&path, format!("belongs to no data group `{data}`"));
                continue;
            };
            check_labels(check, &path, &predicted, expected, facts);
            if !(facts.is_drawn && group == TRAIN) {
                check_sessions(check, &path, &predicted, &expected.sessions, &data);
            }
        }
    }
}

fn check_metrics(check: &mut Check, path: &str) {
    if check.exists(path)
        && let Some(metrics) = check.read(path, MetricsTable::read)
    {
        if metrics.columns.is_empty() {
            check.report(path, "has no metric");
        }
        for column in metrics.columns {
            let Some(interval) = column.interval else {
                continue;
            };
            if interval.lower > interval.upper || interval.standard_error < 0.0 {
                let message = format!(
                    "expected bounds in order and an error of at least 0, got {} to {} and {}",
                    interval.lower, interval.upper, interval.standard_error
                );
                check
                    .issues
                    .push(MapsIssue::new(path, message).in_column(&column.name));
            }
        }
    }
}

/// ClinicaDL 1.6.1 loses participants where it copies predictions of parts as those of images.
fn has_lost_sessions(check: &Check, path: &str, facts: &Facts) -> bool {
    let is_of_parts = facts.mode != IMAGE_LEVEL && path.ends_with("_image_level_prediction.tsv");
    let text = std::fs::read_to_string(check.folder.join(path)).unwrap_or_default();
    is_of_parts && text.starts_with("image_id\t")
}

/// The truth of a prediction is the label of its session.
fn check_labels(check: &mut Check, path: &str, table: &Predicted, group: &Group, facts: &Facts) {
    for (line, (row, truth)) in (2..).zip(table.rows.iter().zip(&table.truth)) {
        let (Some(truth), Some(label)) = (truth, group.labels.get(&row.0)) else {
            continue;
        };
        // What is no code at all is told elsewhere.
        let is_code = |number: f64| (0.0..facts.n_classes as f64).contains(&number);
        let expected = match facts.columns {
            None => {
                let code = facts.label_code.get(label).map(|&code| code as f64);
                code.filter(|&code| is_code(code) && is_code(*truth))
            }
            Some(_) => label.parse::<f64>().ok(),
        };
        // Numbers are float32 where the network meets them.
        let tolerance = expected.map_or(0.0, |number| number.abs() * 1e-6);
        if let Some(number) = expected
            && (truth - number).abs() > tolerance
        {
            let Session {
                participant,
                session,
            } = &row.0;
            let message = format!(
                "participant `{participant}`, session `{session}`: expected {number} for label `{label}`, got {truth}"
            );
            let issue = MapsIssue::new(path, message).at(Some(line));
            check.issues.push(issue.in_column("true_label"));
        }
    }
}

/// Whom a table of predictions is about.
struct Predicted {
    level: String,
    rows: Vec<(Session, u32)>,
    /// The truth of each row, where labels were used.
    truth: Vec<Option<f64>>,
}

fn read_classes(check: &mut Check, path: &str, n_classes: usize) -> Option<Predicted> {
    let table = check.read(path, PredictionTable::read)?;
    check_rows(check, path, &table, n_classes);
    let rows = table.rows().iter().map(|row| {
        let session = Session {
            participant: row.participant.clone(),
            session: row.session.clone(),
        };
        (session, row.image_id)
    });
    let truth = table.rows().iter();
    Some(Predicted {
        level: table.level().to_owned(),
        rows: rows.collect(),
        truth: truth
            .map(|row| row.true_label.map(|code| code as f64))
            .collect(),
    })
}

fn read_numbers(
    check: &mut Check,
    path: &str,
    columns: &'static [&'static str],
) -> Option<Predicted> {
    let table = check.read(path, |bytes, file| {
        MeasuredTable::read(bytes, file, columns)
    })?;
    // A regression writes -1 where labels were not used, which no age is.
    let is_number = columns == REGRESSION_COLUMNS;
    let truth = table.rows.iter().map(|row| {
        let truth = row.values.first().copied().filter(|_| is_number);
        truth.filter(|number| (number + 1.0).abs() >= f64::EPSILON)
    });
    let truth = truth.collect();
    let rows = table.rows.into_iter().map(|row| {
        let session = Session {
            participant: row.identity.participant,
            session: row.identity.session,
        };
        (session, row.identity.image_id)
    });
    Some(Predicted {
        level: table.level,
        rows: rows.collect(),
        truth,
    })
}

fn check_sessions(
    check: &mut Check,
    path: &str,
    table: &Predicted,
    expected: &Sessions,
    data: &str,
) {
    let found: Sessions = table
        .rows
        .iter()
        .map(|(session, _)| session.clone())
        .collect();
    let parts: BTreeSet<_> = table.rows.iter().collect();
    if parts.len() != table.rows.len() {
        let what = if table.level == IMAGE_LEVEL {
            "a session"
        } else {
            "a part of an image"
        };
        check.report(path, format!("predicts {what} twice"));
    }
    for (missing, what) in [
        (expected.difference(&found).next(), "has no prediction of"),
        (
            found.difference(expected).next(),
            "predicts what its data group lacks:",
        ),
    ] {
        if let Some(session) = missing {
            let message = format!(
                "{what} participant `{}`, session `{}` (data group `{data}`)",
                session.participant, session.session
            );
            check.report(path, message);
        }
    }
}

fn check_rows(check: &mut Check, path: &str, table: &PredictionTable, n_classes: usize) {
    if table.n_classes() != n_classes {
        let message = format!(
            "has probabilities of {} classes, expected {n_classes}",
            table.n_classes()
        );
        check.report(path, message);
        return;
    }
    let is_code = |code: i64| usize::try_from(code).is_ok_and(|code| code < n_classes);
    for (line, row) in (2..).zip(table.rows()) {
        let sum: f64 = row.probabilities.iter().sum();
        let problem = if !is_code(row.predicted_label) {
            format!("predicted label {} is no code", row.predicted_label)
        } else if row.true_label.is_some_and(|code| !is_code(code)) {
            format!(
                "true label {} is no code",
                row.true_label.unwrap_or_default()
            )
        } else if !row.probabilities.iter().all(|p| (0.0..=1.0).contains(p))
            || (sum - 1.0).abs() > SUM_TOLERANCE
        {
            format!("probabilities {:?} do not add up to 1", row.probabilities)
        } else {
            continue;
        };
        let message = format!(
            "participant `{}`, session `{}`: {problem}",
            row.participant, row.session
        );
        check
            .issues
            .push(MapsIssue::new(path, message).at(Some(line)));
    }
}
