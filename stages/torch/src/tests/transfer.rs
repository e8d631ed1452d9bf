//! Trainings that start from the weights of others.

use std::collections::BTreeMap;

use engine::{Input, StageError};
use maps::weights::{Weights, read_safetensors};
use serde_json::{Value, json};

use super::world::{Done, World, baseline, rows, table};

/// Trains on the split tables, from a source.
fn train_from(world: &World, source: Input, changes: Value) -> Result<Done, StageError> {
    let inputs = BTreeMap::from([
        ("images", world.input("tensors", "tensors")),
        ("splits", world.input("splits", "splits")),
        ("source", source),
    ]);
    let params = World::train_params(changes);
    world.run("main", "train", params, inputs, &|_| false)
}

/// Other participants than those of the first training.
fn next_generation(world: &World, first: usize) {
    world.write("splits/train.tsv", &table(&rows(first, 4)));
    let validation = baseline(&rows(first + 4, 2));
    world.write("splits/validation_baseline.tsv", &table(&validation));
}

fn weights(model: &Done) -> Weights {
    read_safetensors(&model.bytes("best-loss/model.safetensors")).unwrap()
}

/// Names of tensors that differ, but for running statistics, which change with every image seen.
fn changed(before: &Weights, after: &Weights) -> Vec<String> {
    let parameters = after
        .iter()
        .filter(|(name, _)| !name.contains("running_") && !name.ends_with("num_batches_tracked"));
    parameters
        .filter(|(name, array)| before.get(*name) != Some(*array))
        .map(|(name, _)| name.clone())
        .collect()
}

#[test]
fn only_the_last_layers_are_fitted_where_the_others_are_frozen() {
    let world = World::new();
    let first = world.train("main", json!({})).unwrap();
    next_generation(&world, 14);
    let from = |changes| train_from(&world, first.input.clone(), changes).unwrap();
    let one = from(json!({ "nb_unfrozen_layer": 1, "epochs": 1 }));
    assert_eq!(
        changed(&weights(&first), &weights(&one)),
        ["fc.6.bias", "fc.6.weight"]
    );
    let named = from(json!({ "frozen": ["convolutions", "fc.2"], "epochs": 1 }));
    let expected = ["fc.4.bias", "fc.4.weight", "fc.6.bias", "fc.6.weight"];
    assert_eq!(changed(&weights(&first), &weights(&named)), expected);
    let all = from(json!({ "epochs": 1 }));
    assert_eq!(changed(&weights(&first), &weights(&all)).len(), 26);
    let error = train_from(&world, first.input.clone(), json!({ "frozen": ["fx"] })).unwrap_err();
    assert_eq!(error.message, "`frozen`: the network has no `fx`");
}

#[test]
fn an_autoencoder_and_a_network_exchange_their_convolutions() {
    let world = World::new();
    let first = world.train("main", json!({})).unwrap();
    next_generation(&world, 14);
    let coder = json!({
        "task": "reconstruction", "network": { "name": "AE_Conv5_FC3" }, "epochs": 1,
        "frozen": ["encoder"],
    });
    let second = train_from(&world, first.input.clone(), coder).unwrap();
    let (before, after) = (weights(&first), weights(&second));
    assert_eq!(after["encoder.16.weight"], before["convolutions.16.weight"]);
    next_generation(&world, 6);
    let network = json!({ "epochs": 1, "frozen": ["convolutions"], "allow_leakage": "a test" });
    let third = train_from(&world, second.input.clone(), network).unwrap();
    assert_eq!(
        weights(&third)["convolutions.0.bias"],
        after["encoder.0.bias"]
    );
    assert!(third.text("leakage/seen.tsv").contains("pre-training"));
}

#[test]
fn whom_the_source_has_seen_is_no_test_in_any_generation() {
    let world = World::new();
    let first = world.train("main", json!({})).unwrap();
    // The first model was fitted to participants 0 to 9.
    world.write("splits/train.tsv", &table(&rows(14, 4)));
    world.write(
        "splits/validation_baseline.tsv",
        &table(&baseline(&rows(4, 2))),
    );
    let error = train_from(&world, first.input.clone(), json!({})).unwrap_err();
    let start = "data leakage (biased transfer learning): pre-training (`train`) and validation";
    assert!(error.message.starts_with(start), "{error}");
    next_generation(&world, 14);
    let second = train_from(&world, first.input.clone(), json!({ "epochs": 1 })).unwrap();
    next_generation(&world, 6);
    // The second generation again starts from somebody: the tables overlap with the first.
    let allowed = json!({ "epochs": 1, "allow_leakage": "a test" });
    let third = train_from(&world, second.input.clone(), allowed).unwrap();
    world.write("test.tsv", &table(&rows(0, 2)));
    let error = world.apply("predict", &third, json!({})).unwrap_err();
    assert!(
        error.message.starts_with("data leakage (biased transfer"),
        "{error}"
    );
    assert!(error.message.contains("`sub-00`"), "{error}");
}

#[test]
fn files_of_weights_start_a_training_and_nobody_knows_whom_they_have_seen() {
    let world = World::new();
    let first = world.train("main", json!({})).unwrap();
    next_generation(&world, 14);
    for (file, from) in [
        ("w.safetensors", "best-loss/model.safetensors"),
        ("w.pth", "best-loss/model.pth.tar"),
    ] {
        std::fs::write(world.path(file), first.bytes(from)).unwrap();
        let input = world.input(file, "weights");
        let model = train_from(
            &world,
            input,
            json!({ "epochs": 1, "nb_unfrozen_layer": 1 }),
        );
        let model = model.unwrap();
        assert_eq!(
            changed(&weights(&first), &weights(&model)).len(),
            2,
            "{file}"
        );
        assert!(
            model.warnings()[0].starts_with("nobody can tell"),
            "{:?}",
            model.warnings()
        );
    }
}

#[test]
fn weights_that_do_not_fit_or_are_no_weights_are_refused() {
    let world = World::new();
    let first = world.train("main", json!({})).unwrap();
    next_generation(&world, 14);
    let other = json!({ "network": { "name": "Conv4_FC3" } });
    let error = train_from(&world, first.input.clone(), other).unwrap_err();
    assert!(
        error
            .message
            .contains("`fc.2.weight` has shape [1300, 128], expected [50, 128]"),
        "{error}"
    );
    let error = world
        .train("alone", json!({ "nb_unfrozen_layer": 1 }))
        .unwrap_err();
    assert!(error.message.contains("there is no `source`"), "{error}");
    std::fs::write(world.path("w.pth"), b"PK\x03\x04 and nothing more").unwrap();
    let error = train_from(&world, world.input("w.pth", "weights"), json!({})).unwrap_err();
    assert!(error.message.starts_with("`w.pth`: "), "{error}");
    let metric = json!({ "transfer_selection_metric": "balanced_accuracy" });
    let error = train_from(&world, first.input.clone(), metric).unwrap_err();
    assert!(error.message.contains("best-BA/model.pth.tar"), "{error}");
}
