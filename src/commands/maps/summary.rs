//! What a MAPS holds, for people and programs.

use std::collections::{BTreeMap, BTreeSet};

use maps::Maps;
use maps::files::{Interval, MetricColumn};
use maps::layout::{TRAIN, VALIDATION};
use serde_json::{Value, json};

use super::unreadable;
use crate::commands::trials::mean_and_deviation;
use crate::failure::Failure;

/// A data group.
pub(super) struct Group {
    pub(super) name: String,
    /// The split that it belongs to; none for a group of all splits.
    pub(super) split: Option<usize>,
    pub(super) participants: usize,
    pub(super) sessions: usize,
    /// Sessions of each label, in a classification.
    pub(super) labels: BTreeMap<String, usize>,
}

/// A selected model.
pub(super) struct Model {
    pub(super) split: usize,
    pub(super) selected_by: String,
    /// Counted from 0; none where the weights do not tell.
    pub(super) epoch: Option<u64>,
    /// Rows of the course of the training.
    pub(super) evaluations: Option<usize>,
}

/// A metric of the models of all splits on a data group.
pub(super) struct Row {
    pub(super) group: String,
    pub(super) selected_by: String,
    pub(super) level: String,
    pub(super) metric: String,
    /// By split.
    pub(super) values: BTreeMap<usize, (f64, Option<Interval>)>,
}

impl Row {
    /// The mean over splits, and its sample deviation with more than one.
    pub(super) fn mean(&self) -> (Option<f64>, Option<f64>) {
        let values: Vec<f64> = self.values.values().map(|(value, _)| *value).collect();
        mean_and_deviation(&values)
    }

    fn json(&self) -> Value {
        let (mean, deviation) = self.mean();
        let splits = self.values.iter().map(|(split, (value, interval))| {
            let interval = interval.map(interval_json);
            json!({ "split": split, "value": value, "interval": interval })
        });
        json!({
            "group": self.group, "selected_by": self.selected_by, "level": self.level,
            "metric": self.metric, "splits": splits.collect::<Vec<_>>(),
            "mean": mean, "standard_deviation": deviation,
        })
    }
}

fn interval_json(interval: Interval) -> Value {
    json!({ "lower": interval.lower, "upper": interval.upper,
            "standard_error": interval.standard_error })
}

/// What to show.
pub(super) struct Filter<'a> {
    pub(super) splits: &'a [usize],
    pub(super) groups: &'a [String],
    /// Columns of metrics tables.
    pub(super) metrics: Vec<String>,
}

impl Filter<'_> {
    pub(super) fn has_split(&self, split: usize) -> bool {
        self.splits.is_empty() || self.splits.contains(&split)
    }

    fn has_group(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|name| name == group)
    }

    /// A metric by its column, or one class of it.
    fn has_metric(&self, column: &str) -> bool {
        let is_it = |name: &String| {
            column == name
                || column.strip_prefix(name.as_str()).is_some_and(|end| {
                    end.strip_prefix('-')
                        .is_some_and(|class| class.parse::<u32>().is_ok())
                })
        };
        self.metrics.is_empty() || self.metrics.iter().any(is_it)
    }
}

pub(super) fn groups(maps: &Maps, filter: &Filter<'_>) -> Result<Vec<Group>, Failure> {
    let task = maps.parameters().network_task();
    let has_classes = task.is_ok_and(|task| task == "classification");
    let mut groups = Vec::new();
    for name in maps
        .groups()
        .map_err(unreadable)?
        .into_iter()
        .filter(|name| filter.has_group(name))
    {
        let is_of_split = [TRAIN, VALIDATION].contains(&name.as_str());
        let mut splits = maps.splits();
        if !is_of_split {
            splits.truncate(1);
        }
        for split in splits {
            if is_of_split && !(filter.has_split(split) && maps.has_group(&name, split)) {
                continue;
            }
            let table = maps.data(&name, split).map_err(unreadable)?;
            let participants: BTreeSet<(&str, &str)> = table
                .rows
                .iter()
                .map(|row| (row.cohort.as_str(), row.participant.as_str()))
                .collect();
            let mut labels: BTreeMap<String, usize> = BTreeMap::new();
            let each = table.rows.iter().filter_map(|row| row.label.clone());
            for label in each.filter(|_| has_classes) {
                *labels.entry(label).or_default() += 1;
            }
            groups.push(Group {
                participants: participants.len(),
                sessions: table.rows.len(),
                labels,
                split: is_of_split.then_some(split),
                name: name.clone(),
            });
        }
    }
    Ok(groups)
}

