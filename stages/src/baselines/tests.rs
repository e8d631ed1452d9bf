use serde_json::{Value, json};

use super::linear::Span;
use super::logistic::Logistic;
use super::matrix::Matrix;
use super::ridge::Ridge;
use super::scale::Scale;
use crate::predictions::world::{World, cells};
use crate::tensor_file;
use crate::volume::Volume;

/// Made by the script beside it with scikit-learn.
const REFERENCE: &str = include_str!("../../../tests/reference/metrics/baselines.json");

fn matrix(value: &Value) -> Matrix {
    let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).unwrap();
    Matrix::of_rows(rows[0].len(), rows)
}

#[test]
fn predictions_are_those_of_scikit_learn() {
    let reference: Value = serde_json::from_str(REFERENCE).unwrap();
    for case in reference["cases"].as_array().unwrap() {
        let (train, test) = (matrix(&case["train"]), matrix(&case["test"]));
        let scale = Scale::of(&train);
        let (mut train, mut test) = (scale.apply(train), scale.apply(test));
        if case["voxels"].as_bool().unwrap() {
            let count = train.width() as f64;
            let span = Span::of(&train.products(&train).divided(count));
            test = span.place(&test.products(&train).divided(count));
            train = span.coordinates;
        }
        let penalty = case["penalty"].as_f64().unwrap();
        let classes = case["classes"].as_u64().unwrap() as usize;
        let got: Vec<f64> = match classes {
            0 => {
                let truth: Vec<f64> = serde_json::from_value(case["truth"].clone()).unwrap();
                let model = Ridge::fit(&train, &truth, penalty).unwrap();
                model.predict(&test)
            }
            _ => {
                let truth: Vec<usize> = serde_json::from_value(case["truth"].clone()).unwrap();
                let model = Logistic::fit(&train, &truth, classes, penalty).unwrap();
                model.probabilities(&test).values().to_vec()
            }
        };
        let expected: Vec<f64> = serde_json::from_value(case["expected"].clone()).unwrap();
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(&expected) {
            // Where its solver stops.
            let error = (got - expected).abs() / expected.abs().max(1.0);
            assert!(
                error < 1e-6,
                "{classes} classes: {got}, expected {expected}"
            );
        }
    }
}

#[test]
fn a_span_keeps_distances_and_needs_no_more_numbers_than_there_are_directions() {
    // Points on a plane in ten dimensions.
    let point = |i: usize| {
        let (a, b) = (i as f64 - 2.0, (i * i) as f64 / 5.0);
        let feature = |j: usize| a * (j as f64).sin() + b * (j as f64).cos();
        (0..10).map(feature).collect()
    };
    let points = Matrix::of_rows(10, (0..6).map(point).collect());
    let all = points.products(&points);
    let span = Span::of(&all);
    assert_eq!(span.coordinates.width(), 2);
    let near = |a: &Matrix, b: &Matrix| {
        let mut pairs = a.values().iter().zip(b.values());
        pairs.all(|(a, b)| (a - b).abs() < 1e-10)
    };
    assert!(near(&span.coordinates.products(&span.coordinates), &all));
    assert!(near(&span.place(&all), &span.coordinates));
}

/// A world of participants whose class follows from their age, and whose images tell it too.
fn world() -> World {
    let world = World::new();
    let row = |i: usize| {
        let label = ["AD", "CN"][i % 2];
        let age = if i.is_multiple_of(2) { 75.0 } else { 65.0 } + ((i * 7) % 13) as f64 - 6.0;
        let (sex, score) = (["F", "M"][i / 2 % 2], age * 2.0 + (i % 5) as f64);
        format!("sub-{i:02}\tses-M000\t{label}\t{age}\t{sex}\t{score}\n")
    };
    let table = |rows: std::ops::Range<usize>| {
        let header = "participant_id\tsession_id\tdiagnosis\tage\tsex\tscore\n".to_owned();
        header + &rows.map(row).collect::<String>()
    };
    world.write("splits/train.tsv", &table(0..30));
    world.write("splits/validation_baseline.tsv", &table(30..40));
    world.write("test.tsv", &table(40..52));
    let mut index = "participant_id\tsession_id\tfile\n".to_owned();
    std::fs::create_dir_all(world.path("tensors/images")).unwrap();
    for i in 0..52 {
        let file = format!("images/sub-{i:02}_ses-M000.safetensors");
        index.push_str(&format!("sub-{i:02}\tses-M000\t{file}\n"));
        let voxel = |v: usize| {
            let noise = ((v * 7919 + i * 104_729) % 1009) as f32 / 1009.0;
            if i % 2 == 0 && v < 200 {
                0.6 * noise
            } else {
                noise
            }
        };
        let volume = Volume {
            data: (0..10 * 9 * 8).map(voxel).collect(),
            shape: [10, 9, 8],
            affine: [
                [1.0, 0.0, 0.0, 0.0],
                [0.0, 1.0, 0.0, 0.0],
                [0.0, 0.0, 1.0, 0.0],
                [0.0, 0.0, 0.0, 1.0],
            ],
        };
        tensor_file::write_volume(&world.path(&format!("tensors/{file}")), &volume).unwrap();
    }
    world.write("tensors/images.tsv", &index);
    let extraction = json!({
        "preprocessing": "t1-linear", "mode": "image", "use_uncropped_image": false,
        "prepare_dl": false, "extract_json": "extract.json",
        "file_type": { "pattern": "*", "description": "", "needed_pipeline": "t1-linear" },
    });
    world.write("tensors/extraction.json", &extraction.to_string());
    world
}

