//! A network of its own for each part of images.

use std::collections::BTreeMap;
use std::path::Path;

use engine::context::StageEvent;
use engine::inputs::split_view;
use engine::{FailureKind, Input, StageError};
use maps::files::{MapsJson, MetricsTable, NetworkMetrics, PredictionTable, TrainingTable};
use maps::weights::{read_pth, read_safetensors};
use serde_json::{Value, json};

use super::tasks::{TRAIN, VALIDATION, modes, parameters, tested, world};
use super::world::{Done, World, baseline, rows, table};

/// A short training with a network for each of the two patches.
fn short(changes: Value) -> Value {
    let mut params = json!({
        "multi_network": true, "epochs": 3, "batch_size": 8,
        "optimizer": { "learning_rate": 1e-3 }, "network": { "dropout": 0.3 },
    });
    for (key, value) in changes.as_object().unwrap() {
        params[key] = value.clone();
    }
    params
}

fn patches() -> World {
    world(modes()[1].clone(), &|number| number)
}

fn train_from(world: &World, source: Input, changes: Value) -> Result<Done, StageError> {
    let inputs = BTreeMap::from([
        ("images", world.input("tensors", "tensors")),
        ("splits", world.input("splits", "splits")),
        ("source", source),
    ]);
    let params = World::train_params(changes);
    world.run("main", "train", params, inputs, &|_| false)
}

#[test]
fn each_part_has_a_network_of_its_own_that_learns() {
    let world = patches();
    let mut params = parameters("classification");
    params["multi_network"] = json!(true);
    params["save_all_models"] = json!(true);
    let model = world.train("main", params).unwrap();
    let paths = model.paths();
    for network in 0..2 {
        for path in [
            format!("best-loss/network-{network}_model.pth.tar"),
            format!("best-loss/network-{network}_model.safetensors"),
            format!("all_models/network-{network}_model_epoch_7.pth.tar"),
            format!("training_logs/network-{network}/training.tsv"),
            format!(
                "training_logs/network-{network}/tensorboard/validation/events.out.tfevents.0.clinicadl"
            ),
        ] {
            assert!(paths.contains(&path.as_str()), "{path} of {paths:#?}");
        }
    }
    assert!(!paths.contains(&"best-loss/model.pth.tar"));
    let weights = |network| model.bytes(&format!("best-loss/network-{network}_model.pth.tar"));
    assert_ne!(weights(0), weights(1));
    let definition: Value = serde_json::from_slice(&model.bytes("maps.json")).unwrap();
    assert_eq!(definition["multi_network"], true);
    assert_eq!(definition["num_networks"], 2);
    let history = model.bytes("training_logs/network-1/training.tsv");
    assert_eq!(TrainingTable::read(&history, "t").unwrap().rows().len(), 8);

    let path = "best-loss/validation/validation_patch_level_prediction.tsv";
    let predictions = PredictionTable::read(&model.bytes(path), path).unwrap();
    let parts: Vec<u32> = predictions.rows().iter().map(|row| row.image_id).collect();
    let expected: Vec<u32> = [0, 1].into_iter().flat_map(|k| [k; VALIDATION]).collect();
    assert_eq!(parts, expected, "network by network");
    let path = "best-loss/train/train_image_level_prediction.tsv";
    let images = PredictionTable::read(&model.bytes(path), path).unwrap();
    assert_eq!((images.rows().len(), images.level()), (TRAIN, "image"));

    let done = world
        .apply("predict", &model, json!({ "bootstrap": 10 }))
        .unwrap();
    let path = "best-loss/test/test_patch_level_metrics.tsv";
    let metrics = NetworkMetrics::read(&done.bytes(path), path).unwrap();
    let networks: Vec<usize> = metrics
        .networks
        .iter()
        .map(|(network, _)| *network)
        .collect();
    assert_eq!(networks, [0, 1]);
    let accuracy = tested(&world, &model, &json!({ "mode": "image" }), "BA");
    assert!(accuracy >= 0.9, "{accuracy}");
}

