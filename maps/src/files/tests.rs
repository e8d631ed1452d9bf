use std::fs;
use std::path::PathBuf;

use indexmap::IndexMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::MapsError;

fn reference(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/maps");
    fs::read(folder.join(name)).unwrap()
}

/// The bytes of a file of a MAPS that ClinicaDL 1.6.1 wrote.
fn peer(path: &str) -> Vec<u8> {
    reference(&format!("peer/{path}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Spells the integer zeros of 1.6.1 as floats, after `skip` columns.
fn with_float_zeros(bytes: &[u8], skip: usize) -> String {
    let line = |line: &str| {
        let cells = line.split('\t').enumerate();
        let cells = cells.map(|(i, cell)| {
            if i >= skip && cell == "0" {
                "0.0"
            } else {
                cell
            }
        });
        cells.collect::<Vec<_>>().join("\t") + "\n"
    };
    text(bytes).lines().map(line).collect()
}

#[test]
fn numbers_are_spelled_as_python_and_pandas_do() {
    let vectors: Value = serde_json::from_slice(&reference("python.json")).unwrap();
    for pair in vectors["numbers"].as_array().unwrap() {
        let bits: u64 = pair[0].as_str().unwrap().parse().unwrap();
        assert_eq!(python_repr(f64::from_bits(bits)), pair[1]);
    }
    assert_eq!(python_repr(f64::NAN), "nan");
    assert_eq!(python_repr(f64::NEG_INFINITY), "-inf");
}

#[test]
fn json_is_spelled_as_python_does() {
    let vectors: Value = serde_json::from_slice(&reference("python.json")).unwrap();
    assert_eq!(python_json(&vectors["value"]), vectors["dumped"]);
}

#[test]
fn the_parameters_of_1_6_1_survive_a_round_trip_byte_for_byte() {
    let bytes = peer("maps.json");
    let parameters = MapsJson::read(&bytes, "maps.json").unwrap();
    assert_eq!(text(&parameters.to_bytes()), text(&bytes));
    assert_eq!(parameters.architecture().unwrap(), "Conv5_FC3");
    assert_eq!(parameters.network_task().unwrap(), "classification");
    assert_eq!(parameters.mode().unwrap(), "image");
    assert_eq!(parameters.label().unwrap(), Some("diagnosis"));
    assert_eq!(parameters.label_code().unwrap()["CN"], 1);
    assert_eq!(parameters.selection_metrics().unwrap(), ["loss"]);
    assert_eq!(parameters.diagnoses().unwrap(), ["AD", "CN"]);
    assert_eq!(parameters.input_size().unwrap(), [1, 43, 52, 45]);
    assert_eq!(parameters.output_size().unwrap(), 2);
    assert!(parameters.switch("normalize").unwrap());
    assert!(parameters.number("dropout").unwrap().abs() < f64::EPSILON);
    assert_eq!(
        parameters.preprocessing().unwrap()["preprocessing"],
        "t1-linear"
    );
}

#[test]
fn a_classification_has_every_key_of_1_6_1_in_its_order() {
    let peer: Value = serde_json::from_slice(&peer("maps.json")).unwrap();
    let params = TrainingParams {
        label_code: IndexMap::from([("AD".to_owned(), 0), ("CN".to_owned(), 1)]),
        output_size: 2,
        n_proc: 0,
        batch_size: 2,
        evaluation_steps: 1,
        n_splits: 2,
        epochs: 2,
        caps_directory: "caps".to_owned(),
        tsv_path: "split/2_fold".to_owned(),
        preprocessing: peer["preprocessing_dict"].as_object().unwrap().clone(),
        input_size: vec![1, 43, 52, 45],
        ..TrainingParams::default()
    };
    let ours = MapsJson::of_training(&params).to_bytes();
    assert_eq!(text(&ours), python_json(&peer));
}

#[test]
fn unknown_keys_and_augmentation_survive() {
    let params = TrainingParams {
        data_augmentation: vec!["Noise".to_owned()],
        preprocessing: [("use_uncropped_image".to_owned(), json!(false))]
            .into_iter()
            .collect(),
        ..TrainingParams::default()
    };
    let mut fields = MapsJson::of_training(&params).fields().clone();
    fields.insert("wd_bool".to_owned(), json!({ "b": 1, "a": [0.1] }));
    let bytes = python_json(&Value::Object(fields)).into_bytes();
    let parameters = MapsJson::read(&bytes, "maps.json").unwrap();
    assert_eq!(parameters.fields()["data_augmentation"], json!(["Noise"]));
    assert_eq!(parameters.to_bytes(), bytes);
}

#[test]
fn parameters_of_old_versions_are_brought_up_to_date() {
    let old = json!({
        "model": "Conv4_FC3", "multi": false, "minmaxnormalization": true, "num_workers": 4,
        "use_cpu": true, "nondeterministic": true, "mode": "slice", "preprocessing": "t1-linear",
        "slice_direction": 0, "network_task": "regression", "n_splits": 5, "output_size": 1,
    });
    let parameters = MapsJson::read(old.to_string().as_bytes(), "maps.json").unwrap();
    let fields = parameters.fields();
    let expected = [
        ("architecture", json!("Conv4_FC3")),
        ("multi_network", json!(false)),
        ("normalize", json!(true)),
        ("n_proc", json!(4)),
        ("gpu", json!(false)),
        ("deterministic", json!(false)),
        ("optimizer", json!("Adam")),
        ("loss", json!(null)),
        ("label", json!("age")),
        ("epochs", json!(20)),
        ("validation", json!("KFoldSplit")),
    ];
    for (key, value) in expected {
        assert_eq!(fields[key], value, "{key}");
    }
    for gone in [
        "model",
        "multi",
        "use_cpu",
        "nondeterministic",
        "preprocessing",
        "label_code",
    ] {
        assert!(!fields.contains_key(gone), "{gone}");
    }
    let peer: Value = serde_json::from_slice(&peer("maps.json")).unwrap();
    assert_eq!(
        parameters.preprocessing().unwrap()["file_type"],
        peer["preprocessing_dict"]["file_type"]
    );
    let preprocessing = Value::Object(parameters.preprocessing().unwrap().clone());
    assert_eq!(preprocessing["slice_mode"], "rgb");
    assert_eq!(preprocessing["prepare_dl"], false);
    assert_eq!(preprocessing["use_uncropped_image"], false);
}

#[test]
fn facts_of_a_training_are_never_filled_in() {
    let parameters = MapsJson::read(b"{}", "maps.json").unwrap();
    assert!(matches!(
        parameters.network_task(),
        Err(MapsError::MissingKey { .. })
    ));
    assert!(matches!(
        parameters.input_size(),
        Err(MapsError::MissingKey { .. })
    ));
    assert!(matches!(
        parameters.mode(),
        Err(MapsError::MissingKey { .. })
    ));
}

#[test]
fn broken_json_tells_line_and_column() {
    let error = MapsJson::read(b"{\n \"a\": }", "m/maps.json").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`m/maps.json` is not valid JSON: expected value at line 2 column 7"
    );
}

#[test]
fn json_that_is_no_object_is_refused() {
    let error = MapsJson::read(b"[1]", "maps.json").unwrap_err();
    assert!(matches!(
        error,
        MapsError::Value {
            expected: "an object",
            ..
        }
    ));
    assert!(GroupJson::read(b"3", "maps.json").is_err());
}

#[test]
fn a_preprocessing_that_is_no_object_is_refused() {
    let error = MapsJson::read(br#"{"preprocessing_dict": 3}"#, "maps.json").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`maps.json`, key `preprocessing_dict`: expected an object, got `3`"
    );
}

#[test]
fn values_of_the_wrong_type_are_named() {
    let wrong = json!({
        "label_code": { "AD": "x" }, "selection_metrics": "loss", "input_size": [1, -2],
        "architecture": 5, "dropout": "a", "normalize": 1, "output_size": 1.5, "mode": [],
    });
    let wrong = MapsJson::read(wrong.to_string().as_bytes(), "maps.json").unwrap();
    let errors = [
        wrong.label_code().unwrap_err(),
        wrong.selection_metrics().unwrap_err(),
        wrong.input_size().unwrap_err(),
        wrong.architecture().unwrap_err(),
        wrong.number("dropout").unwrap_err(),
        wrong.switch("normalize").unwrap_err(),
        wrong.output_size().unwrap_err(),
        wrong.mode().unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, MapsError::Value { .. }), "{error}");
    }
}

