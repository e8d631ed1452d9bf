//! Models as files of their own: what they say is what the models say, and they tell whom they have seen.

use std::collections::BTreeMap;

use engine::{Input, StageError};
use maps::files::{MetricsTable, PredictionTable};
use maps::weights::{pack_module, read_extra, read_pt};
use serde_json::{Value, json};
use tch::{CModule, Tensor};

use super::tasks::{modes, parameters, world as world_of};
use super::world::{Done, World, rows, table};
use crate::export::{DOCUMENT, Exported};
use crate::session::Session;
use crate::testing::head;

/// Of probabilities: libtorch's batch norm and that of this program add in another order.
const TOLERANCE: f64 = 1e-6;

fn export(world: &World, store: &str, model: &Done) -> Result<Done, StageError> {
    let inputs = BTreeMap::from([("model", model.input.clone())]);
    world.run(store, "export", json!({}), inputs, &|_| false)
}

/// The exported file where a user has put it.
fn given(world: &World, modules: &Done) -> Input {
    std::fs::write(world.path("net.pt"), modules.bytes("loss.pt")).unwrap();
    world.input("net.pt", "maps")
}

fn predict(world: &World, model: Input, params: Value) -> Result<Done, StageError> {
    let inputs = BTreeMap::from([
        ("model", model),
        ("images", world.input("tensors", "tensors")),
        ("participants", world.input("test.tsv", "table")),
    ]);
    world.run("main", "predict", params, inputs, &|_| false)
}

#[track_caller]
fn assert_same(one: &Done, other: &Done, level: &str) {
    let path = format!("best-loss/test/test_{level}_level_prediction.tsv");
    let read = |done: &Done| PredictionTable::read(&done.bytes(&path), &path).unwrap();
    let (one, other) = (read(one), read(other));
    assert_eq!(one.rows().len(), other.rows().len());
    for (a, b) in one.rows().iter().zip(other.rows()) {
        assert_eq!(
            (
                &a.participant,
                &a.session,
                a.image_id,
                a.true_label,
                a.predicted_label
            ),
            (
                &b.participant,
                &b.session,
                b.image_id,
                b.true_label,
                b.predicted_label
            )
        );
        for (p, q) in a.probabilities.iter().zip(&b.probabilities) {
            assert!((p - q).abs() <= TOLERANCE, "{p} {q}");
        }
    }
}

#[test]
fn a_file_predicts_what_the_maps_does_and_knows_whom_it_has_seen() {
    let world = World::new();
    // The images are made smaller too: of 18 voxels 7, 5 and 5 are left.
    let layers = json!([
        { "conv": { "channels": 4, "kernel": 3 } }, "batch_norm", "relu", "flatten", { "linear": "outputs" },
    ]);
    let params = json!({
        "epochs": 1, "size_reduction": true, "size_reduction_factor": 2,
        "network": { "name": "Layers", "layers": layers },
    });
    let model = world.train("main", params).unwrap();
    let modules = export(&world, "main", &model).unwrap();
    assert_eq!(modules.paths(), ["loss.pt"]);
    let again = export(&world, "again", &model).unwrap();
    assert_eq!(modules.bytes("loss.pt"), again.bytes("loss.pt"));

    let file = given(&world, &modules);
    let params = json!({ "bootstrap": 10 });
    let of_model = world.apply("predict", &model, params.clone()).unwrap();
    let of_file = predict(&world, file.clone(), params.clone()).unwrap();
    assert_same(&of_model, &of_file, "image");
    let of_stage = world.apply("predict", &modules, params.clone()).unwrap();
    assert_same(&of_model, &of_stage, "image");
    let checks =
        |done: &Done| -> Value { serde_json::from_str(&done.text("leakage/test.json")).unwrap() };
    assert_eq!(checks(&of_model)["checks"], checks(&of_file)["checks"]);
    assert!(checks(&of_file)["checks"].as_array().unwrap().len() >= 3);

    // Without this program: an image as it was extracted.
    let bytes = modules.bytes("loss.pt");
    let module = CModule::load_data(&mut bytes.as_slice()).unwrap();
    let image = Tensor::rand([2, 1, 18, 18, 18], (tch::Kind::Float, tch::Device::Cpu));
    let both = module.forward_ts(&[&image]).unwrap();
    assert_eq!(both.size(), [2, 2]);
    let second = module.forward_ts(&[&image.narrow(0, 1, 1)]).unwrap();
    for (a, b) in head(&both.narrow(0, 1, 1), 2).iter().zip(head(&second, 2)) {
        assert!((a - b).abs() <= 1e-5);
    }
    // Intensities are rescaled inside.
    let scaled = module
        .forward_ts(&[image.narrow(0, 1, 1) * 100.0 + 7.0])
        .unwrap();
    for (a, b) in head(&scaled, 2).iter().zip(head(&second, 2)) {
        assert!((a - b).abs() <= 1e-4, "{a} {b}");
    }
    let document = read_extra(&bytes, DOCUMENT).unwrap().unwrap();
    let document: Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(document["selection_metric"], "loss");
    assert_eq!(document["output"], "logits");
    assert_eq!(document["image_size"], json!([1, 17, 17, 17]));
    assert_eq!(
        document["parameters"]["label_code"],
        json!({ "AD": 0, "CN": 1 })
    );
    assert!(document["parameters"].get("caps_directory").is_none());

    // Everybody whom the training saw.
    world.write("test.tsv", &table(&rows(8, 4)));
    let error = predict(&world, file.clone(), params.clone()).unwrap_err();
    assert!(error.message.starts_with("data leakage ("), "{error:?}");
    assert!(
        error
            .message
            .contains("`sub-08`; `sub-09`; `sub-10`; `sub-11`"),
        "{error:?}"
    );
    let params = json!({ "bootstrap": 10, "allow_leakage": "a demonstration" });
    let marked = predict(&world, file, params).unwrap();
    let path = "best-loss/test/test_image_level_prediction.tsv";
    assert!(marked.text(path).contains("a demonstration"));
}

