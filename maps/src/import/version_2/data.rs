//! Data groups, and what models say of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::ImportError;
use super::super::draft::Draft;
use super::splits::{metrics, named};
use super::{Facts, json};
use crate::MapsError;
use crate::files::{
    DataRow, DataTable, GroupJson, SINGLE_COHORT, Session, SessionsTable, python_repr,
};
use crate::layout::{
    GROUPS, MAPS_JSON, SplitPath, TRAIN, TRAIN_VALIDATION, VALIDATION, selection_metric_of,
    split_folder, split_of,
};

/// How the folders of tested data groups begin.
const TESTED: &str = "group-";

/// Adds every data group, and the metrics of tests.
pub(super) fn write(draft: &mut Draft, facts: &Facts) -> Result<(), ImportError> {
    let table = draft.read("training/data/data.tsv", SessionsTable::read)?;
    let mut rows: Vec<Session> = table.rows;
    let mut seen = std::collections::BTreeSet::new();
    rows.retain(|row| seen.insert(row.clone()));
    draft.bytes(TRAIN_VALIDATION, SessionsTable { rows }.to_bytes());
    for group in [TRAIN, VALIDATION] {
        for split in facts.splits.keys() {
            let from = format!("training/data/{group}/split-{split}");
            let to = format!("{GROUPS}/{group}/{}", split_folder(*split));
            data(draft, facts, &from, &to)?;
        }
    }
    for folder in draft.names("test") {
        let Some(group) = folder.strip_prefix(TESTED) else {
            continue;
        };
        let from = format!("test/{folder}");
        if [TRAIN, VALIDATION].contains(&group) {
            draft.note(
                &from,
                "has the name of a data group of the training: left out",
            );
            continue;
        }
        data(draft, facts, &from, &format!("{GROUPS}/{group}"))?;
        tests(draft, facts, &from, group)?;
    }
    Ok(())
}

/// The metrics of the models that were tested.
fn tests(draft: &mut Draft, facts: &Facts, folder: &str, group: &str) -> Result<(), MapsError> {
    let results = format!("{folder}/results");
    for split_name in draft.names(&results) {
        let Some(split) = split_of(&split_name) else {
            continue;
        };
        for model in draft.names(&format!("{results}/{split_name}")) {
            let place = format!("{results}/{split_name}/{model}");
            let metric = match model.as_str() {
                "final" => "final".to_owned(),
                _ => selection_metric_of(&model).map_or_else(String::new, |m| named(facts, m)),
            };
            let path = SplitPath::Model { metric: &metric };
            if !draft.has(&path.in_maps(split)) {
                draft.note(
                    &place,
                    "is a test of a model that no metric selected: left out",
                );
                continue;
            }
            metrics(
                draft,
                facts,
                (split, &metric, group),
                &format!("{place}/metrics"),
            )?;
        }
    }
    Ok(())
}

/// A data group with its labels, where ClinicaDL wrote them down.
fn data(draft: &mut Draft, facts: &Facts, from: &str, to: &str) -> Result<(), MapsError> {
    let path = format!("{from}/data.tsv");
    if !draft.exists(&path) {
        draft.note(&path, "is missing: the data group is left out");
        return Ok(());
    }
    let table = draft.read(&path, SessionsTable::read)?;
    let path = format!("{from}/dataset.json");
    let dataset = json(draft, &path)?.unwrap_or_default();
    let labels = labels(&dataset, facts);
    if facts.label.is_some() && labels.is_empty() {
        draft.note(
            &path,
            "has no labels as the network met them: the data group has none",
        );
    }
    let mut seen = std::collections::BTreeSet::new();
    let rows = table
        .rows
        .into_iter()
        .filter(|row| seen.insert(row.clone()));
    let rows = rows.map(|row| DataRow {
        label: labels.get(&row).cloned(),
        participant: row.participant,
        session: row.session,
        cohort: SINGLE_COHORT.to_owned(),
    });
    let table = DataTable {
        rows: rows.collect(),
        label: facts.label.clone().filter(|_| !labels.is_empty()),
    };
    draft.bytes(&format!("{to}/data.tsv"), table.to_bytes());
    draft.bytes(
        &format!("{to}/{MAPS_JSON}"),
        GroupJson::default().to_bytes(),
    );
    Ok(())
}

/// The labels of a dataset by session; none where one of them is no class of the network.
fn labels(dataset: &Value, facts: &Facts) -> BTreeMap<Session, String> {
    let mut labels = BTreeMap::new();
    let Some(key) = &facts.label else {
        return labels;
    };
    let data = &dataset["data"];
    for (index, value) in data[key].as_object().into_iter().flatten() {
        let text = |column: &str| data[column][index].as_str().map(str::to_owned);
        let (Some(participant), Some(session)) = (text("participant_id"), text("session_id"))
        else {
            continue;
        };
        let Some(label) = label(value, facts.classes) else {
            return BTreeMap::new();
        };
        let session = Session {
            participant,
            session,
        };
        labels.insert(session, label);
    }
    labels
}

/// A label as it is in tables.
fn label(value: &Value, classes: Option<usize>) -> Option<String> {
    let number = value.as_f64()?;
    let Some(classes) = classes else {
        return Some(python_repr(number));
    };
    let codes = (0..classes.max(2)).map(|code| (code, code as f64));
    let mut codes = codes.filter(|(_, code)| (code - number).abs() < f64::EPSILON);
    codes.next().map(|(code, _)| code.to_string())
}
