use std::collections::{BTreeMap, BTreeSet};
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
use super::single::{Found, partition};
use super::{KFoldParams, Partition, Split, SplitParams, ValidationSessions};
use crate::table::Table;

/// Made by the script beside it with ClinicaDL 1.6.1.
const KFOLD: &str = include_str!("../../../tests/reference/split/kfold.json");

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

/// Checks what holds for every split of every stage.
fn assert_whole(partition: &Partition, table: &Table) {
    let tables = tables(partition, table);
    let rows = |name: &str| -> BTreeSet<(String, String)> {
        let sessions = tables[name].sessions().unwrap();
        let owned = |s: &crate::table::Session<'_>| (s.participant.into(), s.session.into());
        sessions.iter().map(owned).collect()
    };
    let participants = |name: &str| -> BTreeSet<String> {
        rows(name)
            .into_iter()
            .map(|(participant, _)| participant)
            .collect()
    };
    assert!(participants("train").is_disjoint(&participants("validation")));
    assert_eq!(participants("train"), participants("train_baseline"));
    assert_eq!(
        participants("validation"),
        participants("validation_baseline")
    );
    let all = rows("train").len() + rows("validation").len();
    assert_eq!(all, table.len(), "every session is in exactly one part");
    for part in ["train", "validation"] {
        let first = tables[part].baseline().unwrap();
        let first = tables[part].select(&first).to_tsv().unwrap();
        let written = tables[format!("{part}_baseline").as_str()]
            .to_tsv()
            .unwrap();
        assert_eq!(first, written);
    }
}

#[test]
fn folds_are_those_of_clinicadl() {
    // Produced by ClinicaDL 1.6.1 (scikit-learn's StratifiedKFold with random_state 2).
    let two = ["a", "b"].repeat(5);
    assert_eq!(folds(&two, 5), [[5, 8], [3, 4], [0, 7], [6, 9], [1, 2]]);
    let three = ["0", "0", "0", "1", "1", "2", "2", "2", "2", "0", "1", "2"];
    let expected = [[2, 3, 7, 9], [0, 4, 6, 11], [1, 5, 8, 10]];
    assert_eq!(folds(&three, 3), expected);
    let renamed: Vec<&str> = three
        .iter()
        .map(|c| ["z", "a", "m"][c.parse::<usize>().unwrap()])
        .collect();
    assert_eq!(folds(&renamed, 3), expected);
}

#[test]
fn kfold_writes_the_bytes_of_clinicadl() {
    let reference: Value = serde_json::from_str(KFOLD).unwrap();
    let table = table(reference["labels"].as_str().unwrap());
    for case in reference["cases"].as_array().unwrap() {
        let params = KFoldParams {
            n_splits: serde_json::from_value(case["n_splits"].clone()).unwrap(),
            label: serde_json::from_value(case["label"].clone()).unwrap(),
            ..KFoldParams::default()
        };
        let mut files = BTreeMap::new();
        for (split, partition) in partitions(&params, &table).unwrap().0.iter().enumerate() {
            for (name, table) in tables(partition, &table) {
                let text = String::from_utf8(table.to_tsv().unwrap()).unwrap();
                files.insert(format!("split-{split}/{name}.tsv"), text);
            }
        }
        let expected: BTreeMap<String, String> =
            serde_json::from_value(case["files"].clone()).unwrap();
        assert_eq!(files, expected);
    }
}

#[test]
fn too_many_splits_are_refused_and_rare_labels_are_told() {
    let told = |n_splits: usize, table: &Table| {
        let params = KFoldParams {
            n_splits,
            ..KFoldParams::default()
        };
        partitions(&params, table).map(|(_, warnings)| warnings)
    };
    let ten = cohort(10);
    assert!(told(5, &ten).unwrap().is_empty());
    for n_splits in [0, 1, 6, 11] {
        let error = told(n_splits, &ten).unwrap_err();
        let expected = format!(
            "`labels.tsv` cannot be split {n_splits} times: 10 participants, at most 5 of one \
             `diagnosis`"
        );
        assert_eq!(error.message, expected);
        assert_eq!(error.hints, ["choose `n_splits` from 2 to 5"]);
    }
    let rare = labels(&[
        ("AD", 1.0, "F", 1),
        ("CN", 1.0, "F", 1),
        ("CN", 1.0, "F", 1),
    ]);
    let expected =
        "only 1 participant has `diagnosis` `AD`: not every one of 2 splits validates on it";
    assert_eq!(told(2, &rare).unwrap(), [expected]);
}

