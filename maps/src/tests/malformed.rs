//! Files that are not what they should be: each error by its name.

use std::fs;

use serde_json::json;

use super::copy_of_peer;
use crate::files::{
    DataTable, GroupJson, LeakageJson, MapsJson, MeasuredTable, MetricsTable, PredictionTable,
    REGRESSION_COLUMNS, SessionsTable, TrainingTable,
};
use crate::{Maps, MapsError, MapsIssue, validate};

/// The issues of a good MAPS whose `maps.json` has another value for a key.
fn issues_of(key: &str, value: serde_json::Value) -> Vec<MapsIssue> {
    let folder = copy_of_peer();
    let path = folder.path().join("maps.json");
    let mut fields: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    fields[key] = value;
    fs::write(&path, format!("{fields:#}")).unwrap();
    validate(folder.path())
}

#[test]
fn io_a_file_that_is_a_folder() {
    let folder = copy_of_peer();
    let path = folder.path().join("groups/train+validation.tsv");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = Maps::open(folder.path())
        .unwrap()
        .train_validation()
        .unwrap_err();
    assert!(
        matches!(error, MapsError::Io { act: "read", .. }),
        "{error}"
    );
    assert_eq!(
        validate(folder.path())[0].path,
        "groups/train+validation.tsv"
    );
}

#[test]
fn not_text_in_every_table() {
    let bytes = b"participant_id\n\xff\xfe\n";
    assert!(matches!(
        SessionsTable::read(bytes, "t"),
        Err(MapsError::NotText { .. })
    ));
    assert!(matches!(
        DataTable::read(bytes, "t"),
        Err(MapsError::NotText { .. })
    ));
    assert!(matches!(
        TrainingTable::read(bytes, "t"),
        Err(MapsError::NotText { .. })
    ));
    assert!(matches!(
        MetricsTable::read(bytes, "t"),
        Err(MapsError::NotText { .. })
    ));
    let error = MeasuredTable::read(bytes, "t", &REGRESSION_COLUMNS);
    assert!(matches!(error, Err(MapsError::NotText { .. })));
}

#[test]
fn no_header_in_every_table() {
    assert!(matches!(
        SessionsTable::read(b"", "t"),
        Err(MapsError::NoHeader { .. })
    ));
    assert!(matches!(
        DataTable::read(b"", "t"),
        Err(MapsError::NoHeader { .. })
    ));
    assert!(matches!(
        TrainingTable::read(b"", "t"),
        Err(MapsError::NoHeader { .. })
    ));
    assert!(matches!(
        MetricsTable::read(b"", "t"),
        Err(MapsError::NoHeader { .. })
    ));
    assert!(matches!(
        PredictionTable::read(b"", "t"),
        Err(MapsError::NoHeader { .. })
    ));
}

#[test]
fn missing_column_in_every_table() {
    let missing = |error: MapsError| match error {
        MapsError::MissingColumn { column, .. } => column,
        other => panic!("{other}"),
    };
    let bytes = b"participant_id\tsession_id\n";
    assert_eq!(
        missing(SessionsTable::read(b"participant_id\n", "t").unwrap_err()),
        "session_id"
    );
    assert_eq!(missing(DataTable::read(bytes, "t").unwrap_err()), "cohort");
    assert_eq!(
        missing(TrainingTable::read(bytes, "t").unwrap_err()),
        "epoch"
    );
    assert_eq!(
        missing(PredictionTable::read(bytes, "t").unwrap_err()),
        "image_id"
    );
}

#[test]
fn ragged_row_tells_its_line() {
    let error = SessionsTable::read(b"participant_id\tsession_id\nsub-1\n", "t").unwrap_err();
    assert_eq!(error.place(), (Some(2), None));
    assert_eq!(error.fact(), "expected 2 cells, got 1");
}

#[test]
fn missing_row_of_metrics() {
    let error =
        MetricsTable::read(b"Metrics\tBA\nValues\t1\nLower bound CI\t0\n", "t").unwrap_err();
    assert_eq!(error.fact(), "has no row `Upper bound CI`");
}

#[test]
fn cell_tells_line_and_column() {
    let bytes = b"epoch\titeration\ttime\tloss_train\tloss_valid\n0\tx\t\t\t\n";
    let error = TrainingTable::read(bytes, "t").unwrap_err();
    assert_eq!(error.place(), (Some(2), Some("iteration".to_owned())));
    assert_eq!(error.fact(), "expected an integer, got `x`");
}

#[test]
fn json_tells_line_and_column() {
    let error = GroupJson::read(b"{\n  \"caps_directory\" 1\n}", "g").unwrap_err();
    assert_eq!(error.place(), (Some(2), Some("20".to_owned())));
    assert_eq!(error.fact(), "is not valid JSON: expected `:`");
}

#[test]
fn missing_key_of_a_group() {
    let error = GroupJson::read(b"{\"caps_directory\": \"\"}", "g").unwrap_err();
    assert_eq!(error.fact(), "has no key `multi_cohort`");
}

#[test]
fn value_of_the_wrong_type_in_a_group() {
    let error = GroupJson::read(b"{\"caps_directory\": 1, \"multi_cohort\": 1}", "g").unwrap_err();
    assert_eq!(error.key(), Some("caps_directory"));
    assert_eq!(
        error.fact(),
        "key `caps_directory`: expected a string, got `1`"
    );
}

#[test]
fn digest_of_a_certificate() {
    let text = String::from_utf8(LeakageJson::default().to_bytes()).unwrap();
    let error = LeakageJson::read(text.replace("false", "true").as_bytes(), "l").unwrap_err();
    assert!(matches!(error, MapsError::Digest { .. }), "{error}");
    let error = LeakageJson::read(b"{}", "l").unwrap_err();
    assert!(matches!(error, MapsError::MissingKey { .. }), "{error}");
    let error = LeakageJson::read(b"{\"digest\": 1}", "l").unwrap_err();
    assert!(matches!(error, MapsError::Value { .. }), "{error}");
}