pub(super) fn models(maps: &Maps, filter: &Filter<'_>) -> Result<Vec<Model>, Failure> {
    let mut models = Vec::new();
    for split in maps
        .splits()
        .into_iter()
        .filter(|&split| filter.has_split(split))
    {
        let evaluations = maps.training(split).ok().map(|table| table.rows().len());
        for selected_by in maps.selection_metrics(split).map_err(unreadable)? {
            // A model for each part has files of other names.
            let is_one = maps.weights_path(split, &selected_by).is_file();
            let epoch = if is_one {
                maps.best_epoch(split, &selected_by).map_err(unreadable)?
            } else {
                None
            };
            models.push(Model {
                split,
                selected_by,
                epoch,
                evaluations,
            });
        }
    }
    Ok(models)
}

/// Every metric, in the order of its tables.
pub(super) fn rows(maps: &Maps, filter: &Filter<'_>) -> Result<Vec<Row>, Failure> {
    let mut rows: Vec<Row> = Vec::new();
    for split in maps
        .splits()
        .into_iter()
        .filter(|&split| filter.has_split(split))
    {
        for selected_by in maps.selection_metrics(split).map_err(unreadable)? {
            for group in maps
                .groups()
                .map_err(unreadable)?
                .into_iter()
                .filter(|name| filter.has_group(name))
            {
                for (level, table) in maps
                    .all_metrics(split, &selected_by, &group)
                    .map_err(unreadable)?
                {
                    for column in table
                        .columns
                        .into_iter()
                        .filter(|c| filter.has_metric(&c.name))
                    {
                        let is_it = |row: &&mut Row| {
                            row.group == group
                                && row.selected_by == selected_by
                                && row.level == level
                                && row.metric == column.name
                        };
                        let value = (column.value, column.interval);
                        match rows.iter_mut().find(is_it) {
                            Some(row) => {
                                row.values.insert(split, value);
                            }
                            None => rows.push(Row {
                                group: group.clone(),
                                selected_by: selected_by.clone(),
                                level: level.to_owned(),
                                metric: column.name,
                                values: BTreeMap::from([(split, value)]),
                            }),
                        }
                    }
                }
            }
        }
    }
    Ok(rows)
}

/// A metric of an ensemble of the models of all splits.
pub(super) struct Joined {
    pub(super) ensemble: String,
    pub(super) group: String,
    pub(super) selected_by: String,
    pub(super) level: &'static str,
    pub(super) column: MetricColumn,
}

impl Joined {
    fn json(&self) -> Value {
        json!({
            "ensemble": self.ensemble, "group": self.group, "selected_by": self.selected_by,
            "level": self.level, "metric": self.column.name, "value": self.column.value,
            "interval": self.column.interval.map(interval_json),
        })
    }
}

/// Every metric of the ensembles, in the order of their tables.
pub(super) fn joined(maps: &Maps, filter: &Filter<'_>) -> Result<Vec<Joined>, Failure> {
    let mut rows = Vec::new();
    for ensemble in maps.ensembles().map_err(unreadable)? {
        for selected_by in maps.ensemble_selections(&ensemble).map_err(unreadable)? {
            let groups = maps.groups().map_err(unreadable)?.into_iter();
            for group in groups.filter(|name| filter.has_group(name)) {
                let tables = maps.ensemble_metrics(&ensemble, &selected_by, &group);
                for (level, table) in tables.map_err(unreadable)? {
                    let columns = table.columns.into_iter();
                    rows.extend(
                        columns
                            .filter(|c| filter.has_metric(&c.name))
                            .map(|column| Joined {
                                ensemble: ensemble.clone(),
                                group: group.clone(),
                                selected_by: selected_by.clone(),
                                level,
                                column,
                            }),
                    );
                }
            }
        }
    }
    Ok(rows)
}

/// Everything for programs.
pub(super) fn json(
    maps: &Maps,
    groups: &[Group],
    models: &[Model],
    rows: &[Row],
    joined: &[Joined],
) -> Value {
    let parameters = maps.parameters();
    let groups = groups.iter().map(|group| {
        json!({ "name": group.name, "split": group.split, "participants": group.participants,
                "sessions": group.sessions, "labels": group.labels })
    });
    let models = models.iter().map(|model| {
        json!({ "split": model.split, "selected_by": model.selected_by, "epoch": model.epoch,
                "evaluations": model.evaluations })
    });
    json!({
        "maps": maps.folder(),
        "network": parameters.architecture().ok(),
        "task": parameters.network_task().ok(),
        "label": parameters.label().ok().flatten(),
        "label_code": parameters.label_code().ok(),
        "mode": parameters.mode().ok(),
        "input_size": parameters.input_size().ok(),
        "splits": maps.splits(),
        "groups": groups.collect::<Vec<_>>(),
        "models": models.collect::<Vec<_>>(),
        "metrics": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "ensembles": joined.iter().map(Joined::json).collect::<Vec<_>>(),
        "parameters": parameters.fields(),
    })
}