#[test]
fn the_network_of_a_part_does_not_depend_on_the_other_parts() {
    let both = |changed: bool| {
        let world = patches();
        if changed {
            // Other voxels in the first patch of one participant.
            let path = world.path("tensors/images/sub-03.safetensors");
            let (_, mut data, affine) = stages::tensor_file::read(&path, "sub-03").unwrap();
            for (i, voxel) in data.iter_mut().enumerate() {
                if i % 36 < 18 {
                    *voxel = (i % 97) as f32;
                }
            }
            let volume = stages::volume::Volume {
                data,
                shape: [18, 18, 36],
                affine,
            };
            stages::tensor_file::write_volume(&path, &volume).unwrap();
        }
        let model = world.train("main", short(json!({ "epochs": 2 }))).unwrap();
        [0, 1].map(|network| model.bytes(&format!("best-loss/network-{network}_model.safetensors")))
    };
    let (before, after) = (both(false), both(true));
    assert_ne!(before[0], after[0]);
    assert_eq!(before[1], after[1]);
}

#[test]
fn a_training_that_was_stopped_goes_on_with_the_same_network_to_the_same_bytes() {
    let world = patches();
    let changes = short(json!({
        "selection_metrics": ["loss", "accuracy"], "sampler": "weighted", "patience": 3,
        "save_all_models": true,
    }));
    let whole = world.train("whole", changes.clone()).unwrap();
    for start in [
        "part 0: epoch 2/3, loss",
        "part 1: epoch 1/3, loss",
        "part 1: epoch 3/3, loss",
        "part 1: epoch 3/3, training loss",
    ] {
        let stop = |event: &StageEvent| matches!(event, StageEvent::Progress { detail, .. } if detail.starts_with(start));
        match world.train_until("stopped", changes.clone(), &stop) {
            Err(error) => assert_eq!(error.kind, FailureKind::Cancelled, "{error}"),
            Ok(done) => assert_eq!(done.input.digest, whole.input.digest),
        }
    }
    let resumed = world.train("stopped", changes.clone()).unwrap();
    assert_eq!(resumed.input.digest, whole.input.digest);
    let trained_again = resumed.events.iter().any(|event| {
        matches!(event, StageEvent::Progress { detail, .. } if detail.starts_with("part 0: epoch"))
    });
    assert!(!trained_again, "the first network was finished");
    // Killed within a network: only what its checkpoints hold is left.
    let stop = |event: &StageEvent| matches!(event, StageEvent::Progress { detail, .. } if detail.starts_with("part 1: epoch 2/3, loss"));
    drop(world.train_until("killed", changes.clone(), &stop));
    let again = world.train("killed", changes).unwrap();
    assert_eq!(again.input.digest, whole.input.digest);
}

#[test]
fn networks_start_from_a_single_one_or_each_from_its_own() {
    let world = patches();
    let still = json!({
        "optimizer": { "learning_rate": 1e-30, "weight_decay": 0.0 }, "epochs": 1,
        "allow_leakage": "a test",
    });
    let mut single = still.clone();
    single["epochs"] = json!(1);
    let single = world.train("main", single).unwrap();
    let multi = world.train("main", short(json!({ "epochs": 1 }))).unwrap();
    let kernel = |done: &Done, name: &str| {
        let weights = read_safetensors(&done.bytes(&format!("best-loss/{name}.safetensors")));
        weights.unwrap()["fc.6.weight"].clone()
    };
    let mut to_multi = still.clone();
    to_multi["multi_network"] = json!(true);
    let from_single = train_from(&world, single.input.clone(), to_multi.clone()).unwrap();
    let from_multi = train_from(&world, multi.input.clone(), to_multi).unwrap();
    for network in ["network-0_model", "network-1_model"] {
        assert_eq!(kernel(&from_single, network), kernel(&single, "model"));
        assert_eq!(kernel(&from_multi, network), kernel(&multi, network));
    }
    let error = train_from(&world, multi.input.clone(), still).unwrap_err();
    assert_eq!(
        error.message,
        "`source`: `train` has 2 networks, one for each part, which cannot start a single one"
    );
    assert!(error.hints[0].contains("multi_network: true"));
    let other = super::tasks::world(
        json!({ "mode": "patch", "patch_size": 18, "stride_size": 9 }),
        &|number| number,
    );
    let error = train_from(
        &other,
        multi.input.clone(),
        short(json!({ "allow_leakage": "a test" })),
    );
    let error = error.unwrap_err();
    assert!(
        error.message.contains("networks of 2 parts, expected 3"),
        "{error}"
    );
}

