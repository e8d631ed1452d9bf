//! Declarations of the learning stages: parameters, ports and checks, without libtorch.
//!
//! What they do is implemented in the crate `stages-torch`, which runs in the worker. Everything that
//! a manifest can get wrong is noticed here, before anything runs.

pub mod attribution;
mod config;
pub mod export;
pub mod groups;
pub mod images;
pub mod interpret;
pub mod labels;
pub mod names;
pub mod networks;
pub mod optimizers;
pub mod options;
pub mod predict;
mod random_search;
mod recorded;
pub mod schedulers;
pub mod train;

pub use export::{Export, ExportParams};
pub use interpret::{Interpret, InterpretParams};
pub use predict::{Predict, PredictParams};
pub use recorded::record;
pub use train::{Train, TrainParams};

use engine::ParamIssue;
use maps::layout::{IMAGE_LEVEL, LEVELS, SplitPath, VALIDATION, model_of, selection_metric_of};

use self::names::Task;
use crate::metrics;

/// The selection metric that is no metric of predictions: the mean loss over samples.
pub const LOSS: &str = "loss";

/// The name of a selection metric in folders and files of a MAPS: `loss`, or a metric's column name.
///
/// Metrics are known by their ID (`balanced_accuracy`) and by their column name (`BA`).
pub fn selection_column(name: &str) -> Option<&'static str> {
    if name == LOSS {
        return Some(LOSS);
    }
    metrics::find(name).map(|metric| metric.column)
}

/// Problems of a list of selection metrics: repetitions, and names that are unknown, or unknown to the
/// task where that is given.
pub(crate) fn check_selection_metrics(names: &[String], task: Option<Task>) -> Vec<ParamIssue> {
    let mut issues = Vec::new();
    let known = |name: &str| match task {
        Some(task) if name != LOSS => metrics::find_in(task, name).map(|metric| metric.column),
        _ => selection_column(name),
    };
    for (i, name) in names.iter().enumerate() {
        let mut refuse = |message: String| {
            issues.push(ParamIssue::new(format!("selection_metrics[{i}]"), message));
        };
        match known(name) {
            None => {
                let of_task = task.map_or(String::new(), |task| format!(" of {}", task.name()));
                let known = known_metrics(task);
                refuse(format!(
                    "unknown selection metric `{name}`, expected one{of_task}: {known}"
                ));
            }
            column if names[..i].iter().any(|earlier| known(earlier) == column) => {
                refuse(format!("selection metric `{name}` is listed twice"));
            }
            Some(_) => {}
        }
    }
    issues
}

fn known_metrics(task: Option<Task>) -> String {
    let tasks = task.map_or(Task::ALL.to_vec(), |task| vec![task]);
    let metrics = tasks.into_iter().flat_map(metrics::columns);
    let mut names = vec![format!("`{LOSS}`")];
    for metric in metrics {
        let name = format!("`{}`", metric.id);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

/// Whether a name can be a folder of a MAPS: letters, digits, `.`, `_`, `-`, `+`, not starting with a dot.
pub(crate) fn is_folder_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".-_+".contains(c))
}

/// Problems of the name of a data group, which is a folder of the MAPS.
pub(crate) fn check_data_group(name: &str) -> Vec<ParamIssue> {
    let message = if matches!(name, "train" | "validation" | "train+validation") {
        format!("`{name}` is the name of a group made by training, choose another")
    } else if is_folder_name(name) {
        return Vec::new();
    } else {
        format!("`{name}` cannot be a folder name, use letters, digits, `-`, `_`, `.` and `+`")
    };
    vec![ParamIssue::new("data_group", message)]
}

/// The part of a path below a folder `split-<i>`, for a per-split input that is seen whole.
pub(crate) fn inside_split(path: &str) -> &str {
    match path.split_once('/') {
        Some((first, rest)) if first.starts_with("split-") => rest,
        _ => path,
    }
}

/// Which files of a trained model prediction needs: parameters, groups and the chosen weights.
fn selects_model_file(metrics: &[String], path: &str) -> bool {
    let path = inside_split(path);
    if matches!(
        path,
        "maps.json"
            | "network.pt"
            | "groups/train+validation.tsv"
            | "leakage/seen.tsv"
            | "leakage/training.json"
    ) {
        return true;
    }
    model_of(path).is_some_and(|(metric, _)| is_chosen(metrics, metric))
}

/// Whether a file can be a model that `export` wrote.
fn selects_exported_file(metrics: &[String], path: &str) -> bool {
    let name = inside_split(path).strip_suffix(".pt");
    let metric = name.map(|name| match name.strip_prefix(OF_NETWORK) {
        Some(of_part) => of_part.split_once('_').map_or("", |(_, metric)| metric),
        None => name,
    });
    metric.is_some_and(|metric| !metric.contains('/') && is_chosen(metrics, metric))
}

/// What `export` calls the network of a part, or of all parts: `<metric>.pt`, `network-<k>_<metric>.pt`.
pub fn exported_file(metric: &str, part: Option<usize>) -> String {
    match part {
        None => format!("{metric}.pt"),
        Some(part) => format!("{OF_NETWORK}{part}_{metric}.pt"),
    }
}

/// The start of names of networks of parts.
const OF_NETWORK: &str = "network-";

/// Which files of a trained model tell how good parts are: their weights, or what they are made of.
fn selects_voting_file(metrics: &[String], path: &str) -> bool {
    let path = inside_split(path);
    let folder = path.split('/').next().unwrap_or_default();
    let Some(metric) = selection_metric_of(folder).filter(|metric| is_chosen(metrics, metric))
    else {
        return false;
    };
    let validation = LEVELS.into_iter().filter(|level| *level != IMAGE_LEVEL);
    let mut files = validation
        .map(|level| SplitPath::Prediction {
            metric,
            group: VALIDATION,
            level,
        })
        .chain([SplitPath::Voting { metric }]);
    files.any(|file| file.in_artifact() == path)
}

/// Whether models of a selection metric, by its column name, are wanted.
fn is_chosen(metrics: &[String], column: &str) -> bool {
    let mut names = metrics.iter();
    metrics.is_empty() || names.any(|name| selection_column(name) == Some(column))
}

/// Which files of extracted tensors learning needs.
pub(crate) fn selects_tensor_file(path: &str) -> bool {
    matches!(path, "images.tsv" | "extraction.json")
        || path.starts_with("regions/")
        || (path.starts_with("images/") && path.ends_with(".safetensors"))
}

#[cfg(test)]
mod tests;
