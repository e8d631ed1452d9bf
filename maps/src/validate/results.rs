//! Splits: that weights load, and that tables are about the sessions of their data group.

use std::collections::BTreeMap;

use std::collections::BTreeSet;

use crate::MapsError;
use crate::files::{
    MeasuredTable, MetricsTable, PredictionTable, Session, TrainingTable, VotingTable,
};
use crate::layout::{
    GROUPS, IMAGE_LEVEL, LEVELS, SplitPath, TRAIN, VALIDATION, selection_metric_of,
};
use crate::weights::{ArrayData, Weights, WeightsError, read_pth, read_safetensors};

use super::groups::{Groups, Sessions};
use super::{Check, Facts};
use crate::folder::is_nameless;

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
        for network in &facts.networks {
            let path = format!("{split}/{}", SplitPath::Training.of_network(*network));
            check.read(&path, TrainingTable::read);
            if facts.has_two_domains {
                let path = format!("{split}/{}", SplitPath::TrainingTarget);
                check.read(&path, TrainingTable::read);
            }
        }
        for metric in found {
            for network in &facts.networks {
                check_weights(check, (split, metric, *network), facts);
            }
            if facts.networks.is_empty() {
                check_any_weights(check, &format!("{split}/best-{metric}"));
            } else {
                check_tables(check, split, metric, facts, groups);
            }
            let voting = format!("{split}/{}", SplitPath::Voting { metric });
            if check.exists(&voting) {
                check.read(&voting, VotingTable::read);
            }
        }
    }
}

fn check_weights(
    check: &mut Check,
    (split, metric, network): (&str, &str, Option<usize>),
    facts: &Facts,
) {
    let path = SplitPath::Model { metric }.of_network(network);
    let path = format!("{split}/{path}");
    let Some(checkpoint) = check.read(&path, wrap(read_pth)) else {
        return;
    };
    if let (Some(name), Some(expected)) = (&checkpoint.name, &facts.architecture)
        && name != expected
    {
        let message = format!("holds weights of `{name}`, expected `{expected}` as in `maps.json`");
        check.report(&path, message);
    }
    for (name, array) in &checkpoint.model {
        if !is_finite(array.data()) {
            check.report(
                &path,
                format!("tensor `{name}` has values that are not finite"),
            );
        }
    }
    let safe = SplitPath::Safetensors { metric }.of_network(network);
    let safe = format!("{split}/{safe}");
    if check.exists(&safe)
        && let Some(weights) = check.read(&safe, wrap(read_safetensors))
        && !same(&weights, &checkpoint.model)
    {
        check.report(&safe, format!("holds other weights than `{path}`"));
    }
}

/// The model, or the models of several networks, of a training of which nothing is known.
fn check_any_weights(check: &mut Check, folder: &str) {
    let names: Vec<String> = match std::fs::read_dir(check.folder.join(folder)) {
        Ok(entries) => entries
            .filter_map(|entry| entry.ok()?.file_name().to_str().map(str::to_owned))
            .filter(|name| name.ends_with("model.pth.tar"))
            .collect(),
        Err(_) => Vec::new(),
    };
    if names.is_empty() {
        check.report(folder, "has no weights `model.pth.tar`");
    }
    for name in names {
        check.read(&format!("{folder}/{name}"), wrap(read_pth));
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

fn check_tables(check: &mut Check, split: &str, metric: &str, facts: &Facts, groups: &Groups) {
    let folder = format!("{split}/best-{metric}");
    for group in check.subfolders(&folder) {
        let group = group.as_str();
        let prediction = |level: &'static str| SplitPath::Prediction {
            metric,
            group,
            level,
        };
        // Parts have tables, and so may have the images that they belong to; a group that was only
        // interpreted has none.
        let levels: Vec<&'static str> = LEVELS
            .into_iter()
            .filter(|level| check.exists(&format!("{split}/{}", prediction(level))))
            .collect();
        for level in LEVELS {
            let metrics = SplitPath::Metrics {
                metric,
                group,
                level,
            };
            let path = format!("{split}/{metrics}");
            if check.exists(&path)
                && let Some(metrics) = check.read(&path, MetricsTable::read)
                && metrics.columns.is_empty()
            {
                check.report(&path, "has no metric");
            }
        }
        let data = match group {
            TRAIN | VALIDATION => format!("{GROUPS}/{group}/{split}"),
            _ => format!("{GROUPS}/{group}"),
        };
        for level in &levels {
            let path = format!("{split}/{}", prediction(level));
            // ClinicaDL 1.6.1 forgets whose predictions these are where images have one part.
            let is_image = *level == IMAGE_LEVEL && levels.len() > 1;
            if is_image && is_nameless(&check.folder.join(&path)) {
                continue;
            }
            let predicted = match facts.columns {
                None => read_classes(check, &path, facts.n_classes),
                Some(columns) => read_numbers(check, &path, columns),
            };
            let Some(predicted) = predicted else {
                continue;
            };
            match groups.get(&data) {
                Some(sessions) => check_sessions(check, &path, &predicted, sessions, &data),
                None => check.report(&path, format!("belongs to no data group `{data}`")),
            }
        }
    }
}

/// Whom a table of predictions is about.
struct Predicted {
    level: String,
    rows: Vec<(Session, u32)>,
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
    Some(Predicted {
        level: table.level().to_owned(),
        rows: rows.collect(),
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
    for row in table.rows() {
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
        check.report(path, message);
    }
}