#[test]
fn the_label_of_the_first_session_decides() {
    // Both have ses-M12 first by text. A missing label of a later session does not matter.
    let mut text = "participant_id\tsession_id\tdiagnosis\n".to_owned();
    for i in 0..4 {
        let (first, later) = (["AD", "CN"][i % 2], ["CN", ""][i % 2]);
        text.push_str(&format!(
            "sub-{i}\tses-M12\t{later}\nsub-{i}\tses-M6\t{first}\n"
        ));
    }
    let table = table(&text);
    let params = SplitParams {
        n_test: 2.0,
        balance: Vec::new(),
        ..SplitParams::default()
    };
    let found = split(&params, &table, 1).unwrap();
    let labels = table.texts("diagnosis").unwrap();
    let held: BTreeSet<&str> = found
        .partition
        .validation
        .iter()
        .map(|&row| labels[row])
        .collect();
    assert_eq!(held, ["AD", "CN"].into());
    assert_whole(&found.partition, &table);
}

#[test]
fn a_split_is_balanced_proportional_and_follows_the_seed() {
    let table = cohort(40);
    let params = SplitParams {
        n_test: 0.25,
        ..SplitParams::default()
    };
    let found = split(&params, &table, 7).unwrap();
    assert_eq!(
        (
            found.partition.train.len(),
            found.partition.validation.len()
        ),
        (30, 10)
    );
    let labels = table.texts("diagnosis").unwrap();
    let ad = |rows: &[usize]| rows.iter().filter(|&&row| labels[row] == "AD").count();
    assert_eq!(
        (ad(&found.partition.train), ad(&found.partition.validation)),
        (15, 5)
    );
    for part in found.summary.split("p = ").skip(1) {
        let p: f64 = part[..5].parse().unwrap();
        assert!(p >= 0.8, "{}", found.summary);
    }
    assert!(found.summary.contains("age (t-test)") && found.summary.contains("sex (chi-square)"));
    let rows = |seed| split(&params, &table, seed).unwrap().partition.validation;
    assert_eq!(rows(7), found.partition.validation);
    assert_ne!(rows(8), found.partition.validation);
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let sorted = cohort(20);
    let rows: Vec<usize> = (0..sorted.len()).rev().collect();
    let reversed = sorted.select(&rows);
    let held = |table: &Table| -> Vec<String> {
        let sessions = table.sessions().unwrap();
        let rows = split(&SplitParams::default(), table, 3)
            .unwrap()
            .partition
            .validation;
        rows.iter()
            .map(|&row| sessions[row].participant.to_owned())
            .collect()
    };
    assert_eq!(held(&sorted), held(&reversed));
}

#[test]
fn kept_labels_are_those_of_first_sessions() {
    let mut participants = vec![("AD", 70.0, "F", 2); 6];
    participants.extend([("CN", 70.0, "F", 2); 6]);
    participants.extend([("MCI", 70.0, "F", 2); 6]);
    let table = labels(&participants);
    let keep = vec!["AD".to_owned(), "CN".to_owned()];
    let params = SplitParams {
        n_test: 4.0,
        keep,
        ..SplitParams::default()
    };
    let found = split(&params, &table, 1).unwrap().partition;
    assert_eq!((found.train.len(), found.validation.len()), (8, 4));
    let labels = table.texts("diagnosis").unwrap();
    assert!(
        found
            .train
            .iter()
            .chain(&found.validation)
            .all(|&row| labels[row] != "MCI")
    );
    let unknown = SplitParams {
        keep: vec!["HC".to_owned()],
        ..SplitParams::default()
    };
    let error = split(&unknown, &table, 1).err().unwrap();
    assert_eq!(
        error.message,
        "no participant of `labels.tsv` has `diagnosis` `HC` at first"
    );
    assert_eq!(
        error.hints,
        ["the labels of first sessions are `AD`, `CN`, `MCI`"]
    );
}

