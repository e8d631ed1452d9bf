//! MAPS that were imported are models.

use std::path::{Path, PathBuf};

use engine::inputs::split_view;
use maps::files::{MeasuredTable, PredictionTable, REGRESSION_COLUMNS};
use maps::import::import;
use serde_json::{Value, json};
use stages::consistency::unsupported;

use super::world::{Done, World, baseline, rows, table};

fn reference(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/reference")
        .join(path)
}

/// A split of an imported MAPS.
fn imported(world: &World, source: &Path, split: usize) -> Done {
    let target = world.path(&format!("imported-{split}"));
    import(source, &target, &unsupported).unwrap();
    Done {
        input: split_view(&world.read(&target, "maps", "maps"), split),
        events: Vec::new(),
    }
}

#[test]
fn an_imported_maps_of_2_0_predicts_what_clinicadl_predicts() {
    let world = World::empty();
    let everybody = baseline(&rows(0, 10));
    world.write_images(&everybody);
    world.write("test.tsv", &table(&everybody[8..]));
    let text = std::fs::read(reference("maps/predictions_2_0.json")).unwrap();
    let expected: Value = serde_json::from_slice(&text).unwrap();
    for split in 0..2 {
        let model = imported(&world, &reference("maps/peer_2_0"), split);
        let params = json!({ "use_labels": false, "selection_metrics": ["loss"] });
        let done = world.apply("predict", &model, params).unwrap();
        let path = "best-loss/test/test_image_level_prediction.tsv";
        let got = MeasuredTable::read(&done.bytes(path), path, &REGRESSION_COLUMNS).unwrap();
        let expected = &expected[format!("split-{split}")];
        assert_eq!(got.rows.len(), 2);
        for (i, row) in got.rows.iter().enumerate() {
            let (got, expected) = (row.values[1], expected[i].as_f64().unwrap());
            // Another build of libtorch adds in another order.
            assert!((got - expected).abs() < 1e-5, "{got}, expected {expected}");
        }
    }
}

#[test]
fn an_imported_maps_of_2_0_is_where_a_training_starts_from() {
    let world = World::empty();
    let everybody = baseline(&rows(0, 10));
    world.write_images(&everybody);
    world.write("splits/train.tsv", &ages(&everybody[..4]));
    world.write("splits/validation_baseline.tsv", &ages(&everybody[8..]));
    let model = imported(&world, &reference("maps/peer_2_0"), 0);
    let network = json!({
        "name": "CNN", "conv_args": { "channels": [2, 3], "stride": 2 },
        "mlp_args": { "hidden_dims": [4] },
    });
    let params = json!({
        "task": "regression", "label": "age", "epochs": 1, "batch_size": 2, "bootstrap": 10,
        "network": network,
    });
    let inputs = [
        ("images", world.input("tensors", "tensors")),
        ("splits", world.input("splits", "splits")),
        ("source", model.input.clone()),
    ];
    let done = world.run("main", "train", params, inputs.into(), &|_| false);
    assert!(
        done.unwrap()
            .paths()
            .contains(&"best-loss/model.safetensors")
    );
}

/// The rows with a column `age`.
fn ages(rows: &[super::world::Row]) -> String {
    let mut text = "participant_id\tsession_id\tage\n".to_owned();
    for (i, (participant, session, _)) in rows.iter().enumerate() {
        text.push_str(&format!("{participant}\t{session}\t{}\n", 60 + i));
    }
    text
}

#[test]
fn an_imported_maps_of_1_6_1_predicts_as_its_source() {
    let world = World::empty();
    let everybody = baseline(&rows(0, 8));
    world.write_images(&everybody);
    world.write("test.tsv", &table(&everybody[4..]));
    let source = reference("learning/maps");
    let direct = Done {
        input: split_view(&world.read(&source, "maps", "maps"), 0),
        events: Vec::new(),
    };
    let copy = imported(&world, &source, 0);
    let params = json!({ "allow_leakage": "a comparison", "bootstrap": 10 });
    let predictions = [direct, copy].map(|model| {
        let done = world.apply("predict", &model, params.clone()).unwrap();
        let path = "best-loss/test/test_image_level_prediction.tsv";
        PredictionTable::read(&done.bytes(path), path).unwrap()
    });
    assert_eq!(predictions[0], predictions[1]);
}
