//! Stage `adapt`.

use super::*;

/// Made by the script beside it with ClinicaDL 1.6.1.
const ADAPT: &str = include_str!("../../../../tests/reference/split/adapt.json");

/// Writes files into a folder.
fn folder(files: &BTreeMap<String, String>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join("old").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn adapt(
    params: &AdaptParams,
    files: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, StageError> {
    run::<Adapt>(params, &folder(files).path().join("old"), 0)
}

fn old() -> BTreeMap<String, String> {
    let reference: Value = serde_json::from_str(ADAPT).unwrap();
    serde_json::from_value(reference["old"].clone()).unwrap()
}

fn message(params: &AdaptParams, files: &BTreeMap<String, String>) -> String {
    adapt(params, files).unwrap_err().message
}

#[test]
fn tables_are_those_of_clinicadl_in_a_fixed_order() {
    let reference: Value = serde_json::from_str(ADAPT).unwrap();
    let new: BTreeMap<String, Vec<String>> =
        serde_json::from_value(reference["new"].clone()).unwrap();
    let params = AdaptParams {
        table: None,
        ..AdaptParams::default()
    };
    let files = adapt(&params, &old()).unwrap();
    assert_eq!(files.len(), new.len());
    for (path, expected) in new {
        let mut lines: Vec<&str> = files[&format!("tables/0/{path}")].lines().collect();
        let labels: Vec<&str> = lines[1..]
            .iter()
            .map(|l| l.split('\t').nth(2).unwrap())
            .collect();
        assert!(labels.is_sorted(), "{path}: files in order of their names");
        lines[1..].sort_unstable();
        assert_eq!(lines, expected, "{path}");
    }
}

#[test]
fn a_table_and_the_splits_of_a_folder_are_outputs_of_their_own() {
    let params = AdaptParams {
        table: Some("split/train.tsv".into()),
        splits: Some("split/2_fold".into()),
        ..AdaptParams::default()
    };
    let files = adapt(&params, &old()).unwrap();
    assert_eq!(
        files["table/0/train.tsv"],
        files["tables/0/split/train.tsv"]
    );
    for split in 0..2 {
        for name in ["train", "train_baseline", "validation_baseline"] {
            let inside = format!("tables/0/split/2_fold/split-{split}/{name}.tsv");
            assert_eq!(files[&format!("splits/{split}/{name}.tsv")], files[&inside]);
        }
    }
    let params = AdaptParams {
        splits: Some("split".into()),
        ..params
    };
    let files = adapt(&params, &old()).unwrap();
    assert_eq!(
        files["splits/0/validation_baseline.tsv"],
        files["tables/0/split/test_baseline.tsv"]
    );
}

#[test]
fn what_is_asked_for_and_not_there_is_told_with_what_is() {
    let params = AdaptParams {
        splits: Some("split/5_fold".into()),
        ..AdaptParams::default()
    };
    let error = adapt(&params, &old()).unwrap_err();
    assert_eq!(
        error.message,
        "`old` gives no `split/5_fold/split-0/train.tsv`"
    );
    assert!(error.hints[0].contains("`split/2_fold/split-0/train.tsv`"));
    let params = AdaptParams {
        labels: vec!["AD".into(), "MCI".into()],
        ..AdaptParams::default()
    };
    assert_eq!(message(&params, &old()), "`old` has no `MCI.tsv`");
    let mut gone = old();
    gone.retain(|path, _| !path.starts_with("train/train_splits-2/split-1/"));
    assert_eq!(
        message(&AdaptParams::default(), &gone),
        "`old/train/kfold.json` tells of tables for `split/2_fold/split-1/train.tsv`, which are not \
         there"
    );
    let none = BTreeMap::from([("a/AD.tsv".to_owned(), String::new())]);
    let told = message(&AdaptParams::default(), &none);
    assert_eq!(told, "`old` has no table, expected one per label");
}

#[test]
fn a_participant_in_two_parts_is_refused() {
    let mut files = old();
    let held = files["test/AD_baseline.tsv"].clone();
    files.insert("train/AD_baseline.tsv".into(), held);
    assert_eq!(
        message(&AdaptParams::default(), &files),
        "`old/split.json`: in both `train` and `test` of `split/`: sub-00, sub-02"
    );
}

const HEADER: &str = "participant_id\tsession_id\n";

#[test]
fn a_session_under_two_labels_is_refused_unless_labels_are_chosen() {
    let row = |participant: &str| format!("{HEADER}{participant}\tses-M00\n");
    let files = BTreeMap::from([
        ("MCI.tsv".to_owned(), row("sub-1")),
        ("pMCI.tsv".to_owned(), row("sub-1")),
        ("CN.tsv".to_owned(), row("sub-2")),
    ]);
    let error = adapt(&AdaptParams::default(), &files).unwrap_err();
    assert_eq!(
        error.message,
        "sessions have two labels: sub-1, ses-M00 in `old/MCI.tsv` and `old/pMCI.tsv`"
    );
    assert!(error.hints[0].contains("`labels`"));
    let params = AdaptParams {
        labels: vec!["CN".into(), "pMCI".into()],
        ..AdaptParams::default()
    };
    // These tables say their label by the name of the file only.
    assert_eq!(
        adapt(&params, &files).unwrap()["table/0/labels.tsv"],
        "participant_id\tsession_id\tdiagnosis\nsub-2\tses-M00\tCN\nsub-1\tses-M00\tpMCI\n"
    );
}

#[test]
fn columns_that_only_some_labels_have_are_empty_for_the_others() {
    let files = BTreeMap::from([
        (
            "AD.tsv".to_owned(),
            "participant_id\tsession_id\tage\nsub-1\tses-M00\t70\n".to_owned(),
        ),
        (
            "CN.tsv".to_owned(),
            "participant_id\tsession_id\tsex\nsub-2\tses-M00\tF\n".to_owned(),
        ),
    ]);
    assert_eq!(
        adapt(&AdaptParams::default(), &files).unwrap()["table/0/labels.tsv"],
        "participant_id\tsession_id\tage\tdiagnosis\tsex\nsub-1\tses-M00\t70\tAD\t\n\
         sub-2\tses-M00\t\tCN\tF\n"
    );
}

#[test]
fn hostile_json_is_refused() {
    let with = |json: &str| {
        let row = format!("{HEADER}sub-1\tses-M00\n");
        let files = BTreeMap::from([
            ("AD.tsv".to_owned(), row),
            ("split.json".to_owned(), json.to_owned()),
        ]);
        message(&AdaptParams::default(), &files)
    };
    for name in ["", "train", "../x", "a/b", ".."] {
        let told = with(&format!("{{\"subset_name\": \"{name}\"}}"));
        let expected = format!("`old/split.json`: `{name}` cannot be a `subset_name`");
        assert_eq!(told, expected);
    }
    assert!(with("{").starts_with("`old/split.json`: EOF"));
    assert!(with("{}").contains("missing field `subset_name`"));
}

#[test]
fn a_folder_whose_name_tells_no_number_is_refused() {
    let issues = |splits: &str| {
        let params = AdaptParams {
            splits: Some(splits.into()),
            ..AdaptParams::default()
        };
        Adapt::check(&params).len()
    };
    assert_eq!(["split", "5_fold", "split/5_fold"].map(issues), [0; 3]);
    let wrong = [
        "",
        "splits",
        "x_fold",
        "0_fold",
        "5_fold/split-0",
        "99999_fold",
    ];
    assert_eq!(wrong.map(issues), [1; 6]);
}