#[test]
fn parts_vote_as_they_do_in_the_maps() {
    let mode = modes()[1].clone();
    let world = world_of(mode, &|number| number);
    let mut params = parameters("classification");
    params["epochs"] = json!(2);
    let model = world.train("main", params).unwrap();
    let modules = export(&world, "main", &model).unwrap();
    let params = json!({ "bootstrap": 10 });
    let of_model = world.apply("predict", &model, params.clone()).unwrap();
    let of_file = predict(&world, given(&world, &modules), params).unwrap();
    for level in ["patch", "image"] {
        assert_same(&of_model, &of_file, level);
    }
}

#[test]
fn files_that_are_no_exported_models_are_refused() {
    let world = World::new();
    let from = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/reference/learning/torchscript"
    );
    let module = |name: &str| std::fs::read(format!("{from}/{name}.pt")).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(world.path("net.pt"), bytes).unwrap();
        predict(&world, world.input("net.pt", "maps"), json!({})).unwrap_err()
    };
    let classifier = module("classifier");
    let with = |document: &Value| {
        let text = document.to_string();
        pack_module(&classifier, "network", "", &[(DOCUMENT, text.as_bytes())]).unwrap()
    };
    let whole = json!({
        "format": 1, "selection_metric": "loss", "split": 0, "image_size": [1, 18, 18, 18],
        "output": "logits", "is_variational": false, "parameters": {}, "seen": "",
        "train_validation": null, "certificate": null, "voting": null,
    });
    let but = |key: &str, value: Value| {
        let mut document = whole.clone();
        document[key] = value;
        with(&document)
    };
    for (bytes, told) in [
        (classifier.clone(), "has no `extra/clinicadl.json`"),
        (b"none".to_vec(), "not a PyTorch zip archive"),
        (
            with(&json!({ "format": 1 })),
            "`extra/clinicadl.json` is damaged: missing field",
        ),
        (but("format", json!(2)), "has format 2, expected 1"),
        (
            but("selection_metric", json!("../../x")),
            "`../../x` is no selection metric",
        ),
        (
            but("seen", Value::Null),
            "does not tell whom the model has seen",
        ),
        (
            but("is_variational", json!(true)),
            "does not tell where the distribution of its autoencoder is",
        ),
        (
            {
                let mut document = whole.clone();
                document["is_variational"] = json!(true);
                document["beside"] = json!({ "image": [1, i64::MAX, 9], "latent": [3] });
                with(&document)
            },
            "`extra/clinicadl.json` is damaged: no image has the shape in `beside`",
        ),
        (
            but(
                "parameters",
                json!({ "multi_network": true, "num_networks": 2 }),
            ),
            "does not tell which part of images it is of",
        ),
        (with(&whole), "`net.pt/maps.json` has no key `network_task`"),
    ] {
        let error = refused(&bytes);
        assert!(error.message.contains(told), "{told}: {}", error.message);
        assert!(error.message.contains("net.pt"), "{}", error.message);
    }
    let error = Exported::load(&module("files"), "net.pt", None, &Session::for_test());
    let error = error.err().unwrap();
    assert!(
        error.message.contains("uses `from_file`: only computation"),
        "{error:?}"
    );
}

