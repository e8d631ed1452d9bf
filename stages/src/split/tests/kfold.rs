//! Stage `kfold`.

use super::*;

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

/// Made by the script beside it with scikit-learn.
const FOLDS: &str = include_str!("../../../../tests/reference/split/folds.json");

#[test]
fn all_folds_by_chance_are_those_of_scikit_learn() {
    let reference: Value = serde_json::from_str(FOLDS).unwrap();
    let cases = reference["cases"].as_array().unwrap();
    for (number, case) in cases.iter().enumerate() {
        let n = usize::try_from(case["n"].as_u64().unwrap()).unwrap();
        let texts = |name: &str| -> Option<Vec<String>> {
            serde_json::from_value(case[name].clone()).unwrap()
        };
        let (labels, groups) = (texts("labels"), texts("groups"));
        let mut text = "participant_id\tsession_id\tdiagnosis\tsite\n".to_owned();
        for i in 0..n {
            let cell =
                |texts: &Option<Vec<String>>| texts.as_ref().map_or("x", |t| &t[i]).to_owned();
            let (label, group) = (cell(&labels), cell(&groups));
            text.push_str(&format!("sub-{i:03}\tses-M000\t{label}\t{group}\n"));
        }
        let table = table(&text);
        let default = KFoldParams::default();
        let params = KFoldParams {
            n_splits: serde_json::from_value(case["n_splits"].clone()).unwrap(),
            label: labels.and(default.label),
            seed: serde_json::from_value(case["seed"].clone()).unwrap(),
            repeats: serde_json::from_value(case["repeats"].clone()).unwrap(),
            group: groups.map(|_| "site".to_owned()),
            ..KFoldParams::default()
        };
        let rows =
            |case: &Value| -> Vec<Vec<usize>> { serde_json::from_value(case.clone()).unwrap() };
        let outer = partitions(&params, &table).unwrap().0;
        let outer: Vec<Vec<usize>> = outer.into_iter().map(|p| p.validation).collect();
        assert_eq!(outer, rows(&case["outer"]), "case {number}");
        let Some(nested) = case["nested"].as_u64() else {
            continue;
        };
        let nested = usize::try_from(nested).unwrap();
        let params = KFoldParams {
            nested: Some(nested),
            ..params
        };
        let found = partitions(&params, &table).unwrap().0;
        let inner: Vec<Vec<usize>> = found.iter().map(|p| p.validation.clone()).collect();
        assert_eq!(inner, rows(&case["inner"]), "case {number}");
        for (split, partition) in found.iter().enumerate() {
            assert_eq!(partition.test, outer[split / nested]);
        }
    }
}

/// Ten participants per site, each with all labels.
fn sites(n: usize) -> Table {
    let table = cohort(10 * n);
    let sessions = table.sessions().unwrap();
    let site = |participant: &str| participant[4..].parse::<usize>().unwrap() % n;
    let values = sessions
        .iter()
        .map(|s| format!("site-{}", site(s.participant)));
    let values = values.collect();
    table.clone().with_column("site", values)
}

#[test]
fn every_value_is_left_out_once_in_sorted_order() {
    let table = sites(3);
    let params = KFoldParams {
        n_splits: 3,
        leave_one_out: Some("site".into()),
        label: Some("not there, and not needed".into()),
        ..KFoldParams::default()
    };
    let found = partitions(&params, &table).unwrap().0;
    let texts = table.texts("site").unwrap();
    for (split, partition) in found.iter().enumerate() {
        assert_whole(partition, &table);
        let held: BTreeSet<&str> = partition.validation.iter().map(|&row| texts[row]).collect();
        assert_eq!(held, [format!("site-{split}").as_str()].into());
    }
    assert_eq!(found.len(), 3);
}

#[test]
fn values_left_out_must_be_as_many_as_splits_which_the_message_tells() {
    let params = KFoldParams {
        leave_one_out: Some("site".into()),
        ..KFoldParams::default()
    };
    let error = partitions(&params, &sites(3)).unwrap_err();
    assert_eq!(
        error.message,
        "`labels.tsv` has 3 values of `site` (`site-0`, `site-1`, `site-2`), but `n_splits` is 5"
    );
    assert_eq!(error.hints, ["set `n_splits: 3`"]);
    let error = partitions(&params, &sites(1)).unwrap_err();
    assert_eq!(
        error.message,
        "`labels.tsv` has 1 value of `site`, expected at least two to leave one out"
    );
}

#[test]
fn cohorts_can_be_left_out_and_share_participant_ids() {
    let table = sites(2);
    let cohorts = table.texts("site").unwrap();
    let cohorts: Vec<String> = cohorts.into_iter().map(str::to_owned).collect();
    // Both cohorts count their participants from 0.
    let names = table.sessions().unwrap();
    let names = names.iter().map(|s| {
        let number: usize = s.participant[4..].parse().unwrap();
        format!("sub-{}", number / 2)
    });
    let names = names.collect();
    let table = table
        .clone()
        .with_column("cohort", cohorts)
        .with_column("participant_id", names);
    let params = KFoldParams {
        n_splits: 2,
        leave_one_out: Some("cohort".into()),
        ..KFoldParams::default()
    };
    let found = partitions(&params, &table).unwrap().0;
    assert_eq!((found[0].train.len(), found[0].validation.len()), (10, 10));
    found
        .iter()
        .for_each(|partition| assert_whole(partition, &table));
    for partition in partitions(&KFoldParams::default(), &table).unwrap().0 {
        assert_eq!(partition.validation.len(), 4);
        assert_whole(&partition, &table);
    }
}