#[test]
fn what_cannot_be_balanced_is_told_with_the_best_p_values() {
    // Whichever is held out of each label, the mean ages differ.
    let mut participants = vec![("AD", 60.0, "F", 1), ("AD", 95.0, "M", 1)];
    participants.extend([("CN", 70.0, "F", 1), ("CN", 90.0, "F", 1)]);
    let params = SplitParams {
        n_test: 2.0,
        p_threshold: 1.0,
        max_trials: 20,
        ..SplitParams::default()
    };
    let error = split(&params, &labels(&participants), 1).err().unwrap();
    assert!(
        error
            .message
            .starts_with("`labels.tsv`: none of 20 partitions has p ≥ 1 for all")
    );
    assert!(
        error.message.contains("age (t-test) p = "),
        "{}",
        error.message
    );
    assert!(error.hints[0].contains("p_threshold"));
}

#[test]
fn categories_that_whole_participants_cannot_share_evenly_pass_at_their_best() {
    // 3 of 10 are women: of 5 held out, 1 or 2 are the best there is, with p = 0.49.
    let participants: Vec<_> = (0..10)
        .map(|i| (["AD", "CN"][i % 2], 70.0, ["F", "M"][usize::from(i > 2)], 1))
        .collect();
    let table = labels(&participants);
    let params = SplitParams {
        n_test: 5.0,
        ..SplitParams::default()
    };
    let sexes = table.texts("sex").unwrap();
    let mut counts = BTreeSet::new();
    for seed in 0..20 {
        let held = split(&params, &table, seed).unwrap().partition.validation;
        counts.insert(held.iter().filter(|&&row| sexes[row] == "F").count());
    }
    assert_eq!(counts, [1, 2].into());
}

#[test]
fn impossible_splits_are_refused() {
    let told = |params: &SplitParams, table: &Table| split(params, table, 1).err().unwrap().message;
    let default = SplitParams::default();
    let ten = cohort(10);
    let large = SplitParams {
        n_test: 10.0,
        ..default.clone()
    };
    assert_eq!(
        told(&large, &ten),
        "`labels.tsv` has 10 participants: 10 cannot be held out"
    );
    let small = SplitParams {
        n_test: 0.01,
        ..default.clone()
    };
    assert_eq!(
        told(&small, &ten),
        "`labels.tsv` has 10 participants: 0 cannot be held out"
    );
    let one = SplitParams {
        n_test: 1.0,
        ..default.clone()
    };
    assert!(told(&one, &ten).contains("makes a part smaller than the number of labels, 2"));
    let column = SplitParams {
        balance: vec!["agee".to_owned()],
        ..default.clone()
    };
    assert_eq!(told(&column, &ten), "`labels.tsv` has no column `agee`");
    let mut lonely = vec![("AD", 60.0, "F", 1); 9];
    lonely.push(("CN", 60.0, "F", 1));
    assert!(told(&default, &labels(&lonely)).contains("only one participant has `diagnosis` `CN`"));
    let missing = labels(&[("AD", 60.0, "F", 1), ("", 60.0, "F", 1)]);
    assert!(
        told(
            &SplitParams {
                n_test: 1.0,
                ..default
            },
            &missing
        )
        .contains("line 3, column `diag")
    );
}

#[test]
fn parameters_that_contradict_are_told_before_anything_runs() {
    let issues = |params: &SplitParams| -> Vec<String> {
        Split::check(params)
            .into_iter()
            .map(|issue| issue.field)
            .collect()
    };
    let with = |n_test: f64| SplitParams {
        n_test,
        ..SplitParams::default()
    };
    assert!(issues(&with(0.5)).is_empty() && issues(&with(7.0)).is_empty());
    assert_eq!(issues(&with(0.0)), ["n_test"]);
    assert_eq!(issues(&with(1.5)), ["n_test"]);
    let keep = SplitParams {
        label: None,
        keep: vec!["AD".into()],
        ..SplitParams::default()
    };
    assert_eq!(issues(&keep), ["keep"]);
}