#[test]
fn deeply_nested_json_is_refused() {
    let bytes = "[".repeat(100_000);
    assert!(matches!(
        MapsJson::read(bytes.as_bytes(), "m"),
        Err(MapsError::Json { .. })
    ));
}

#[test]
fn predictions_of_1_6_1_survive_a_round_trip_byte_for_byte() {
    for group in ["train", "validation", "test"] {
        let path = format!("split-0/best-loss/{group}/{group}_image_level_prediction.tsv");
        let table = PredictionTable::read(&peer(&path), &path).unwrap();
        assert_eq!(table.n_classes(), 2);
        assert_eq!(text(&table.to_bytes()), text(&peer(&path)));
    }
}

#[test]
fn metrics_of_1_6_1_survive_with_zeros_as_floats() {
    for group in ["train", "validation", "test"] {
        let path = format!("split-0/best-loss/{group}/{group}_image_level_metrics.tsv");
        let table = MetricsTable::read(&peer(&path), &path).unwrap();
        assert_eq!(text(&table.to_bytes()), with_float_zeros(&peer(&path), 1));
        assert_eq!(table.get("loss").unwrap().interval, None);
        assert!(table.get("BA").unwrap().interval.is_some());
        assert_eq!(table.get("AUC"), None);
    }
}

#[test]
fn metrics_without_intervals_read_from_two_lines() {
    let table = MetricsTable::read(b"BA\tloss\n0.5\t\n", "m.tsv").unwrap();
    assert_eq!(table.columns[0].name, "BA");
    assert!((table.columns[0].value - 0.5).abs() < f64::EPSILON);
    assert!(table.columns[1].value.is_nan());
}

