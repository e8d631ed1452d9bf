//! Stage `split`.

use super::*;

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
    let (_folder, path) = on_disk(&cohort(20));
    let params = SplitParams {
        n_test: 6.0,
        p_threshold: 0.0,
        ..SplitParams::default()
    };
    let files = run::<Split>(&params, &path, 1).unwrap();
    let participants = |path: &str| -> BTreeSet<String> {
        let table = table(&files[path]);
        let people = people(&table);
        people.iter().map(ToString::to_string).collect()
    };
    let (train, test) = (
        participants("train/0/train.tsv"),
        participants("test/0/test.tsv"),
    );
    assert_eq!((train.len(), test.len()), (14, 6));
    assert!(train.is_disjoint(&test));
    assert_eq!(participants("splits/0/train.tsv"), train);
    assert_eq!(participants("splits/0/train_baseline.tsv"), train);
    assert_eq!(participants("splits/0/validation_baseline.tsv"), test);
}

/// Defect of ClinicaDL 1.6.1: it turns labels 0 and 1 into one class.
#[test]
fn labels_that_are_numbers_are_labels() {
    let numbers = |i: usize| (["0", "1"][usize::from(i.is_multiple_of(4))], 70.0, "F", 1);
    let table = labels(&(0..40).map(numbers).collect::<Vec<_>>());
    let labels = table.texts("diagnosis").unwrap();
    let ones = |rows: &[usize]| rows.iter().filter(|&&row| labels[row] == "1").count();
    for seed in 0..10 {
        let held = split(&SplitParams::default(), &table, seed).unwrap();
        let held = held.partition.validation;
        assert_eq!((held.len(), ones(&held)), (8, 2));
    }
    for partition in partitions(&KFoldParams::default(), &table).unwrap().0 {
        assert_eq!(ones(&partition.validation), 2);
    }
}

#[test]
fn tables_that_are_too_small_are_refused() {
    let told = |text: &str| {
        let error = split(&SplitParams::default(), &table(text), 1);
        error.err().unwrap().message
    };
    let header = "participant_id\tsession_id\tdiagnosis\tage\tsex\n";
    assert_eq!(
        told(header),
        "`labels.tsv` has 0 participants: 0 cannot be held out"
    );
    let one = format!("{header}sub-1\tses-M0\tAD\t60\tF\n");
    assert_eq!(
        told(&one),
        "`labels.tsv` has 1 participants: 0 cannot be held out"
    );
    let twice = format!("{one}sub-2\tses-M0\tAD\t60\tF\nsub-1\tses-M0\tCN\t60\tF\n");
    assert_eq!(
        told(&twice),
        "`labels.tsv`: sub-1, ses-M0 is on lines 2 and 4"
    );
}

#[test]
fn a_misspelt_column_is_told_with_what_was_probably_meant() {
    let table = cohort(10).renamed("diagnosis", "diagnoses");
    let params = SplitParams::default();
    let error = split(&params, &table, 1).err().unwrap();
    assert_eq!(error.message, "`labels.tsv` has no column `diagnosis`");
    assert_eq!(error.hints[0], "did you mean `diagnoses`?");
    let error = partitions(&KFoldParams::default(), &table).unwrap_err();
    assert_eq!(error.hints[0], "did you mean `diagnoses`?");
    let params = SplitParams {
        group: Some("sexe".into()),
        label: None,
        ..params
    };
    let error = split(&params, &table, 1).err().unwrap();
    assert_eq!(error.hints[0], "did you mean `sex`?");
}

/// A parameter that is new and not used leaves the results from before it their names.
#[test]
fn parameters_at_rest_are_not_in_the_key() {
    use engine::params::{Fields, semantic};
    let params = serde_json::to_value(SplitParams::default()).unwrap();
    assert_eq!(
        semantic(&params, SplitParams::FIELDS),
        serde_json::json!({
            "n_test": 0.2, "label": "diagnosis", "keep": [], "balance": ["age", "sex"],
            "p_threshold": 0.8, "max_trials": 1000, "validation_longitudinal": false,
        })
    );
    let params = serde_json::to_value(KFoldParams::default()).unwrap();
    assert_eq!(
        semantic(&params, KFoldParams::FIELDS),
        serde_json::json!({
            "n_splits": 5, "label": "diagnosis", "seed": 2, "validation_longitudinal": false,
        })
    );
}