#[test]
fn the_folds_inside_are_those_of_the_training_participants_alone() {
    let table = sites(3);
    for leave_one_out in [None, Some("site".to_owned())] {
        let params = KFoldParams {
            n_splits: 3,
            leave_one_out,
            nested: Some(2),
            ..KFoldParams::default()
        };
        let outer = KFoldParams {
            nested: None,
            ..params.clone()
        };
        let found = partitions(&params, &table).unwrap().0;
        let outer = partitions(&outer, &table).unwrap().0;
        assert_eq!(found.len(), 6);
        for (fold, outer) in outer.iter().enumerate() {
            let alone = tables(outer, &table).remove("train").unwrap();
            let inner = KFoldParams {
                n_splits: 2,
                ..KFoldParams::default()
            };
            for (i, inner) in partitions(&inner, &alone).unwrap().0.iter().enumerate() {
                let mut written = tables(&found[2 * fold + i], &table);
                let test = written.remove("test").unwrap();
                let expected = &tables(outer, &table)["validation"];
                assert_eq!(test.to_tsv().unwrap(), expected.to_tsv().unwrap());
                written.remove("test_baseline");
                for (name, expected) in tables(inner, &alone) {
                    let written = written[name].to_tsv().unwrap();
                    assert_eq!(written, expected.to_tsv().unwrap(), "{name} of {fold}, {i}");
                }
            }
        }
    }
}

#[test]
fn the_stage_writes_every_split_and_the_tests_of_nested_ones() {
    let (_folder, path) = on_disk(&cohort(20));
    let params = KFoldParams {
        n_splits: 2,
        repeats: 2,
        nested: Some(2),
        validation_longitudinal: true,
        ..KFoldParams::default()
    };
    let files = run::<KFold>(&params, &path, 1).unwrap();
    let names = [
        "train",
        "train_baseline",
        "validation",
        "validation_baseline",
    ];
    let names = [&names[..], &["test", "test_baseline"]].concat();
    let expected: BTreeSet<String> = (0..8)
        .flat_map(|split| names.iter().map(move |n| format!("splits/{split}/{n}.tsv")))
        .collect();
    assert_eq!(files.keys().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!(files["splits/0/test.tsv"], files["splits/1/test.tsv"]);
    assert_ne!(files["splits/0/test.tsv"], files["splits/2/test.tsv"]);
    let plain = KFoldParams {
        n_splits: 2,
        ..KFoldParams::default()
    };
    let plain = run::<KFold>(&plain, &path, 2).unwrap();
    let held = &plain["splits/1/validation_baseline.tsv"];
    assert_eq!(&files["splits/2/test_baseline.tsv"], held);
}

#[test]
fn too_few_participants_and_groups_are_told() {
    let told = |params: &KFoldParams, table: &Table| {
        let error = partitions(params, table).unwrap_err();
        (error.message, error.hints.join("; "))
    };
    let few = KFoldParams {
        label: None,
        n_splits: 11,
        ..KFoldParams::default()
    };
    let (message, hint) = told(&few, &cohort(10));
    assert_eq!(
        message,
        "`labels.tsv` cannot be split 11 times: 10 participants"
    );
    assert_eq!(hint, "choose `n_splits` from 2 to 10");
    let groups = KFoldParams {
        group: Some("site".into()),
        ..KFoldParams::default()
    };
    let (message, _) = told(&groups, &sites(3));
    assert_eq!(
        message,
        "`labels.tsv` cannot be split 5 times: 3 different `site`"
    );
    let nested = KFoldParams {
        n_splits: 5,
        nested: Some(5),
        ..KFoldParams::default()
    };
    let (message, hint) = told(&nested, &cohort(10));
    assert_eq!(
        message,
        "`labels.tsv` without fold 0 cannot be split 5 times: 8 participants, at most 4 of one \
         `diagnosis`"
    );
    assert_eq!(hint, "choose `nested` from 2 to 4");
    let empty = table("participant_id\tsession_id\tdiagnosis\n");
    let (message, hint) = told(&KFoldParams::default(), &empty);
    assert_eq!(
        message,
        "`labels.tsv` cannot be split 5 times: 0 participants, at most 0 of one `diagnosis`"
    );
    assert_eq!(hint, "");
}

#[test]
fn the_first_repeat_is_what_there_is_without() {
    let table = cohort(30);
    let repeated = KFoldParams {
        repeats: 3,
        ..KFoldParams::default()
    };
    let repeated = partitions(&repeated, &table).unwrap().0;
    let once = partitions(&KFoldParams::default(), &table).unwrap().0;
    assert_eq!(repeated[..5], once);
    assert_ne!(repeated[5..10], once);
    assert_ne!(repeated[5..10], repeated[10..]);
}

#[test]
fn parameters_that_contradict_are_told() {
    let issues = |params: KFoldParams| -> Vec<String> {
        let issues = KFold::check(&params).into_iter();
        issues.map(|issue| issue.field).collect()
    };
    assert!(issues(KFoldParams::default()).is_empty());
    let leave = KFoldParams {
        leave_one_out: Some("site".into()),
        group: Some("family".into()),
        repeats: 2,
        ..KFoldParams::default()
    };
    assert_eq!(issues(leave), ["group", "repeats"]);
    let many = KFoldParams {
        n_splits: usize::MAX,
        repeats: 500,
        nested: Some(500),
        ..KFoldParams::default()
    };
    assert_eq!(issues(many), ["n_splits"]);
}