#[test]
fn every_parameter_out_of_its_range_is_told_with_its_line() {
    let cases = [
        ("gpu", json!("yes"), "expected true or false, got `\"yes\"`"),
        (
            "batch_size",
            json!(0),
            "expected an integer, at least 1, got `0`",
        ),
        (
            "epochs",
            json!(1.5),
            "expected an integer, at least 1, got `1.5`",
        ),
        (
            "dropout",
            json!(1.5),
            "expected a number from 0 to 1, got `1.5`",
        ),
        (
            "learning_rate",
            json!(-1.0),
            "expected a number, at least 0, got `-1.0`",
        ),
        (
            "sampler",
            json!("none"),
            "expected `random` or `weighted`, got `\"none\"`",
        ),
        (
            "compensation",
            json!("none"),
            "expected `memory` or `time`, got `\"none\"`",
        ),
        (
            "data_augmentation",
            json!(true),
            "expected false or a list of strings, got `true`",
        ),
        (
            "transfer_path",
            json!(true),
            "expected false or a string, got `true`",
        ),
        ("split", json!(0), "expected a list, got `0`"),
        ("optimizer", json!(1), "expected a string or null, got `1`"),
        (
            "diagnoses",
            json!([1]),
            "expected a list of strings, got `[1]`",
        ),
        (
            "mode",
            json!("cube"),
            "expected `image` or `patch` or `roi` or `slice`, got `cube`",
        ),
        (
            "input_size",
            json!([1, 0, 2]),
            "expected channels and two or three sizes, got [1, 0, 2]",
        ),
        (
            "selection_metrics",
            json!([]),
            "has no metric in `selection_metrics`",
        ),
    ];
    for (key, value, expected) in cases {
        let issues = issues_of(key, value);
        let issue = issues.iter().find(|issue| issue.path == "maps.json");
        let issue = issue.unwrap_or_else(|| panic!("{key}: {issues:?}"));
        assert!(issue.message.ends_with(expected), "{key}: {issue}");
        assert!(issue.line.is_some_and(|line| line > 1), "{key}: {issue}");
    }
}

#[test]
fn a_task_and_a_size_that_do_not_fit_are_told() {
    let issues = issues_of("network_task", json!("segmentation"));
    assert!(
        issues[0]
            .message
            .starts_with("key `network_task`: expected `classification` or"),
        "{issues:?}"
    );
    let issues = issues_of("network_task", json!("regression"));
    let expected = "key `output_size`: expected 1 in a regression, got `2`";
    assert!(
        issues.iter().any(|issue| issue.message == expected),
        "{issues:?}"
    );
}

#[test]
fn a_truth_that_is_not_the_label_of_its_session_is_told() {
    let folder = copy_of_peer();
    let path = "split-0/best-loss/test/test_image_level_prediction.tsv";
    let text = fs::read_to_string(folder.path().join(path)).unwrap();
    let changed = text.replacen("\t0\t1\t", "\t0\t0\t", 1);
    assert_ne!(text, changed);
    fs::write(folder.path().join(path), changed).unwrap();
    let issues = validate(folder.path());
    assert_eq!(issues.len(), 1, "{issues:?}");
    assert_eq!(issues[0].path, path);
    assert_eq!(issues[0].column.as_deref(), Some("true_label"));
    assert!(
        issues[0]
            .message
            .ends_with("expected 1 for label `CN`, got 0"),
        "{}",
        issues[0]
    );
}

#[test]
fn a_label_without_a_code_is_told() {
    let folder = copy_of_peer();
    let path = "groups/train/split-1/data.tsv";
    let text = fs::read_to_string(folder.path().join(path)).unwrap();
    fs::write(
        folder.path().join(path),
        text.replacen("\tCN\n", "\tMCI\n", 1),
    )
    .unwrap();
    let issues = validate(folder.path());
    assert_eq!(issues.len(), 1, "{issues:?}");
    assert_eq!(issues[0].column.as_deref(), Some("diagnosis"));
    assert_eq!(issues[0].message, "`MCI` has no code in `label_code`");
}

#[test]
fn bounds_that_are_not_in_order_are_told() {
    let folder = copy_of_peer();
    let path = "split-0/best-loss/test/test_image_level_metrics.tsv";
    let file = folder.path().join(path);
    let mut table = MetricsTable::read(&fs::read(&file).unwrap(), path).unwrap();
    let interval = table.columns[0].interval.as_mut().unwrap();
    interval.lower = interval.upper + 1.0;
    fs::write(file, table.to_bytes()).unwrap();
    let issues = validate(folder.path());
    assert_eq!(issues.len(), 1, "{issues:?}");
    assert!(
        issues[0].message.starts_with("expected bounds in order"),
        "{}",
        issues[0]
    );
    assert_eq!(issues[0].column.as_deref(), Some("BA"));
}

#[test]
fn what_the_parameters_of_old_versions_say_is_checked_under_new_names() {
    let folder = copy_of_peer();
    let path = folder.path().join("maps.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"n_proc\": 0", "\"num_workers\": -1")).unwrap();
    let parameters = MapsJson::read(&fs::read(&path).unwrap(), "maps.json").unwrap();
    assert_eq!(parameters.fields()["n_proc"], -1);
    let issues = validate(folder.path());
    assert_eq!(issues.len(), 1, "{issues:?}");
    assert_eq!(issues[0].line, None, "the key has another name in the file");
}