#[test]
fn networks_of_parts_are_files_that_predict_together() {
    let world = world_of(modes()[1].clone(), &|number| number);
    let mut params = parameters("classification");
    params["epochs"] = json!(1);
    params["multi_network"] = json!(true);
    let model = world.train("main", params).unwrap();
    let modules = export(&world, "main", &model).unwrap();
    let names = ["network-0_loss.pt", "network-1_loss.pt"];
    assert_eq!(modules.paths(), names);
    let params = json!({ "bootstrap": 10 });
    let of_model = world.apply("predict", &model, params.clone()).unwrap();
    let of_stage = world.apply("predict", &modules, params.clone()).unwrap();
    for level in ["patch", "image"] {
        assert_same(&of_model, &of_stage, level);
    }

    // In a folder of the user, with the file of each part.
    for name in names {
        let path = world.path(&format!("exported/{name}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, modules.bytes(name)).unwrap();
    }
    let folder = || world.input("exported", "maps");
    let of_folder = predict(&world, folder(), params.clone()).unwrap();
    assert_same(&of_model, &of_folder, "image");
    std::fs::remove_file(world.path("exported/network-1_loss.pt")).unwrap();
    let error = predict(&world, folder(), params.clone()).unwrap_err();
    let told = "lacks the network of part 1 selected by `loss`, expected 2";
    assert!(error.message.contains(told), "{error:?}");
    std::fs::copy(
        world.path("exported/network-0_loss.pt"),
        world.path("exported/network-1_loss.pt"),
    )
    .unwrap();
    let error = predict(&world, folder(), params).unwrap_err();
    let told = "has two models of part 0 selected by `loss`";
    assert!(error.message.contains(told), "{error:?}");
}

#[test]
fn a_variational_autoencoder_predicts_from_its_file_with_its_loss_and_its_codes() {
    let world = World::new();
    let params = json!({
        "task": "reconstruction", "epochs": 1, "loss": "VAEGaussianLoss",
        "network": { "name": "VAE", "latent_size": 3, "conv_args": { "channels": [2], "stride": 2 } },
    });
    let model = world.train("main", params).unwrap();
    let modules = export(&world, "main", &model).unwrap();
    let bytes = modules.bytes("loss.pt");
    let module = CModule::load_data(&mut bytes.as_slice()).unwrap();
    let images = Tensor::rand([2, 1, 18, 18, 18], (tch::Kind::Float, tch::Device::Cpu));
    let whole = module.forward_ts(&[&images]).unwrap();
    assert_eq!(whole.size(), images.size());
    let latent = module.method_is("latent", &[tch::IValue::Tensor(images)]);
    let tch::IValue::Tuple(latent) = latent.unwrap() else {
        panic!("mean and log variance");
    };
    for part in latent {
        let tch::IValue::Tensor(part) = part else {
            panic!("a tensor");
        };
        assert_eq!(part.size(), [2, 3]);
    }

    let params = json!({ "bootstrap": 10, "save": ["latent"] });
    let of_model = world.apply("predict", &model, params.clone()).unwrap();
    let of_file = predict(&world, given(&world, &modules), params).unwrap();
    assert_eq!(of_model.paths(), of_file.paths());
    let path = "best-loss/test/test_image_level_metrics.tsv";
    let metrics = |done: &Done| MetricsTable::read(&done.bytes(path), path).unwrap();
    let (of_model_metrics, of_file_metrics) = (metrics(&of_model), metrics(&of_file));
    for metric in ["loss", "MAE", "SSIM"] {
        let value = |table: &MetricsTable| table.get(metric).unwrap().value;
        let (one, other) = (value(&of_model_metrics), value(&of_file_metrics));
        assert!(
            (one - other).abs() <= 1e-5 * one.abs().max(1.0),
            "{metric}: {one} {other}"
        );
    }
    let codes: Vec<&str> = of_file
        .paths()
        .into_iter()
        .filter(|path| path.ends_with("_latent.pt"))
        .collect();
    assert!(!codes.is_empty());
    for path in codes {
        let code = |done: &Done| {
            read_pt(&done.bytes(path))
                .unwrap()
                .as_f32()
                .unwrap()
                .to_vec()
        };
        for (one, other) in code(&of_model).iter().zip(code(&of_file)) {
            assert!((one - other).abs() <= 1e-5, "{path}: {one} {other}");
        }
    }
}