const ALL: [(&str, &str, &str); 3] = [
    ("splits", "splits", "splits"),
    ("participants", "test.tsv", "table"),
    ("images", "tensors", "tensors"),
];

fn metric(world: &World, path: &str, name: &str) -> f64 {
    let table = cells(&world.text(path));
    table[0][name].parse().unwrap()
}

#[test]
fn every_model_is_tested_on_validation_and_on_the_data_group() {
    let world = world();
    let params = json!({
        "models": ["majority", "covariates", "voxels"], "covariates": ["age", "sex"],
        "downsampling": 2, "bootstrap": 20,
    });
    world.run("baselines", params, &ALL, "made").unwrap();
    for group in ["validation", "test"] {
        let metrics =
            |model: &str| format!("made/baseline-{model}/{group}/{group}_image_level_metrics.tsv");
        assert!((metric(&world, &metrics("majority"), "AUC") - 0.5).abs() < 1e-12);
        assert!(metric(&world, &metrics("covariates"), "BA") > 0.7);
        assert!(metric(&world, &metrics("voxels"), "BA") > 0.9);
        assert!(
            world
                .path(&format!("made/groups/{group}/data.tsv"))
                .exists()
        );
        assert!(
            world
                .path(&format!("made/leakage/baselines-{group}.json"))
                .exists()
        );
    }
    let table = cells(&world.text("made/baseline-majority/test/test_image_level_prediction.tsv"));
    assert_eq!(table.len(), 12);
    assert!(table.iter().all(|row| row["proba0"] == "0.5"));
}

#[test]
fn numbers_are_predicted_from_columns_and_from_voxels() {
    let world = world();
    let params = json!({
        "task": "regression", "label": "score", "models": ["majority", "covariates"],
        "covariates": ["age"], "bootstrap": 20,
    });
    world.run("baselines", params, &ALL[..2], "made").unwrap();
    let path = |model: &str| format!("made/baseline-{model}/test/test_image_level_metrics.tsv");
    assert!(metric(&world, &path("covariates"), "R2_score") > 0.9);
    assert!(metric(&world, &path("majority"), "R2_score") <= 0.0);
}

#[test]
fn what_is_tested_changes_nothing_of_what_is_fitted() {
    let world = world();
    let params = json!({ "models": ["covariates"], "covariates": ["age", "sex"], "bootstrap": 5 });
    world
        .run("baselines", params.clone(), &ALL[..2], "one")
        .unwrap();
    // Other ages in the test: the same predictions on validation.
    let text = world.text("test.tsv").replace("\t7", "\t9");
    world.write("test.tsv", &text);
    world.run("baselines", params, &ALL[..2], "two").unwrap();
    let validation = "baseline-covariates/validation/validation_image_level_prediction.tsv";
    assert_eq!(
        world.text(&format!("one/{validation}")),
        world.text(&format!("two/{validation}"))
    );
}

#[test]
fn leaks_and_holes_are_refused_by_name() {
    let world = world();
    let params = json!({ "models": ["covariates"], "covariates": ["age", "sex"], "bootstrap": 5 });
    let test = world.text("test.tsv");
    let refused = |world: &World, part: &str| {
        let error = world
            .run("baselines", params.clone(), &ALL[..2], "made")
            .unwrap_err();
        assert!(error.message.contains(part), "{error:?}");
    };
    world.write("test.tsv", &test.replace("sub-41", "sub-01"));
    refused(&world, "`sub-01`");
    world.write("test.tsv", &test.replace("\tM\t", "\tX\t"));
    refused(&world, "`X` is not in the training table");
    world.write("test.tsv", &test.replacen("\tF\t", "\t\t", 1));
    refused(&world, "line 2, column `sex`: the value is missing");
    world.write("test.tsv", &test.replacen("\tAD\t", "\tMCI\t", 1));
    refused(&world, "label `MCI` is not one of the training: `AD`, `CN`");
    let no_images = json!({ "models": ["voxels"] });
    world.write("test.tsv", &test);
    let error = world
        .run("baselines", no_images, &ALL[..2], "made")
        .unwrap_err();
    assert!(
        error.message.contains("input `images` is not connected"),
        "{error:?}"
    );
}