#[test]
fn the_course_of_training_of_1_6_1_survives_with_zeros_as_floats() {
    let bytes = peer("split-0/training_logs/training.tsv");
    let table = TrainingTable::read(&bytes, "training.tsv").unwrap();
    assert_eq!(table.rows().len(), 6);
    assert_eq!(table.metrics().last().unwrap(), "loss");
    assert_eq!(text(&table.to_bytes()), with_float_zeros(&bytes, 3));
}

#[test]
fn a_row_without_time_has_an_empty_cell() {
    let row = TrainingRow {
        epoch: 0,
        iteration: 4,
        time_s: None,
        train: vec![0.5],
        validation: vec![1e-5],
    };
    let table = TrainingTable::try_new(vec!["loss".to_owned()], vec![row]).unwrap();
    let bytes = table.to_bytes();
    assert_eq!(
        text(&bytes),
        "epoch\titeration\ttime\tloss_train\tloss_valid\n0\t4\t\t0.5\t1e-05\n"
    );
    assert_eq!(TrainingTable::read(&bytes, "training.tsv").unwrap(), table);
}

#[test]
fn the_data_of_a_group_of_1_6_1_survive_a_round_trip_byte_for_byte() {
    let table = DataTable::read(&peer("groups/test/data.tsv"), "data.tsv").unwrap();
    assert_eq!(table.label.as_deref(), Some("diagnosis"));
    assert_eq!(table.rows[0].label.as_deref(), Some("AD"));
    assert_eq!(table.to_bytes(), peer("groups/test/data.tsv"));
}

#[test]
fn the_index_column_of_1_6_1_is_read_over_and_not_written() {
    let bytes = peer("groups/train/split-0/data.tsv");
    let table = DataTable::read(&bytes, "data.tsv").unwrap();
    let without: String = text(&bytes)
        .lines()
        .map(|line| line.split_once('\t').unwrap().1.to_owned() + "\n")
        .collect();
    assert_eq!(text(&table.to_bytes()), without);
}

#[test]
fn sessions_and_group_descriptions_of_1_6_1_survive_byte_for_byte() {
    let bytes = peer("groups/train+validation.tsv");
    assert_eq!(SessionsTable::read(&bytes, "t").unwrap().to_bytes(), bytes);
    let bytes = peer("groups/test/maps.json");
    assert_eq!(
        GroupJson::read(&bytes, "maps.json").unwrap().to_bytes(),
        bytes
    );
    assert_eq!(
        text(&GroupJson::default().to_bytes()),
        "{\n    \"caps_directory\": \"\",\n    \"multi_cohort\": false\n}"
    );
}

const GOOD: &str = "participant_id\tsession_id\timage_id\ttrue_label\tpredicted_label\tproba0\tproba1\n\
                    sub-1\tses-1\t0\t1\t0\t0.75\t0.25\n";

fn prediction(text: &str) -> Result<PredictionTable, MapsError> {
    PredictionTable::read(text.as_bytes(), "p.tsv")
}

#[test]
fn a_mark_crlf_and_quotes_are_accepted() {
    let spelled = GOOD.replace('\n', "\r\n").replace("sub-1", "\"sub-1\"");
    assert_eq!(
        prediction(&format!("\u{feff}{spelled}")).unwrap(),
        prediction(GOOD).unwrap()
    );
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let error = PredictionTable::read(b"participant_id\n\xff\n", "p.tsv").unwrap_err();
    assert!(matches!(error, MapsError::NotText { .. }));
}

#[test]
fn an_empty_file_is_refused() {
    assert_eq!(
        prediction("").unwrap_err().to_string(),
        "`p.tsv` is empty, expected a header line"
    );
}

