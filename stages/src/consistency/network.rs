//! Parameters and weights against the networks of this program.

use std::collections::BTreeMap;

use maps::files::MapsJson;
use maps::{Maps, MapsIssue};
use serde_json::{Map, Value};

use super::{relative, shapes};
use crate::learning::names::{LossName, Task};
use crate::learning::networks::{NetworkParams, declared};

/// What of the parameters this program cannot do.
///
/// ```
/// use maps::files::{MapsJson, TrainingParams};
/// use stages::consistency::unsupported;
///
/// let mut params = TrainingParams::default();
/// assert!(unsupported(&MapsJson::of_training(&params)).is_empty());
/// params.architecture = "Conv7_FC2".to_owned();
/// let messages = unsupported(&MapsJson::of_training(&params));
/// assert!(messages[0].starts_with("network `Conv7_FC2` is not known here"));
/// ```
pub fn unsupported(parameters: &MapsJson) -> Vec<String> {
    let mut messages = Vec::new();
    let name = parameters.architecture().unwrap_or_default();
    match declared(name) {
        None => messages.push(format!(
            "network `{name}` is not known here: its weights can be read, and not applied"
        )),
        Some(network) => {
            let names = (network.options.names)().into_iter();
            let given: Map<String, Value> = names
                .filter_map(|name| Some((name.to_owned(), parameters.fields().get(name)?.clone())))
                .collect();
            let problems = NetworkParams::new(name, given).problems().into_iter();
            messages.extend(problems.map(|problem| {
                format!(
                    "option `{}` of `{name}`: {}",
                    problem.field, problem.message
                )
            }));
        }
    }
    let task = parameters.network_task().unwrap_or_default();
    if !Task::ALL.iter().any(|known| known.name() == task) {
        messages.push(format!("task `{task}` is not known here"));
    }
    if let Ok(loss) = parameters.text("loss")
        && !LossName::ALL.iter().any(|known| known.name() == loss)
    {
        messages.push(format!(
            "loss `{loss}` is not known here: its model cannot be applied"
        ));
    }
    messages
}

/// Compares the weights of a model with what its network needs, where that is known.
pub(super) fn check(maps: &Maps, split: usize, metric: &str) -> Vec<MapsIssue> {
    let parameters = maps.parameters();
    let (Ok(network), Ok(input)) = (parameters.architecture(), parameters.input_size()) else {
        return Vec::new();
    };
    let outputs = parameters.output_size().unwrap_or(0);
    let path = maps.weights_path(split, metric);
    let (Some(expected), true) = (shapes::tensors(network, &input, outputs), path.is_file()) else {
        return Vec::new();
    };
    let Ok(weights) = maps.state_dict(split, metric) else {
        return Vec::new();
    };
    let file = relative(maps, &path);
    let expected: BTreeMap<String, Vec<usize>> = expected.into_iter().collect();
    let missing = expected.keys().filter(|name| !weights.contains_key(*name));
    let others = weights.keys().filter(|name| !expected.contains_key(*name));
    let mut messages = Vec::new();
    for (names, what) in [
        (
            missing.collect::<Vec<_>>(),
            format!("is missing in weights of `{network}`"),
        ),
        (others.collect(), format!("is none of `{network}`")),
    ] {
        let others = names.len().saturating_sub(1);
        if let Some(first) = names.first() {
            let more = match others {
                0 => String::new(),
                others => format!(", and {others} more"),
            };
            messages.push(format!("tensor `{first}` {what}{more}"));
        }
    }
    for (name, shape) in &expected {
        if let Some(array) = weights.get(name).filter(|array| array.shape() != shape) {
            messages.push(format!(
                "tensor `{name}` has shape {:?}, expected {shape:?} in `{network}`",
                array.shape()
            ));
        }
    }
    let issues = messages.into_iter();
    issues
        .map(|message| MapsIssue::new(&file, message))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use maps::layout::SplitPath;
    use maps::weights::{Checkpoint, Weights, write_pth};

    use super::*;

    #[test]
    fn tensors_that_a_network_has_not_or_needs_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = SplitPath::Model { metric: "loss" }.in_maps(0);
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/reference/learning/maps"
        );
        let source = std::path::Path::new(source);
        fs::copy(source.join("maps.json"), folder.path().join("maps.json")).unwrap();
        let whole = Maps::open(source).unwrap();
        let metric = whole.only_metric(0).unwrap().unwrap();
        assert_eq!(check(&whole, 0, &metric), []);
        let mut model: Weights = whole.state_dict(0, &metric).unwrap();
        let array = model.shift_remove("fc.6.bias").unwrap();
        model.insert("fc.8.bias".to_owned(), array);
        let dense = model["fc.6.weight"].clone();
        model.insert("fc.4.weight".to_owned(), dense);
        let checkpoint = Checkpoint {
            model,
            ..Checkpoint::default()
        };
        fs::write(&path, write_pth(&checkpoint)).unwrap();
        let issues = check(&Maps::open(folder.path()).unwrap(), 0, "loss");
        let messages: Vec<&str> = issues.iter().map(|issue| issue.message.as_str()).collect();
        assert_eq!(messages.len(), 3, "{messages:?}");
        assert_eq!(
            messages[0],
            "tensor `fc.6.bias` is missing in weights of `Conv5_FC3`"
        );
        assert_eq!(messages[1], "tensor `fc.8.bias` is none of `Conv5_FC3`");
        assert!(
            messages[2].starts_with("tensor `fc.4.weight` has shape"),
            "{messages:?}"
        );
    }
}
