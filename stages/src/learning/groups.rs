//! Data groups that a manifest gives to two predictions: their tables would be one file of the MAPS.

use engine::Stage;
use engine::manifest::{Issue, Manifest, ResolvedStage, Severity};
use serde_json::Value;

use super::Predict;

/// Every two predictions of one model that write tables of the same data group into the same MAPS.
///
/// Publishing refuses files with two contents; a manifest tells it before anything is predicted.
pub fn clashes(manifest: &Manifest) -> Vec<Issue> {
    let mut issues: Vec<Issue> = Vec::new();
    for publication in manifest.publications() {
        if publication.maps.is_none() {
            continue;
        }
        let stages = publication.stages.values();
        let stages = stages.filter_map(|name| Some((name, manifest.stages.get(name)?)));
        let predictions: Vec<(&String, &ResolvedStage)> = stages
            .filter(|(_, stage)| stage.stage.id() == Predict::ID)
            .collect();
        for (i, (name, stage)) in predictions.iter().enumerate() {
            let Some((first, _)) = predictions[..i]
                .iter()
                .find(|(_, other)| clash(other, stage))
            else {
                continue;
            };
            let group = group_of(stage).unwrap_or_default();
            let issue = Issue {
                severity: Severity::Error,
                file: manifest.path.clone(),
                line: None,
                column: None,
                key: format!("stages.{name}.with.data_group"),
                message: format!(
                    "`{first}` and `{name}` both predict data group `{group}` with the same models: their \
                     tables would be one file"
                ),
                hint: Some("give each a `data_group` of its own".to_owned()),
            };
            // Cells of a matrix may share both.
            if !issues.iter().any(|known| known.key == issue.key) {
                issues.push(issue);
            }
        }
    }
    issues
}

fn group_of(stage: &ResolvedStage) -> Option<&str> {
    stage.params.get("data_group").and_then(Value::as_str)
}

/// Whether two predictions, which are not the same, have a file in common.
fn clash(one: &ResolvedStage, other: &ResolvedStage) -> bool {
    let same = |name: &str| one.inputs.get(name) == other.inputs.get(name);
    if group_of(one) != group_of(other) || !same("model") {
        return false;
    }
    let is_apart = |a: &[String], b: &[String]| {
        !a.is_empty() && !b.is_empty() && !a.iter().any(|name| b.contains(name))
    };
    let texts =
        |values: &[usize]| -> Vec<String> { values.iter().map(ToString::to_string).collect() };
    let splits = |stage: &ResolvedStage| texts(stage.splits.as_deref().unwrap_or_default());
    let metrics = |stage: &ResolvedStage| -> Vec<String> {
        let names = stage
            .params
            .get("selection_metrics")
            .and_then(Value::as_array);
        let names = names.into_iter().flatten().filter_map(Value::as_str);
        names.map(str::to_owned).collect()
    };
    // The list of participants of a group is one file for all splits and models.
    if !same("participants") {
        return true;
    }
    let is_equal = one.params == other.params && one.inputs == other.inputs;
    !is_equal
        && !is_apart(&splits(one), &splits(other))
        && !is_apart(&metrics(one), &metrics(other))
}