#[test]
fn a_missing_column_is_named_with_what_is_there() {
    let error = prediction("participant_id\tsession\nsub-1\tses-1\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`p.tsv` has no column `session_id`, only `participant_id`, `session`"
    );
    assert!(
        matches!(prediction(&GOOD.replace("proba", "p")), Err(MapsError::MissingColumn { column, .. }) if column == "proba0")
    );
}

#[test]
fn a_ragged_row_is_named_by_its_line() {
    let error = prediction(&format!("{GOOD}sub-2\tses-1\t0\n")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`p.tsv`, line 3: expected 7 cells, got 3"
    );
}

#[test]
fn a_cell_of_the_wrong_type_is_named_by_line_and_column() {
    let error = prediction(&GOOD.replace("0.75", "high")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`p.tsv`, line 2, column `proba0`: expected a number, got `high`"
    );
    let error = prediction(&GOOD.replace("\t0\t1\t", "\t0\t1.0\t")).unwrap_err();
    assert!(matches!(
        error,
        MapsError::Cell {
            expected: "an integer",
            ..
        }
    ));
}

#[test]
fn an_empty_participant_is_refused() {
    let error = prediction(&GOOD.replace("sub-1", "")).unwrap_err();
    assert!(matches!(error, MapsError::Cell { column, .. } if column == "participant_id"));
}

#[test]
fn rows_that_do_not_fit_their_table_are_refused() {
    let rows = prediction(GOOD).unwrap().rows().to_vec();
    let error = PredictionTable::try_new(3, rows).unwrap_err();
    assert_eq!(error.to_string(), "row 0 has 2 probabilities, expected 3");
    let row = TrainingRow {
        epoch: 0,
        iteration: 0,
        time_s: None,
        train: vec![1.0],
        validation: vec![],
    };
    assert!(TrainingTable::try_new(vec!["loss".to_owned()], vec![row]).is_err());
}

#[test]
fn metrics_without_a_row_are_refused() {
    for bytes in [&b"Metrics\tBA\nValues\t0.5\n"[..], b"BA\n"] {
        let error = MetricsTable::read(bytes, "m.tsv").unwrap_err();
        assert!(matches!(error, MapsError::MissingRow { .. }), "{error}");
    }
}

#[test]
fn a_metric_of_training_only_is_refused() {
    let error = TrainingTable::read(b"epoch\titeration\ttime\tBA_train\n", "t.tsv").unwrap_err();
    assert!(matches!(error, MapsError::MissingColumn { column, .. } if column == "BA_valid"));
}

#[test]
fn a_label_that_was_not_used_is_minus_one() {
    let table = prediction(&GOOD.replace("\t0\t1\t", "\t0\t-1\t")).unwrap();
    assert_eq!(table.rows()[0].true_label, None);
    assert!(text(&table.to_bytes()).contains("\t0\t-1\t0\t"));
}

/// Names as they may come from tables: quotes, tabs and line breaks included.
fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9é\"\t\n -]{1,8}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_predictions_survive(rows in prop::collection::vec((name(), name(), prop::option::of(0_i64..3), prop::collection::vec(0.0_f64..=1.0, 3)), 0..6)) {
        let rows = rows.into_iter().map(|(participant, session, true_label, probabilities)| PredictionRow {
            participant, session, image_id: 0, true_label, predicted_label: 2, probabilities,
        });
        let table = PredictionTable::try_new(3, rows.collect()).unwrap();
        prop_assert_eq!(PredictionTable::read(&table.to_bytes(), "p").unwrap(), table);
    }

    #[test]
    fn any_data_survive(label in prop::option::of("[a-z]{1,6}x"), rows in prop::collection::vec((name(), name(), prop::option::of(name())), 0..6)) {
        let rows = rows.into_iter().map(|(participant, session, value)| DataRow {
            participant, session, cohort: SINGLE_COHORT.to_owned(), label: value.filter(|_| label.is_some()),
        });
        let table = DataTable { rows: rows.collect(), label };
        prop_assert_eq!(DataTable::read(&table.to_bytes(), "d").unwrap(), table);
    }

    #[test]
    fn any_finite_metrics_survive(columns in prop::collection::vec((name(), -1e300_f64..1e300, prop::option::of((0.0..1.0, 0.0..1.0, 0.0..1e-9))), 1..6)) {
        let columns = columns.into_iter().map(|(name, value, interval)| MetricColumn {
            name, value, interval: interval.map(|(lower, upper, standard_error)| Interval { lower, upper, standard_error }),
        });
        let table = MetricsTable { columns: columns.collect(), leakage: None };
        prop_assert_eq!(MetricsTable::read(&table.to_bytes(), "m").unwrap(), table);
    }

    #[test]
    fn every_finite_number_reads_back(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        prop_assert_eq!(python_repr(value).parse::<f64>().unwrap().to_bits(), bits);
    }
}