#[test]
fn whole_images_and_tables_that_lack_a_part_are_refused() {
    let world = World::new();
    let error = world
        .train("main", json!({ "multi_network": true }))
        .unwrap_err();
    assert!(
        error
            .message
            .starts_with("`multi_network`: the images were extracted whole"),
        "{error}"
    );
    let world = patches();
    let of_one = |first: usize, count: usize| {
        let rows = (first..first + count).map(|number| {
            let class = if number % 2 == 0 { "AD" } else { "CN" };
            format!("sub-{number:02}\tses-M000\t{class}\t1\n")
        });
        "participant_id\tsession_id\tdiagnosis\tpatch_id\n".to_owned() + &rows.collect::<String>()
    };
    world.write("splits/train.tsv", &of_one(0, 8));
    let error = world.train("main", short(json!({}))).unwrap_err();
    assert!(
        error
            .message
            .contains("has no image with part 0, expected parts 0 to 1"),
        "{error}"
    );
    assert!(error.hints[0].contains("column `patch_id`"), "{error}");
}

#[test]
fn a_model_of_parts_refuses_images_with_more_parts_and_lost_weights() {
    let world = patches();
    let model = world.train("main", short(json!({ "epochs": 1 }))).unwrap();
    let mut extraction: Value = serde_json::from_str(
        &std::fs::read_to_string(world.path("tensors/extraction.json")).unwrap(),
    )
    .unwrap();
    extraction["stride_size"] = json!(9);
    world.write("tensors/extraction.json", &extraction.to_string());
    let error = world.apply("predict", &model, json!({})).unwrap_err();
    assert!(
        error
            .message
            .ends_with("has networks of parts 0 to 1, but images of `test.tsv` have part 2"),
        "{error}"
    );
    extraction["stride_size"] = json!(18);
    world.write("tensors/extraction.json", &extraction.to_string());
    let mut lost = Done {
        input: model.input.clone(),
        events: Vec::new(),
    };
    lost.input.files.remove("best-loss/network-1_model.pth.tar");
    let error = world.apply("predict", &lost, json!({})).unwrap_err();
    assert!(
        error.message.contains("best-loss/network-1_model.pth.tar"),
        "{error}"
    );
}

#[test]
fn regions_of_different_sizes_are_learnt_by_networks_of_different_sizes() {
    let roi = json!({
        "mode": "roi", "roi_list": ["front", "back"], "uncropped_roi": false,
        "roi_custom_template": "", "roi_custom_mask_pattern": "", "roi_template": "x",
        "roi_mask_pattern": "",
    });
    let world = world(roi, &|number| number);
    let shape = [18, 18, 36];
    let inside = |i: usize| if i % 36 >= 14 { 1.0 } else { 0.0 };
    let mask = stages::volume::Volume {
        data: (0..18 * 18 * 36).map(inside).collect(),
        shape,
        affine: [
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ],
    };
    stages::io::nifti::write(&world.path("tensors/regions/back.nii.gz"), &mask).unwrap();
    let model = world.train("main", short(json!({ "epochs": 1 }))).unwrap();
    let definition = MapsJson::read(&model.bytes("maps.json"), "maps.json").unwrap();
    assert_eq!(
        definition.input_sizes().unwrap(),
        [[1, 18, 18, 18], [1, 18, 18, 22]]
    );
    let done = world
        .apply("predict", &model, json!({ "bootstrap": 10 }))
        .unwrap();
    assert!(
        done.paths()
            .contains(&"best-loss/test/test_image_level_metrics.tsv")
    );
}

/// `tests/reference/learning/multi_maps.py` made it: two slices, a network each.
fn of_clinicadl() -> (World, Done) {
    let world = World::new();
    world.write_images(&baseline(&rows(0, 8)));
    let extraction = json!({
        "preprocessing": "t1-linear", "mode": "slice", "use_uncropped_image": false,
        "prepare_dl": false, "extract_json": "extract.json",
        "slice_direction": 0, "slice_mode": "single", "discarded_slices": [8, 8],
        "file_type": { "pattern": "*", "description": "", "needed_pipeline": "t1-linear" },
    });
    world.write("tensors/extraction.json", &extraction.to_string());
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/reference/learning/multi_maps"
    );
    let whole = world.read(Path::new(folder), "maps", "maps");
    let maps = Done {
        input: split_view(&whole, 0),
        events: Vec::new(),
    };
    (world, maps)
}

