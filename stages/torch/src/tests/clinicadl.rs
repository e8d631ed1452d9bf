//! Against a MAPS that ClinicaDL 1.6.1 trained; `tests/reference/learning/maps.py` made it.

use std::path::Path;

use engine::inputs::split_view;
use maps::files::{MetricsTable, PredictionTable};
use serde_json::json;

use super::world::{Done, World, baseline, rows, table};

const VALIDATION: &str = "best-loss/validation/validation_image_level";

/// The images and the MAPS of the reference.
fn reference() -> (World, Done) {
    let world = World::new();
    world.write_images(&baseline(&rows(0, 8)));
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/reference/learning/maps"
    );
    let whole = world.read(Path::new(folder), "maps", "maps");
    let maps = Done {
        input: split_view(&whole, 0),
        events: Vec::new(),
    };
    (world, maps)
}

fn predictions(done: &Done, prefix: &str) -> PredictionTable {
    let path = format!("{prefix}_prediction.tsv");
    PredictionTable::read(&done.bytes(&path), &path).unwrap()
}

fn metrics(done: &Done, prefix: &str) -> MetricsTable {
    let path = format!("{prefix}_metrics.tsv");
    MetricsTable::read(&done.bytes(&path), &path).unwrap()
}

/// The same rows, and probabilities that differ by rounding only: another machine adds otherwise.
fn assert_same_predictions(got: &PredictionTable, expected: &PredictionTable) {
    assert_eq!(got.rows().len(), expected.rows().len());
    for (got, expected) in got.rows().iter().zip(expected.rows()) {
        let name =
            |row: &maps::files::PredictionRow| (row.participant.clone(), row.session.clone());
        assert_eq!(name(got), name(expected));
        assert_eq!(got.true_label, expected.true_label);
        assert_eq!(got.predicted_label, expected.predicted_label);
        for (got, expected) in got.probabilities.iter().zip(&expected.probabilities) {
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }
    }
}

/// The same values; the loss of ClinicaDL is a sum over its two batches.
fn assert_same_metrics(got: &MetricsTable, expected: &MetricsTable) {
    for column in &expected.columns {
        let value = got.get(&column.name).unwrap().value;
        let (expected, tolerance) = match column.name.as_str() {
            "loss" => (column.value / 2.0, 1e-5),
            _ => (column.value, 1e-12),
        };
        assert!(
            (value - expected).abs() < tolerance,
            "{} {value}",
            column.name
        );
    }
}

#[test]
fn a_maps_of_clinicadl_predicts_what_clinicadl_stored() {
    let (world, maps) = reference();
    world.write("test.tsv", &table(&baseline(&rows(4, 4))));
    let refused = world.apply("predict", &maps, json!({})).unwrap_err();
    assert!(
        refused
            .message
            .contains("`sub-04`; `sub-05`; `sub-06`; `sub-07`")
    );
    let params = json!({ "allow_leakage": "a comparison", "batch_size": 2, "bootstrap": 10 });
    let done = world.apply("predict", &maps, params).unwrap();
    let ours = "best-loss/test/test_image_level";
    assert_same_predictions(&predictions(&done, ours), &predictions(&maps, VALIDATION));
    assert_same_metrics(&metrics(&done, ours), &metrics(&maps, VALIDATION));
}

#[test]
fn a_training_from_the_same_weights_in_the_same_order_ends_where_that_of_clinicadl_ends() {
    let (world, maps) = reference();
    world.write("splits/train.tsv", &table(&baseline(&rows(0, 4))));
    world.write(
        "splits/validation_baseline.tsv",
        &table(&baseline(&rows(4, 4))),
    );
    let changes = json!({
        "epochs": 2, "batch_size": 2, "optimizer": { "learning_rate": 1e-3 },
        "weights_seed": 0, "sampler_seed": 0,
    });
    let model = world.train("main", changes).unwrap();
    assert_same_predictions(
        &predictions(&model, VALIDATION),
        &predictions(&maps, VALIDATION),
    );
    assert_same_metrics(&metrics(&model, VALIDATION), &metrics(&maps, VALIDATION));
}
