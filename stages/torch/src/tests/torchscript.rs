//! Modules of TorchScript: what PyTorch makes of them, and what becomes of them in stages.

use std::collections::BTreeMap;

use engine::StageError;
use engine::context::StageEvent;
use maps::files::PredictionTable;
use maps::weights::read_pth;
use serde_json::{Map, Value, json};
use stages::learning::networks::declared;
use stages::learning::optimizers::OptimizerParams;
use tch::{Kind, Tensor};

use super::world::{Done, World, baseline, rows, table};
use crate::networks::{Mode, ModuleFile, Network, NetworkSpec, build};
use crate::optimizers::Optimizer;
use crate::session::Session;
use crate::state::Role;
use crate::testing::{floats, head, numbered_images, reference};

/// Sums of some thousand numbers, in another order on another processor.
const TOLERANCE: f64 = 1e-5;

/// A world with a module in it.
fn world_with(module: &str) -> World {
    let world = World::new();
    let from = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/reference/learning/torchscript"
    );
    let bytes = std::fs::read(format!("{from}/{module}.pt")).unwrap();
    std::fs::write(world.path("net.pt"), bytes).unwrap();
    world
}

fn spec(world: &World, output_size: i64) -> NetworkSpec {
    let input = world.input("net.pt", "module");
    NetworkSpec {
        declaration: declared("TorchScript").unwrap(),
        input_size: vec![1, 18, 18, 18],
        output_size,
        options: Map::new(),
        module: Some(ModuleFile::read(input.only_file().unwrap()).unwrap()),
    }
}

fn refused(world: &World, output_size: i64) -> StageError {
    let session = Session::for_test();
    build(&spec(world, output_size), &session).err().unwrap()
}

/// Fails where a number differs by more than a part of itself or of what is usual among the others.
#[track_caller]
fn assert_near(tensor: &Tensor, expected: &Value, noise: f64, what: &str) {
    let mut expected = floats(expected);
    let length = expected.pop().unwrap();
    let whole = tensor.detach().to_kind(Kind::Double);
    let usual = length / (whole.numel() as f64).sqrt();
    let mut got = head(tensor, expected.len());
    got.push(whole.norm().double_value(&[]));
    expected.push(length);
    for (got, expected) in got.iter().zip(&expected) {
        let allowed = TOLERANCE * expected.abs().max(usual) + noise;
        assert!(
            (got - expected).abs() <= allowed,
            "{what}: got {got}, expected {expected}"
        );
    }
}

fn loss(network: &dyn Network, images: &Tensor) -> Tensor {
    let outputs = network.forward(images, Mode::Train).unwrap();
    match outputs.dim() {
        2 => outputs.cross_entropy_for_logits(&Tensor::from_slice(&[0_i64, 1, 1, 0])),
        _ => (outputs - images).square().mean(Kind::Float),
    }
}

#[test]
fn outputs_gradients_and_three_steps_are_those_of_pytorch() {
    let vectors = reference("torchscript.json");
    for (name, outputs) in [("classifier", 2), ("autoencoder", 0)] {
        let case = &vectors["cases"][name];
        let session = Session::for_test();
        let network = build(&spec(&world_with(name), outputs), &session).unwrap();
        let state = network.state();
        let names: Vec<&String> = state.entries().iter().map(|entry| &entry.name).collect();
        let trained = case["trained"].as_object().unwrap();
        assert_eq!(
            names,
            trained.keys().collect::<Vec<_>>(),
            "{name}: order of the state dict"
        );
        let images = numbered_images(4, &[1, 18, 18, 18]);
        let evaluated = tch::no_grad(|| network.forward(&images, Mode::Evaluate)).unwrap();
        assert_near(&evaluated, &case["evaluated"], 0.0, name);

        state.require_gradients().unwrap();
        let parameters = state.parameters();
        let fitted = state
            .entries()
            .iter()
            .filter(|entry| entry.role == Role::Parameter);
        let fitted: Vec<&String> = fitted.map(|entry| &entry.name).collect();
        let expected = case["gradients"].as_object().unwrap();
        assert_eq!(
            fitted,
            expected.keys().collect::<Vec<_>>(),
            "{name}: unused ones are idle"
        );
        let longest = expected.values().map(|kept| *floats(kept).last().unwrap());
        let longest = longest.fold(0.0, f64::max);
        let momentum = vectors["momentum"].clone();
        let options =
            json!({ "learning_rate": vectors["rate"], "weight_decay": 0.0, "momentum": momentum });
        let options = OptimizerParams::new("SGD", options.as_object().unwrap().clone());
        let mut optimizer = Optimizer::new(&options, state.parameters()).unwrap();
        for step in 0..vectors["steps"].as_u64().unwrap() {
            session.seed(vectors["seed"].as_u64().unwrap() + step);
            let loss = loss(network.as_ref(), &images);
            let mut gradients =
                Tensor::f_run_backward(&[&loss], &parameters, false, false).unwrap();
            if step == 0 {
                let got = loss.double_value(&[]);
                let expected = case["loss"].as_f64().unwrap();
                assert!(
                    (got - expected).abs() <= TOLERANCE * expected,
                    "{name}: {got} {expected}"
                );
                for (parameter, gradient) in fitted.iter().zip(&gradients) {
                    // Of biases before a batch norm it is rounding noise.
                    let what = format!("{name}: \u{2202}{parameter}");
                    assert_near(
                        gradient,
                        &case["gradients"][*parameter],
                        2e-6 * longest,
                        &what,
                    );
                }
            }
            optimizer.step(&mut gradients).unwrap();
        }
        for entry in state.entries() {
            let what = format!("{name}: {}", entry.name);
            assert_near(&entry.tensor, &case["trained"][&entry.name], 1e-6, &what);
        }
    }
}

