use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use engine::context::Slots;
use engine::exec::{ActionSpec, OutputSpec, execute};
use engine::inputs::read_external;
use engine::key::ActionKey;
use engine::seed::Stream;
use engine::store::Store;
use engine::{Registry, Stage, StageError};
use proptest::prelude::*;
use serde_json::Value;

use super::folds::stratified;
use super::kfold::Design;
use super::mersenne::RandomState;
use super::single::partition;
use super::single::search::Found;
use super::{
    Adapt, AdaptParams, CategoricalTest, KFold, KFoldParams, NumericTest, Partition,
    PrepareExperiment, PrepareExperimentParams, Split, SplitParams, ValidationSessions,
    ValidationType,
};
use crate::table::{Person, Table};

mod adapt;
mod balance;
mod groups;
mod kfold;
mod prepare_experiment;
mod properties;
mod single;

/// Made by the script beside it with ClinicaDL 1.6.1.
const KFOLD: &str = include_str!("../../../../tests/reference/split/kfold.json");

/// Members of each fold, as scikit-learn lists test indices.
fn folds(classes: &[&str], k: usize) -> Vec<Vec<usize>> {
    let assigned = stratified(classes, k, &mut RandomState::new(2));
    (0..k)
        .map(|fold| {
            (0..classes.len())
                .filter(|&i| assigned[i] == fold)
                .collect()
        })
        .collect()
}

fn table(text: &str) -> Table {
    Table::parse(text.as_bytes(), "labels.tsv").unwrap()
}

/// A table of participants given by diagnosis, age, sex and number of sessions.
fn labels(participants: &[(&str, f64, &str, usize)]) -> Table {
    let mut text = "participant_id\tsession_id\tdiagnosis\tage\tsex\n".to_owned();
    for round in 0..4 {
        for (number, (diagnosis, age, sex, sessions)) in participants.iter().enumerate() {
            if round < *sessions {
                let row = format!("sub-{number:03}\tses-M{round}\t{diagnosis}\t{age}\t{sex}\n");
                text.push_str(&row);
            }
        }
    }
    table(&text)
}

/// Two alternating diagnoses with alternating sexes and rising ages.
fn cohort(n: usize) -> Table {
    let member = |i: usize| {
        let sex = ["F", "M"][i / 2 % 2];
        (["AD", "CN"][i % 2], 60.0 + i as f64, sex, 1 + i % 3)
    };
    labels(&(0..n).map(member).collect::<Vec<_>>())
}

fn split(params: &SplitParams, table: &Table, seed: u64) -> Result<Found, StageError> {
    let people = table.people()?;
    partition(params, table, &people, Stream::root(seed), &|| Ok(()))
}

fn partitions(
    params: &KFoldParams,
    table: &Table,
) -> Result<(Vec<Partition>, Vec<String>), StageError> {
    Design::read(params, table, &table.people()?)?.partitions()
}

fn tables(partition: &Partition, table: &Table) -> BTreeMap<&'static str, Table> {
    let people = table.people().unwrap();
    let tables = partition.tables(table, &people, ValidationSessions::All);
    tables.into_iter().collect()
}

/// The people of a table.
fn people(table: &Table) -> BTreeSet<Person<'_>> {
    let sessions = table.sessions().unwrap();
    sessions.iter().map(|session| session.person()).collect()
}

/// Checks what holds for every split of every stage.
fn assert_whole(partition: &Partition, table: &Table) {
    let tables = tables(partition, table);
    let mut sessions = 0;
    let mut seen: BTreeSet<Person<'_>> = BTreeSet::new();
    for part in ["train", "validation", "test"] {
        let Some(longitudinal) = tables.get(part) else {
            assert_eq!(part, "test");
            continue;
        };
        for person in people(longitudinal) {
            assert!(seen.insert(person), "{person} is in two parts");
        }
        sessions += longitudinal.len();
        let first = longitudinal.select(&longitudinal.baseline().unwrap());
        let written = &tables[format!("{part}_baseline").as_str()];
        assert_eq!(first.to_tsv().unwrap(), written.to_tsv().unwrap());
        assert!(!written.is_empty(), "{part} is empty");
    }
    assert_eq!(
        sessions,
        table.len(),
        "every session is in exactly one part"
    );
}

/// Checks that no value of a column is in two parts.
fn assert_together(partition: &Partition, table: &Table, column: &str) {
    let texts = table.texts(column).unwrap();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for part in [&partition.train, &partition.validation, &partition.test] {
        let values: BTreeSet<&str> = part.iter().map(|&row| texts[row]).collect();
        for value in values {
            assert!(seen.insert(value), "`{value}` is in two parts");
        }
    }
}

/// Everything that a stage writes, by port, split and path.
fn run<S: Stage>(
    params: &S::Params,
    input: &Path,
    seed: u64,
) -> Result<BTreeMap<String, String>, StageError> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let ports = S::ports(params);
    let port = &ports.inputs[0];
    let kind = port.kinds.first().unwrap_or(&"folder");
    let shown = input.file_name().unwrap().to_string_lossy();
    let selects = |path: &str| S::selects(params, &port.name, path);
    let read = read_external(input, kind, &shown, &selects, store.stats()).unwrap();
    let outputs = ports.outputs.into_iter().map(|port| {
        let spec = OutputSpec {
            kind: port.kind.into_owned(),
            splits: port.splits,
        };
        (port.name.into_owned(), spec)
    });
    let spec = ActionSpec {
        name: S::ID.to_owned(),
        key: ActionKey::of_document(&Value::Null),
        stage: S::ID.to_owned(),
        params: serde_json::to_value(params).unwrap(),
        inputs: [(port.name.to_string(), read)].into(),
        outputs: outputs.collect(),
        split: None,
        seed,
        slots: Slots { cpus: 1, gpus: 0 },
        memory_limit: None,
        profile: false,
        store: store.root().to_owned(),
    };
    let registry = Registry::new(crate::STAGES);
    let done = execute(&spec, registry, &store, Arc::new(|_| ()), Arc::default())?;
    let mut files = BTreeMap::new();
    for (port, artifacts) in &done.outputs {
        for (split, artifact) in artifacts.iter().enumerate() {
            for (path, file) in &store.tree(&artifact.digest).unwrap().files {
                let bytes = std::fs::read(store.object_path(&file.digest)).unwrap();
                let text = String::from_utf8(bytes).unwrap();
                files.insert(format!("{port}/{split}/{path}"), text);
            }
        }
    }
    Ok(files)
}

/// A file with a table, in a folder that lives as long as the result.
fn on_disk(table: &Table) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.tsv");
    std::fs::write(&path, table.to_tsv().unwrap()).unwrap();
    (folder, path)
}
