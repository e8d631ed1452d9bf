//! Stage `prepare-experiment`.

use super::*;

/// What the two stages give one after the other; streams are named by the stage, so that not the same
/// participants are held out.
fn chained(params: &PrepareExperimentParams, path: &Path, seed: u64) -> BTreeMap<String, String> {
    let mut files = run::<Split>(&params.test(), path, seed).unwrap();
    files.retain(|name, _| !name.starts_with("splits/"));
    let train = table(&files["train/0/train.tsv"]);
    let (_folder, path) = on_disk(&train);
    files.extend(run::<KFold>(&params.folds(), &path, seed).unwrap());
    files
}

#[test]
fn it_is_a_split_and_folds_of_the_rest() {
    let (_folder, path) = on_disk(&cohort(40));
    let params = PrepareExperimentParams {
        p_threshold: 0.0,
        validation_longitudinal: true,
        ..PrepareExperimentParams::default()
    };
    let files = run::<PrepareExperiment>(&params, &path, 3).unwrap();
    let names: BTreeSet<&String> = files.keys().collect();
    let chained = chained(&params, &path, 3);
    assert_eq!(names, chained.keys().collect());
    // Of the same training participants the folds are the same bytes.
    let (_folder, path) = on_disk(&table(&files["train/0/train.tsv"]));
    for (name, text) in run::<KFold>(&params.folds(), &path, 0).unwrap() {
        assert_eq!(files[&name], text, "{name}");
    }
    let test = table(&files["test/0/test.tsv"]);
    assert_eq!(people(&test).len(), 8);
}

#[test]
fn validation_can_be_one_split() {
    let (_folder, path) = on_disk(&cohort(50));
    let params = PrepareExperimentParams {
        validation_type: ValidationType::Split,
        n_validation: 10.0,
        p_threshold: 0.1,
        ..PrepareExperimentParams::default()
    };
    let files = run::<PrepareExperiment>(&params, &path, 3).unwrap();
    let parts = [
        "splits/0/train_baseline.tsv",
        "splits/0/validation_baseline.tsv",
        "test/0/test.tsv",
    ];
    let tables = parts.map(|name| table(&files[name]));
    let sizes: Vec<usize> = tables.iter().map(|table| people(table).len()).collect();
    assert_eq!(sizes, [30, 10, 10]);
    let all: BTreeSet<Person<'_>> = tables.iter().flat_map(people).collect();
    assert_eq!(all.len(), 50);
    assert_eq!(files.len(), 5);
}

#[test]
fn parameters_are_checked_under_their_names() {
    let issues = |params: PrepareExperimentParams| -> Vec<String> {
        let issues = PrepareExperiment::check(&params).into_iter();
        issues.map(|issue| issue.field).collect()
    };
    let params = PrepareExperimentParams {
        validation_type: ValidationType::Split,
        n_validation: 0.0,
        ..PrepareExperimentParams::default()
    };
    assert_eq!(issues(params.clone()), ["n_validation"]);
    let kfold = PrepareExperimentParams {
        validation_type: ValidationType::Kfold,
        ..params.clone()
    };
    assert!(issues(kfold).is_empty());
    let both = PrepareExperimentParams {
        n_test: 0.0,
        ..params
    };
    assert_eq!(issues(both), ["n_test", "n_validation"]);
}

#[test]
fn a_validation_part_that_cannot_be_is_told_as_such() {
    let (_folder, path) = on_disk(&cohort(20));
    let params = PrepareExperimentParams {
        validation_type: ValidationType::Split,
        n_validation: 16.0,
        p_threshold: 0.0,
        ..PrepareExperimentParams::default()
    };
    let error = run::<PrepareExperiment>(&params, &path, 3).unwrap_err();
    assert_eq!(
        error.message,
        "`labels.tsv` has 16 participants: 16 cannot be held out"
    );
    assert!(error.hints[1].contains("`n_validation`"));
}