fn train(world: &World, store: &str, changes: Value) -> Result<Done, StageError> {
    train_until(world, store, changes, &|_| false)
}

fn train_until(
    world: &World,
    store: &str,
    changes: Value,
    stop: &(dyn Fn(&StageEvent) -> bool + Sync),
) -> Result<Done, StageError> {
    let inputs = BTreeMap::from([
        ("images", world.input("tensors", "tensors")),
        ("splits", world.input("splits", "splits")),
        ("network", world.input("net.pt", "module")),
    ]);
    let mut params = World::train_params(changes);
    params["network"] = json!({ "name": "TorchScript" });
    params["optimizer"] = json!({ "learning_rate": 1e-2 });
    world.run(store, "train", params, inputs, stop)
}

#[test]
fn a_module_is_trained_and_predicts_without_its_file() {
    let world = world_with("classifier");
    let model = train(&world, "main", json!({ "epochs": 4 })).unwrap();
    std::fs::remove_file(world.path("net.pt")).unwrap();
    let archive = read_pth(&model.bytes("best-loss/model.pth.tar")).unwrap();
    assert_eq!(archive.name.as_deref(), Some("TorchScript"));
    // Buffers are trained too.
    let seen = &archive.model["norm.num_batches_tracked"];
    assert!(matches!(seen.data(), maps::weights::ArrayData::I64(count) if count[0] > 0));
    world.write("test.tsv", &table(&baseline(&rows(10, 4))));
    let params = json!({ "data_group": "again", "allow_leakage": "the same images on purpose" });
    let predicted = world.apply("predict", &model, params.clone()).unwrap();
    let rows = |done: &Done, group: &str| {
        let path = format!("best-loss/{group}/{group}_image_level_prediction.tsv");
        let table = PredictionTable::read(&done.bytes(&path), &path).unwrap();
        table.rows().to_vec()
    };
    assert_eq!(rows(&predicted, "again"), rows(&model, "validation"));
    let explained = world.apply("interpret", &model, params).unwrap();
    assert!(
        explained
            .paths()
            .iter()
            .any(|path| path.ends_with("mean_image-0_map.nii.gz"))
    );
}

#[test]
fn an_interrupted_training_of_a_module_goes_on_to_the_same_bytes() {
    let world = world_with("classifier");
    let whole = train(&world, "whole", json!({})).unwrap();
    for start in [
        "epoch 1/3, loss",
        "epoch 2/3, loss",
        "epoch 3/3, validation",
    ] {
        let stop = |event: &StageEvent| matches!(event, StageEvent::Progress { detail, .. } if detail.starts_with(start));
        drop(train_until(&world, "resumed", json!({}), &stop));
    }
    let resumed = train(&world, "resumed", json!({})).unwrap();
    assert!(resumed.events.iter().any(|event| {
        matches!(event, StageEvent::Info { message } if message.starts_with("going on after"))
    }));
    assert_eq!(resumed.input.digest, whole.input.digest);
}

#[test]
fn a_module_restores_images() {
    let world = world_with("autoencoder");
    let model = train(&world, "main", json!({ "task": "reconstruction" })).unwrap();
    assert!(model.paths().contains(&"network.pt"));
    let predicted = world.apply("predict", &model, json!({})).unwrap();
    assert!(
        predicted
            .paths()
            .iter()
            .any(|path| path.ends_with("_metrics.tsv"))
    );
}

#[test]
fn what_is_no_module_or_does_not_fit_is_told() {
    for (module, outputs, told) in [
        (
            "classifier",
            3,
            "gives [1, 2] of type Float, expected [1, 3] of type Float",
        ),
        (
            "classifier",
            0,
            "gives [1, 2] of type Float, expected [1, 1, 18, 18, 18]",
        ),
        ("frozen", 2, "has no parameter that could be fitted"),
        ("weights", 2, "no module of TorchScript"),
        ("files", 2, "uses `from_file`: only computation"),
        ("tied", 1, "`2.weight` and `3.weight` are the same tensor"),
    ] {
        let error = refused(&world_with(module), outputs);
        assert!(error.message.contains(told), "{module}: {}", error.message);
        assert!(error.message.starts_with("`net.pt`: "), "{}", error.message);
    }
    let world = world_with("classifier");
    let mut small = spec(&world, 2);
    small.input_size = vec![1, 18, 18, 9];
    let error = build(&small, &Session::for_test()).err().unwrap();
    let told = "does not take images [1, 1, 18, 18, 9]: ";
    assert!(error.message.contains(told), "{}", error.message);
    assert!(
        error.message.contains("shapes cannot be multiplied"),
        "{}",
        error.message
    );
    let bytes = std::fs::read(world.path("net.pt")).unwrap();
    for (text, told) in [
        (&b"none"[..], "not a PyTorch zip archive"),
        (&bytes[..bytes.len() / 2], "damaged zip archive"),
    ] {
        std::fs::write(world.path("net.pt"), text).unwrap();
        let error = refused(&world, 2);
        assert!(error.message.contains(told), "{}", error.message);
    }
}
