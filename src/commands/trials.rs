//! The trials of a search: which of them failed, and the table that ranks them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use ::maps::Maps;
use engine::FailureKind;
use engine::exec::{ActionOutcome, RunReport};
use engine::manifest::{Goal, Manifest, Publication, Search};
use engine::store::write_atomically;
use engine::verify::MetricNames;
use serde_json::{Value, json};

use super::cells::{Cell, groups};
use super::run::finished;
use crate::failure::{Code, Failure, warn};

/// The table of trials, beside their folders.
const RANKING: &str = "ranking.tsv";
/// The columns that every such table begins with.
const HEAD: [&str; 3] = ["rank", "status", "epochs"];
/// Trials that a run tells of.
const TOLD: usize = 5;

/// Trials that could not be finished: why, by label.
pub(super) type Failed = BTreeMap<String, String>;

/// The trials that failed, if others did not.
///
/// # Errors
/// Actions are missing for another reason than that a trial fails by itself.
pub(super) fn failed(manifest: &Manifest, report: &RunReport) -> Result<Failed, Failure> {
    let missing = missing(report);
    if missing.is_empty() {
        finished(report)?;
        return Ok(Failed::new());
    }
    let are_own = report
        .failures()
        .all(|(_, error)| error.kind == FailureKind::Failed);
    let is_own = |stage: &&str| manifest.is_of_some_trials(stage);
    if !are_own || report.interrupted || !missing.keys().all(is_own) {
        finished(report)?;
    }
    let why = |trial: &Publication| {
        let mut stages = trial.stages.values();
        stages.find_map(|stage| missing.get(stage.as_str()).cloned())
    };
    let trials = manifest.publications().iter();
    let failed: Failed = trials
        .filter_map(|trial| Some((trial.label.clone(), why(trial)?)))
        .collect();
    if failed.len() == manifest.publications().len() {
        finished(report)?;
    }
    for (trial, message) in &failed {
        warn(&format!("trial `{trial}` failed: {message}"), "");
    }
    Ok(failed)
}

/// Why stages have no result, by name: their first action that has none.
fn missing(report: &RunReport) -> BTreeMap<&str, String> {
    let mut missing = BTreeMap::new();
    for action in &report.actions {
        let why = match &action.outcome {
            ActionOutcome::Failed { error } => format!("`{}`: {}", action.action, error.message),
            ActionOutcome::Skipped { because } => format!("`{because}` failed"),
            ActionOutcome::NotReached => format!("`{}` was not reached", action.action),
            ActionOutcome::Hit | ActionOutcome::Ran { .. } => continue,
        };
        missing.entry(action.stage_name.as_str()).or_insert(why);
    }
    missing
}

/// Trials, the best one first.
pub(super) struct Ranking<'a> {
    search: &'a Search,
    goal: Goal,
    trials: Vec<Trial<'a>>,
}

struct Trial<'a> {
    publication: &'a Publication,
    status: &'static str,
    /// Epochs of each split.
    epochs: Vec<u64>,
    /// The metric on each split.
    values: Vec<f64>,
    message: &'a str,
}

impl<'a> Ranking<'a> {
    /// Ranks the trials of a search, whose folders were published; `None` of other manifests.
    ///
    /// # Errors
    /// There is no such metric, or several.
    pub(super) fn of(
        manifest: &'a Manifest,
        cells: &[Cell<'a>],
        failed: &'a Failed,
    ) -> Result<Option<Self>, Failure> {
        let Some(search) = &manifest.search else {
            return Ok(None);
        };
        let goal = search.goal.unwrap_or(goal_of(&search.metric));
        let mut trials = Vec::new();
        for cell in cells {
            let stages = groups(manifest, cell.publication);
            let names = MetricNames {
                values: &cell.results.metrics,
                stages: &stages,
            };
            let values = names.only(&search.metric).map_err(|message| {
                Failure::new(Code::Invalid, format!("`search.metric`: {message}"))
            })?;
            let (epochs, asked) = epochs_of(cell.publication.maps.as_deref());
            let is_early = epochs.iter().any(|&epochs| epochs < asked);
            trials.push(Trial {
                publication: cell.publication,
                status: if is_early {
                    "stopped early"
                } else {
                    "finished"
                },
                epochs,
                values,
                message: "",
            });
        }
        // Those that failed are last, as they have no value.
        for publication in manifest.publications() {
            if let Some(message) = failed.get(&publication.label) {
                trials.push(Trial {
                    publication,
                    status: "failed",
                    epochs: Vec::new(),
                    values: Vec::new(),
                    message,
                });
            }
        }
        trials.sort_by(|a, b| compare(goal, a, b));
        Ok(Some(Self {
            search,
            goal,
            trials,
        }))
    }

    /// Writes the table beside the folders of the trials, if they are in one; gives its place.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self) -> Result<Option<PathBuf>, Failure> {
        let mut parents = self.trials.iter().map(|trial| {
            let maps = trial.publication.maps.as_deref()?;
            maps.parent()
        });
        let Some(Some(parent)) = parents.next() else {
            return Ok(None);
        };
        if !parents.all(|other| other == Some(parent)) {
            return Ok(None);
        }
        let path = parent.join(RANKING);
        let text = self.table();
        let before = std::fs::read(&path).unwrap_or_default();
        if before == text.as_bytes() {
            return Ok(Some(path));
        }
        if !before.is_empty() && !before.starts_with(HEAD.join("\t").as_bytes()) {
            let path = path.display();
            warn(
                &format!("`{path}` is no ranking of trials, and stays as it is"),
                "move it away, and run again to have the ranking there",
            );
            return Ok(None);
        }
        write_atomically(&path, text.as_bytes()).map_err(|error| {
            let message = format!("failed to write `{}`: {error}", path.display());
            Failure::new(Code::Environment, message)
        })?;
        Ok(Some(path))
    }

