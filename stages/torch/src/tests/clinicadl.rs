//! Against a MAPS that ClinicaDL 1.6.1 trained; `tests/reference/learning/maps.py` made it.

use std::path::Path;

use engine::inputs::split_view;
use engine::seed::Stream;
use maps::files::{MetricsTable, PredictionTable, TrainingTable};
use maps::weights::read_pth;
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

/// Seeds of the batches of three epochs of two batches each.
fn seeds() -> Vec<u64> {
    let stream = Stream::root(42).child("train").child("split").child(0);
    let batch = |epoch: u32, index: usize| {
        let stream = stream.child("epoch").child(epoch).child("batch");
        stream.child(index).seed()
    };
    let epoch = |epoch| (0..2).map(move |index| batch(epoch, index));
    (0..3).flat_map(epoch).collect()
}

#[test]
fn three_epochs_from_the_same_weights_have_the_losses_of_clinicadl() {
    let expected = crate::testing::reference("epochs.json");
    let drawn: Vec<u64> = serde_json::from_value(expected["seeds"].clone()).unwrap();
    assert_eq!(drawn, seeds(), "the script draws from these");
    let autoencoder = json!({
        "task": "reconstruction", "network": { "name": "AE_Conv5_FC3" },
        "optimizer": { "learning_rate": 1e-2 },
    });
    // A sum over the two images of a batch, where ours is a mean.
    let variational = json!({
        "task": "reconstruction", "loss": "VAEGaussianLoss",
        "network": { "name": "Vanilla3DdenseVAE", "recons_weight": 2 },
        "optimizer": { "learning_rate": 1e-3 },
    });
    for (name, shape, mut params) in [
        (
            "classification",
            [18; 3],
            json!({ "optimizer": { "learning_rate": 1e-3 } }),
        ),
        ("autoencoder", [18; 3], autoencoder),
        ("variational", [32, 40, 32], variational),
    ] {
        let (world, _) = reference();
        for (number, (participant, session, label)) in baseline(&rows(0, 8)).iter().enumerate() {
            let file = format!("images/{participant}_{session}.safetensors");
            world.write_image(&file, number, label, shape);
        }
        world.write("splits/train.tsv", &table(&baseline(&rows(0, 4))));
        let validation = table(&baseline(&rows(4, 4)));
        world.write("splits/validation_baseline.tsv", &validation);
        for (key, value) in json!({ "batch_size": 2, "weights_seed": 0, "sampler_seed": 0 })
            .as_object()
            .unwrap()
        {
            params[key] = value.clone();
        }
        let model = world.train("main", params).unwrap();
        let path = "training_logs/training.tsv";
        let history = TrainingTable::read(&model.bytes(path), path).unwrap();
        let last = history.metrics().len() - 1;
        assert_eq!(history.metrics()[last], "loss");
        for (kind, losses) in [
            (
                "train",
                history
                    .rows()
                    .iter()
                    .map(|row| row.train[last])
                    .collect::<Vec<_>>(),
            ),
            (
                "valid",
                history
                    .rows()
                    .iter()
                    .map(|row| row.validation[last])
                    .collect(),
            ),
        ] {
            // Of ClinicaDL, sums over two batches.
            let expected = crate::testing::floats(&expected[name][kind]);
            assert_eq!(losses.len(), expected.len());
            for (loss, expected) in losses.iter().zip(expected.iter().map(|sum| sum / 2.0)) {
                let error = (loss - expected).abs() / expected;
                assert!(error < 1e-4, "{name} {kind}: {loss}, expected {expected}");
            }
        }
    }
}

#[test]
fn a_training_starts_from_a_maps_of_clinicadl_and_from_nobody_it_has_seen() {
    let (world, maps) = reference();
    world.write_images(&rows(0, 24));
    let train = |changes: serde_json::Value| {
        let inputs = std::collections::BTreeMap::from([
            ("images", world.input("tensors", "tensors")),
            ("splits", world.input("splits", "splits")),
            ("source", maps.input.clone()),
        ]);
        world.run(
            "main",
            "train",
            World::train_params(changes),
            inputs,
            &|_| false,
        )
    };
    // Its validation set was seen too: it chose the weights.
    world.write("splits/train.tsv", &table(&baseline(&rows(10, 4))));
    world.write(
        "splits/validation_baseline.tsv",
        &table(&baseline(&rows(6, 4))),
    );
    let refused = train(json!({})).unwrap_err();
    assert!(
        refused.message.contains("`sub-06`; `sub-07`"),
        "{}",
        refused.message
    );
    world.write(
        "splits/validation_baseline.tsv",
        &table(&baseline(&rows(14, 4))),
    );
    // Steps too small to move a weight.
    let still =
        json!({ "epochs": 1, "optimizer": { "learning_rate": 1e-30, "weight_decay": 0.0 } });
    let model = train(still).unwrap();
    let before = read_pth(&maps.bytes("best-loss/model.pth.tar"))
        .unwrap()
        .model;
    let after = read_pth(&model.bytes("best-loss/model.pth.tar"))
        .unwrap()
        .model;
    assert_eq!(before.len(), after.len());
    let fitted = before
        .iter()
        .filter(|(name, _)| !name.contains("running_") && !name.ends_with("num_batches_tracked"));
    for (name, array) in fitted {
        assert_eq!(after.get(name), Some(array), "{name}");
    }
    // The next generation may not be tested on those whom the first one saw.
    world.write("test.tsv", &table(&baseline(&rows(0, 4))));
    let refused = world.apply("predict", &model, json!({})).unwrap_err();
    assert!(refused.message.contains("`sub-00`"), "{}", refused.message);
}
