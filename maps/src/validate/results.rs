//! Splits: that weights load, and that tables are about the sessions of their data group.

use std::collections::BTreeMap;

use std::collections::BTreeSet;

use crate::MapsError;
use crate::files::{
    MeasuredTable, MetricsTable, PredictionTable, Session, TrainingTable, attribution_tsv,
};
use crate::layout::{
    GROUPS, IMAGE_LEVEL, LEVELS, MapTable, SplitPath, TRAIN, VALIDATION, interpretation_of,
    selection_metric_of,
};
use crate::weights::{ArrayData, Weights, WeightsError, read_pth, read_safetensors};

use super::groups::{Groups, Sessions};
use super::{Check, Facts};

/// Probabilities are float32 and rounded: their sum may miss 1 by this much.
const SUM_TOLERANCE: f32 = 1e-4;

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
        if facts.is_image_level {
            let path = format!("{split}/{}", SplitPath::Training);
            check.read(&path, TrainingTable::read);
        }
        for metric in found {
            if facts.is_image_level {
                check_weights(check, split, metric, facts);
                check_tables(check, split, metric, facts, groups);
            } else {
                check_part_weights(check, &format!("{split}/best-{metric}"));
            }
        }
    }
}

fn check_weights(check: &mut Check, split: &str, metric: &str, facts: &Facts) {
    let path = format!("{split}/{}", SplitPath::Model { metric });
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
    let safe = format!("{split}/{}", SplitPath::Safetensors { metric });
    if check.exists(&safe)
        && let Some(weights) = check.read(&safe, wrap(read_safetensors))
        && !same(&weights, &checkpoint.model)
    {
        check.report(&safe, format!("holds other weights than `{path}`"));
    }
}

/// The model, or the models of several networks, of a training on parts of images.
fn check_part_weights(check: &mut Check, folder: &str) {
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
        let there = |level: &&&'static str| check.exists(&format!("{split}/{}", prediction(level)));
        let level = LEVELS.iter().find(there).copied().unwrap_or(IMAGE_LEVEL);
        let path = format!("{split}/{}", prediction(level));
        let metrics = SplitPath::Metrics {
            metric,
            group,
            level,
        };
        let metrics_path = format!("{split}/{metrics}");
        if check.exists(&metrics_path)
            && let Some(metrics) = check.read(&metrics_path, MetricsTable::read)
            && metrics.columns.is_empty()
        {
            check.report(&metrics_path, "has no metric");
        }
        check_interpretations(check, split, metric, group);
        // A group that was only interpreted has no predictions.
        if !check.exists(&path) {
            continue;
        }
        let predicted = match facts.columns {
            None => read_classes(check, &path, facts.n_classes),
            Some(columns) => read_numbers(check, &path, columns),
        };
        let Some(predicted) = predicted else {
            continue;
        };
        let data = match group {
            TRAIN | VALIDATION => format!("{GROUPS}/{group}/{split}"),
            _ => format!("{GROUPS}/{group}"),
        };
        match groups.get(&data) {
            Some(sessions) => check_sessions(check, &path, &predicted, sessions, &data),
            None => check.report(&path, format!("belongs to no data group `{data}`")),
        }
    }
}

/// The attribution maps of a data group, and the tables about them.
fn check_interpretations(check: &mut Check, split: &str, metric: &str, group: &str) {
    let folder = format!("{split}/best-{metric}/{group}");
    for interpretation in check.subfolders(&folder) {
        let Some(name) = interpretation_of(&interpretation) else {
            continue;
        };
        for table in MapTable::ALL {
            let path = SplitPath::AttributionTable {
                metric,
                group,
                name,
                table,
            };
            let path = format!("{split}/{path}");
            if check.exists(&path) {
                check.read(&path, |bytes, file| {
                    attribution_tsv::check(table, bytes, file)
                });
            }
        }
        let path = format!("{folder}/{interpretation}");
        let has_mean = std::fs::read_dir(check.folder.join(&path)).is_ok_and(|entries| {
            let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            names.any(|name| name.starts_with("mean_") && name.ends_with("_map.pt"))
        });
        if !has_mean {
            check.report(&path, "has no mean map `mean_<mode>-<part>_map.pt`");
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
        let sum: f32 = row.probabilities.iter().sum();
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