    fn table(&self) -> String {
        let names = self.param_names();
        let mut header = HEAD.map(str::to_owned).to_vec();
        header.extend([self.search.metric.clone(), "sd".to_owned()]);
        header.extend(names.iter().map(|name| (*name).to_owned()));
        header.push("message".to_owned());
        let mut rows = vec![header];
        for (place, trial) in (1..).zip(&self.trials) {
            let epochs: Vec<String> = trial.epochs.iter().map(u64::to_string).collect();
            let (mean, deviation) = mean_and_deviation(&trial.values);
            let number = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
            let mut row = vec![
                place.to_string(),
                trial.status.to_owned(),
                epochs.join(","),
                number(mean),
                number(deviation),
            ];
            let given = |name: &&str| trial.publication.params.get(*name);
            let values = names
                .iter()
                .map(|name| given(name).map_or(String::new(), plain));
            row.extend(values);
            row.push(one_line(trial.message));
            rows.push(row);
        }
        rows.iter().map(|row| row.join("\t") + "\n").collect()
    }

    fn param_names(&self) -> Vec<&str> {
        let first = self.trials.first();
        let params = first.map(|trial| trial.publication.params.keys());
        params.into_iter().flatten().map(String::as_str).collect()
    }

    /// The best trials, for people.
    pub(super) fn text(&self, path: Option<&Path>) -> String {
        let mut text = String::new();
        let better = match self.goal {
            Goal::Minimize => "less",
            Goal::Maximize => "more",
        };
        let (count, metric) = (self.trials.len(), &self.search.metric);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{count} trials by {metric}, {better} is better:");
        for (place, trial) in (1..).zip(self.trials.iter().take(TOLD)) {
            let label = &trial.publication.label;
            let value = match mean_and_deviation(&trial.values) {
                (Some(mean), Some(deviation)) => format!("{mean:.4} ± {deviation:.4}"),
                (Some(mean), None) => format!("{mean:.4}"),
                (None, _) => trial.status.to_owned(),
            };
            let _ = writeln!(text, "  {place}. {value}  {label}");
        }
        if let Some(path) = path {
            let _ = writeln!(text, "ranking: {}", path.display());
        }
        text
    }

    /// The trials for programs.
    pub(super) fn json(&self) -> Value {
        let trials = self.trials.iter().map(|trial| {
            json!({
                "params": trial.publication.params, "status": trial.status,
                "epochs": trial.epochs, "values": trial.values, "message": trial.message,
            })
        });
        trials.collect()
    }
}

/// Better trials first; a value that is no number, or none, is the worst.
fn compare(goal: Goal, a: &Trial<'_>, b: &Trial<'_>) -> Ordering {
    let mean = |trial: &Trial<'_>| mean_and_deviation(&trial.values).0.unwrap_or(f64::NAN);
    goal.compare(mean(a), mean(b))
}

/// The mean, and the sample standard deviation of two values or more.
#[expect(clippy::cast_precision_loss, reason = "there are few splits")]
pub(super) fn mean_and_deviation(values: &[f64]) -> (Option<f64>, Option<f64>) {
    let count = values.len() as f64;
    if values.is_empty() {
        return (None, None);
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
    (Some(mean), deviation)
}

/// What is better of a metric; losses are no metrics of predictions, and are minimised.
fn goal_of(reference: &str) -> Goal {
    let name = reference.rsplit('.').next().unwrap_or_default();
    match stages::metrics::find(name) {
        Some(metric) if metric.higher_is_better => Goal::Maximize,
        _ => Goal::Minimize,
    }
}

/// The epochs of each split of a published MAPS, and how many were asked for; none of another folder.
fn epochs_of(folder: Option<&Path>) -> (Vec<u64>, u64) {
    let Some(maps) = folder.and_then(|folder| Maps::open(folder).ok()) else {
        return (Vec::new(), 0);
    };
    let asked = maps.parameters().fields().get("epochs");
    let asked = asked.and_then(Value::as_u64).unwrap_or(0);
    let epochs = maps.splits().into_iter().filter_map(|split| {
        let table = maps.training(split).ok()?;
        table.rows().iter().map(|row| row.epoch + 1).max()
    });
    (epochs.collect(), asked)
}

/// A value of a param as it is in a table.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => one_line(text),
        other => other.to_string(),
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\t', '\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_its_mean_over_splits_with_their_sample_deviation() {
        assert_eq!(mean_and_deviation(&[]), (None, None));
        assert_eq!(mean_and_deviation(&[2.5]), (Some(2.5), None));
        // statistics.stdev([1, 2, 4]) of Python: the square root of 7/3.
        let (mean, deviation) = mean_and_deviation(&[1.0, 2.0, 4.0]);
        assert!((mean.unwrap() - 7.0 / 3.0).abs() < 1e-15);
        assert!((deviation.unwrap() - 1.527_525_231_651_946_8).abs() < 1e-15);
    }

    #[test]
    fn errors_are_minimised_and_the_others_maximised() {
        for (metric, goal) in [
            ("validation.loss", Goal::Minimize),
            ("validation.best-loss.balanced_accuracy", Goal::Maximize),
            ("validation.MAE", Goal::Minimize),
            ("validation.R2_score", Goal::Maximize),
        ] {
            assert_eq!(goal_of(metric), goal, "{metric}");
        }
    }
}