#[test]
fn the_stage_writes_the_same_partition_to_its_three_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels.tsv");
    std::fs::write(&labels, cohort(20).to_tsv().unwrap()).unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let input = read_external(&labels, "table", "labels.tsv", &|_| true, store.stats()).unwrap();
    let params = SplitParams {
        n_test: 6.0,
        p_threshold: 0.0,
        ..SplitParams::default()
    };
    let outputs = Split::ports(&params).outputs.into_iter().map(|port| {
        (
            port.name.clone().into_owned(),
            OutputSpec {
                kind: port.kind.clone().into_owned(),
                splits: port.splits,
            },
        )
    });
    let spec = ActionSpec {
        name: "split".to_owned(),
        key: ActionKey::of_document(&Value::Null),
        stage: Split::ID.to_owned(),
        params: serde_json::to_value(&params).unwrap(),
        inputs: [("labels".to_owned(), input)].into(),
        outputs: outputs.collect(),
        split: None,
        seed: 1,
        slots: Slots { cpus: 1, gpus: 0 },
        memory_limit: None,
        store: store.root().to_owned(),
    };
    let registry = Registry::new(crate::STAGES);
    let done = execute(&spec, registry, &store, Arc::new(|_| ()), Arc::default()).unwrap();
    let participants = |port: &str, file: &str| -> BTreeSet<String> {
        let tree = store.tree(&done.outputs[port][0].digest).unwrap();
        let path = store.object_path(&tree.files[file].digest);
        let table = Table::parse(&std::fs::read(path).unwrap(), file).unwrap();
        table
            .texts("participant_id")
            .unwrap()
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let (train, test) = (
        participants("train", "train.tsv"),
        participants("test", "test.tsv"),
    );
    assert_eq!((train.len(), test.len()), (14, 6));
    assert!(train.is_disjoint(&test));
    assert_eq!(participants("splits", "train.tsv"), train);
    assert_eq!(participants("splits", "train_baseline.tsv"), train);
    assert_eq!(participants("splits", "validation_baseline.tsv"), test);
}

fn any_cohort() -> impl Strategy<Value = Table> {
    let diagnosis = prop_oneof![Just("AD"), Just("CN"), Just("MCI")];
    let member = (
        diagnosis,
        50.0..95.0_f64,
        prop_oneof![Just("F"), Just("M"), Just("")],
        1..4_usize,
    );
    proptest::collection::vec(member, 20..60).prop_map(|members| labels(&members))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn participants_never_cross_the_folds_and_each_validates_once(
        table in any_cohort(),
        n_splits in 2..6_usize,
        seed: u32,
    ) {
        let params = KFoldParams { n_splits, seed, ..KFoldParams::default() };
        let (partitions, _) = partitions(&params, &table).unwrap();
        prop_assert_eq!(partitions.len(), n_splits);
        let mut validated: Vec<usize> = Vec::new();
        for partition in &partitions {
            assert_whole(partition, &table);
            validated.extend(&partition.validation);
        }
        validated.sort_unstable();
        let mut baseline = table.baseline().unwrap();
        baseline.sort_unstable();
        prop_assert_eq!(validated, baseline);
    }

    #[test]
    fn participants_never_cross_a_split(table in any_cohort(), n_test in 0.15..0.85_f64, seed: u64) {
        // Balance is not the point here, and small cohorts may not allow it.
        let params = SplitParams { n_test, p_threshold: 0.0, ..SplitParams::default() };
        match split(&params, &table, seed) {
            Ok(found) => assert_whole(&found.partition, &table),
            Err(error) => prop_assert!(error.message.contains("label") || error.message.contains("only one")),
        }
    }

    #[test]
    fn classes_are_spread_evenly(
        classes in proptest::collection::vec(0..4_usize, 8..60),
        k in 2..6_usize,
    ) {
        let names: Vec<&str> = classes.iter().map(|&c| ["a", "b", "c", "d"][c]).collect();
        let folds = folds(&names, k);
        prop_assert_eq!(folds.iter().map(Vec::len).sum::<usize>(), classes.len());
        for class in ["a", "b", "c", "d"] {
            let counts: Vec<usize> = folds
                .iter()
                .map(|fold| fold.iter().filter(|&&i| names[i] == class).count())
                .collect();
            let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
            prop_assert!(spread <= 1, "{:?}", counts);
        }
    }
}