#[test]
fn a_maps_of_clinicadl_with_several_networks_predicts_what_clinicadl_stored() {
    let (world, maps) = of_clinicadl();
    world.write("test.tsv", &table(&baseline(&rows(4, 4))));
    let params = |changes: Value| {
        let mut params = json!({ "allow_leakage": "a comparison", "bootstrap": 10 });
        for (key, value) in changes.as_object().unwrap() {
            params[key] = value.clone();
        }
        params
    };
    let done = world.apply("predict", &maps, params(json!({}))).unwrap();
    for level in ["slice", "image"] {
        let read = |done: &Done, group: &str| {
            let path = format!("best-loss/{group}/{group}_{level}_level_prediction.tsv");
            let table = PredictionTable::read(&done.bytes(&path), &path).unwrap();
            let mut rows = table.rows().to_vec();
            rows.sort_by(|a, b| (&a.participant, a.image_id).cmp(&(&b.participant, b.image_id)));
            rows
        };
        let (ours, theirs) = (read(&done, "test"), read(&maps, "validation"));
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours.participant, theirs.participant);
            assert_eq!(ours.predicted_label, theirs.predicted_label, "{level}");
            for (p, expected) in ours.probabilities.iter().zip(&theirs.probabilities) {
                // Another machine adds otherwise.
                assert!((p - expected).abs() < 1e-5, "{level}: {p} {expected}");
            }
        }
    }
    let path = "best-loss/test/test_image_level_metrics.tsv";
    let ours = MetricsTable::read(&done.bytes(path), path).unwrap();
    let path = "best-loss/validation/validation_image_level_metrics.tsv";
    let theirs = MetricsTable::read(&maps.bytes(path), path).unwrap();
    for column in &theirs.columns {
        let value = ours.get(&column.name).unwrap().value;
        assert!((value - column.value).abs() < 1e-12, "{}", column.name);
    }
    let path = "best-loss/validation/validation_slice_level_metrics.tsv";
    let networks = NetworkMetrics::read(&maps.bytes(path), path).unwrap();
    assert_eq!(networks.networks.len(), 2);
    // Both slices are right for half of the images.
    let none = params(json!({ "selection_threshold": 0.9 }));
    let done = world.apply("predict", &maps, none).unwrap();
    let told = done.warnings();
    let expected = "weigh nothing by `accuracy` with `selection_threshold: 0.9`";
    assert!(told.iter().any(|told| told.contains(expected)), "{told:?}");
}

#[test]
fn networks_of_a_maps_of_clinicadl_start_those_of_the_same_parts() {
    let (world, maps) = of_clinicadl();
    world.write_images(&rows(0, 24));
    let extraction = std::fs::read_to_string(world.path("tensors/extraction.json")).unwrap();
    let mut extraction: Value = serde_json::from_str(&extraction).unwrap();
    for (key, value) in [
        ("mode", json!("slice")),
        ("slice_direction", json!(0)),
        ("slice_mode", json!("single")),
        ("discarded_slices", json!([8, 8])),
    ] {
        extraction[key] = value;
    }
    world.write("tensors/extraction.json", &extraction.to_string());
    world.write("splits/train.tsv", &table(&baseline(&rows(10, 4))));
    let validation = table(&baseline(&rows(14, 4)));
    world.write("splits/validation_baseline.tsv", &validation);
    let still = json!({
        "multi_network": true, "network": { "name": "Conv4_FC3" }, "epochs": 1,
        "optimizer": { "learning_rate": 1e-30, "weight_decay": 0.0 },
    });
    let model = train_from(&world, maps.input.clone(), still).unwrap();
    for network in 0..2 {
        let path = format!("best-loss/network-{network}_model.pth.tar");
        let (before, after) = (maps.bytes(&path), model.bytes(&path));
        let (before, after) = (read_pth(&before).unwrap(), read_pth(&after).unwrap());
        assert_eq!(
            before.model["fc.2.weight"], after.model["fc.2.weight"],
            "{path}"
        );
    }
}
