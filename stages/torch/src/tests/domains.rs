//! Two domains: a source with many labels, a target with few.

use std::collections::BTreeMap;

use engine::context::StageEvent;
use engine::{FailureKind, Input, StageError};
use maps::files::{MapsJson, MetricsTable, PredictionTable, TrainingTable};
use maps::weights::read_pth;
use serde_json::{Value, json};
use stages::tensor_file;
use stages::volume::Volume;

use super::world::{Done, Row, SIZE, World, baseline, rows, table};

/// Participants of the target: labelled for training, for validation, without labels, for the test.
const LABELLED: usize = 40;
const VALIDATION: usize = 50;
const UNLABELLED: usize = 60;
const TESTED: usize = 80;

/// A source of twelve participants and their validation, a target of which four have a label.
fn world() -> World {
    let world = World::empty();
    world.write_images(&rows(0, 16));
    world.write("splits/train.tsv", &table(&rows(0, 12)));
    let validation = baseline(&rows(12, 4));
    world.write("splits/validation_baseline.tsv", &table(&validation));
    let (labelled, validation) = (of(LABELLED, 4), of(VALIDATION, 6));
    let (unlabelled, tested) = (of(UNLABELLED, 12), of(TESTED, 4));
    world.write("target/train.tsv", &table(&labelled));
    world.write("target/validation_baseline.tsv", &table(&validation));
    world.write("unlabelled.tsv", &without_labels(&unlabelled));
    world.write("test.tsv", &table(&tested));
    let all = [labelled, validation, unlabelled, tested].concat();
    write_target(&world, &all, [SIZE; 3]);
    world
}

fn of(first: usize, count: usize) -> Vec<Row> {
    baseline(&rows(first, count))
}

fn without_labels(rows: &[Row]) -> String {
    let mut text = "participant_id\tsession_id\n".to_owned();
    for (participant, session, _) in rows {
        text.push_str(&format!("{participant}\t{session}\n"));
    }
    text
}

/// Images of another scanner: noise of another distribution, with a dark half in class `AD`.
fn write_target(world: &World, rows: &[Row], shape: [usize; 3]) {
    let mut index = "participant_id\tsession_id\tfile\n".to_owned();
    for (number, (participant, session, label)) in rows.iter().enumerate() {
        let file = format!("images/{participant}_{session}.safetensors");
        index.push_str(&format!("{participant}\t{session}\t{file}\n"));
        let count = shape.iter().product::<usize>();
        let voxel = |i: usize| {
            let noise = ((i * 4871 + number * 15_485_863) % 997) as f32 / 997.0;
            let is_dark = label == "AD" && i < count / 2;
            10.0 + noise * noise * if is_dark { 0.2 } else { 1.0 }
        };
        let path = world.path(&format!("target_tensors/{file}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut affine = [[0.0; 4]; 4];
        for (axis, row) in affine.iter_mut().enumerate() {
            row[axis] = 1.0;
        }
        let data = (0..count).map(voxel).collect();
        let volume = Volume {
            data,
            shape,
            affine,
        };
        tensor_file::write_volume(&path, &volume).unwrap();
    }
    world.write("target_tensors/images.tsv", &index);
    let path = world.path("tensors/extraction.json");
    let extraction = std::fs::read_to_string(path).unwrap();
    let extraction = extraction.replace("t1-linear", "flair-linear");
    world.write("target_tensors/extraction.json", &extraction);
}

fn inputs(world: &World) -> BTreeMap<&'static str, Input> {
    BTreeMap::from([
        ("images", world.input("tensors", "tensors")),
        ("splits", world.input("splits", "splits")),
        ("target_images", world.input("target_tensors", "tensors")),
        ("target_splits", world.input("target", "splits")),
        ("unlabelled", world.input("unlabelled.tsv", "table")),
    ])
}

fn train_until(
    world: &World,
    store: &str,
    changes: Value,
    stop: &(dyn Fn(&StageEvent) -> bool + Sync),
) -> Result<Done, StageError> {
    let mut params = World::train_params(changes);
    params["network"]["name"] = "Conv5_FC3_SSDA".into();
    world.run(store, "train", params, inputs(world), stop)
}

fn train(world: &World, store: &str, changes: Value) -> Result<Done, StageError> {
    train_until(world, store, changes, &|_| false)
}

fn refused(world: &World, changes: Value) -> StageError {
    train(world, "main", changes).unwrap_err()
}

fn metrics(done: &Done, group: &str) -> MetricsTable {
    let path = format!("best-loss/{group}/{group}_image_level_metrics.tsv");
    MetricsTable::read(&done.bytes(&path), &path).unwrap()
}

#[test]
fn a_target_with_four_labels_is_learnt() {
    let world = world();
    let changes = json!({ "epochs": 10, "optimizer": { "learning_rate": 1e-3 } });
    let model = train(&world, "main", changes).unwrap();
    // Each of the six participants of the validation: a chance of one in 64 by guessing.
    let accuracy = metrics(&model, "validation").get("BA").unwrap().value;
    assert!(accuracy > 0.99, "{accuracy}");

    let definition: Value = serde_json::from_slice(&model.bytes("maps.json")).unwrap();
    assert_eq!(definition["ssda_network"], true);
    assert_eq!(definition["architecture"], "Conv5_FC3_SSDA");
    let preprocessing = |key: &str| definition[key]["preprocessing"].clone();
    assert_eq!(preprocessing("preprocessing_dict"), "t1-linear");
    assert_eq!(preprocessing("preprocessing_dict_target"), "flair-linear");
    let read = MapsJson::read(&model.bytes("maps.json"), "maps.json").unwrap();
    assert_eq!(read.diagnoses().unwrap(), ["AD", "CN"]);

    // Both courses; the best model is that of the target.
    let course = |name: &str| {
        let path = format!("training_logs/{name}.tsv");
        TrainingTable::read(&model.bytes(&path), &path).unwrap()
    };
    let (source, target) = (course("training"), course("training_target"));
    assert_eq!((source.rows().len(), target.rows().len()), (10, 10));
    assert_ne!(source.rows(), target.rows());
    let losses: Vec<f64> = target
        .rows()
        .iter()
        .map(|row| *row.validation.last().unwrap())
        .collect();
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let epoch = losses.iter().position(|&loss| loss <= best).unwrap();
    let archive = read_pth(&model.bytes("best-loss/model.pth.tar")).unwrap();
    assert_eq!(archive.epoch, Some(i64::try_from(epoch).unwrap()));
    let loss = metrics(&model, "validation").get("loss").unwrap().value;
    assert_eq!(loss.to_bits(), best.to_bits());
    for group in ["train", "validation", "train-source", "validation-source"] {
        let events = format!("training_logs/tensorboard/{group}/events.out.tfevents.0.clinicadl");
        assert!(model.paths().contains(&events.as_str()), "{group}");
    }

    // Groups are those of the target; everybody is in the list of who was seen.
    assert_eq!(model.text("groups/train/data.tsv").lines().count(), 1 + 4);
    assert_eq!(
        model.text("groups/validation/data.tsv").lines().count(),
        1 + 6
    );
    let seen = model.text("groups/train+validation.tsv");
    assert_eq!(seen.lines().count(), 1 + 16 + 4 + 4 + 6 + 12);
    assert_eq!(
        model.text("leakage/seen.tsv").lines().count(),
        1 + 16 + 4 + 4 + 6 + 12
    );
    let certificate: Value = serde_json::from_str(&model.text("leakage/training.json")).unwrap();
    // Three groups that are fitted to, two validations, three ways to be the same.
    assert_eq!(certificate["checks"].as_array().unwrap().len(), 3 * 2 * 3);

    // What is applied is the head of the target.
    let apply = |stage: &str, params: Value| {
        let inputs = BTreeMap::from([
            ("model", model.input.clone()),
            ("images", world.input("target_tensors", "tensors")),
            ("participants", world.input("test.tsv", "table")),
        ]);
        world.run("main", stage, params, inputs, &|_| false)
    };
    let tested = apply("predict", json!({ "bootstrap": 10 })).unwrap();
    assert!(tested.warnings().is_empty(), "{:?}", tested.warnings());
    assert!(metrics(&tested, "test").get("BA").unwrap().value > 0.99);
    apply("interpret", json!({ "target": "AD" })).unwrap();
    world.write("test.tsv", &table(&of(VALIDATION, 6)));
    // In the batches of the training, so that numbers are rounded alike.
    let params = json!({
        "data_group": "again", "allow_leakage": "the same on purpose", "batch_size": 4,
    });
    let again = apply("predict", params).unwrap();
    let rows = |done: &Done, group: &str| {
        let path = format!("best-loss/{group}/{group}_image_level_prediction.tsv");
        PredictionTable::read(&done.bytes(&path), &path)
            .unwrap()
            .rows()
            .to_vec()
    };
    assert_eq!(rows(&again, "again"), rows(&model, "validation"));
}

/// Everything at once that a training can do.
fn everything() -> Value {
    json!({
        "epochs": 4, "batch_size": 3, "accumulation_steps": 2, "evaluation_steps": 2, "patience": 3,
        "network": { "dropout": 0.3 }, "optimizer": { "name": "AdamW", "learning_rate": 1e-3 },
        "scheduler": { "name": "cosine" }, "warmup_epochs": 1, "gradient_clipping": 1.0,
        "class_weights": "balanced", "label_smoothing": 0.1, "sampler": "weighted",
        "data_augmentation": [{ "name": "Noise" }, { "name": "Flip" }],
        "selection_metrics": ["loss", "accuracy"], "save_all_models": true,
    })
}

#[test]
fn an_interrupted_training_on_two_domains_goes_on_to_the_same_bytes() {
    let world = world();
    let whole = train(&world, "whole", everything()).unwrap();
    let (mut stops, mut midway) = (0_usize, 0);
    for after in [1, 3, 2, 5, 4, 1, 2, 3] {
        let seen = std::sync::atomic::AtomicUsize::new(0);
        let stop = |event: &StageEvent| {
            matches!(event, StageEvent::Progress { detail, .. } if detail.contains(", loss "))
                && seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1 == after
        };
        match train_until(&world, "stopped", everything(), &stop) {
            Err(error) => assert_eq!(error.kind, FailureKind::Cancelled),
            Ok(done) => assert_eq!(done.input.digest, whole.input.digest),
        }
        stops += 1;
    }
    let resumed = train(&world, "stopped", everything()).unwrap();
    midway += usize::from(resumed.events.iter().any(
        |event| matches!(event, StageEvent::Info { message } if message.starts_with("going on after")),
    ));
    assert_eq!((stops, midway), (8, 1));
    assert_eq!(resumed.input.digest, whole.input.digest);
}

#[test]
fn two_domains_give_the_same_bytes_with_any_number_of_loader_threads() {
    let world = world();
    let with = |store: &str, n_proc: u32| {
        let mut changes = everything();
        changes["n_proc"] = n_proc.into();
        changes["epochs"] = 2.into();
        train(&world, store, changes).unwrap().input.digest
    };
    assert_eq!(with("in line", 0), with("three", 3));
}

#[test]
fn nobody_of_a_validation_is_fitted_to_in_any_domain() {
    let leak = |path: &str, text: &str| {
        let world = world();
        world.write(path, text);
        refused(&world, json!({}))
    };
    let with = |mut rows: Vec<Row>, first: usize| {
        rows.extend(of(first, 1));
        rows
    };
    // In the labelled and the unlabelled target, and in the source whose images are others.
    let error = leak(
        "target/train.tsv",
        &table(&with(of(LABELLED, 4), VALIDATION)),
    );
    assert!(
        error
            .message
            .starts_with("data leakage (biased split): train ("),
        "{error}"
    );
    assert!(
        error.message.ends_with("share 1 participant: `sub-50`"),
        "{error}"
    );
    let error = leak(
        "unlabelled.tsv",
        &without_labels(&with(of(UNLABELLED, 12), VALIDATION)),
    );
    assert!(
        error
            .message
            .contains("unlabelled (`unlabelled.tsv`) and validation (`target/"),
        "{error}"
    );
    let validation = table(&with(of(VALIDATION, 6), LABELLED));
    let error = leak("target/validation_baseline.tsv", &validation);
    assert!(
        error.message.ends_with("share 1 participant: `sub-40`"),
        "{error}"
    );
    // The same people in both domains are welcome; on both sides they are not.
    let world = world();
    let both = [
        of(LABELLED, 4),
        of(UNLABELLED, 12),
        of(VALIDATION, 6),
        of(0, 1),
        of(12, 1),
    ]
    .concat();
    write_target(&world, &both, [SIZE; 3]);
    world.write(
        "unlabelled.tsv",
        &without_labels(&with(of(UNLABELLED, 12), 0)),
    );
    train(&world, "main", json!({ "epochs": 1 })).unwrap();
    world.write(
        "target/validation_baseline.tsv",
        &table(&with(of(VALIDATION, 6), 0)),
    );
    world.write("unlabelled.tsv", &without_labels(&of(UNLABELLED, 12)));
    let error = refused(&world, json!({}));
    assert!(
        error
            .message
            .contains("biased split): source train (`splits/train.tsv`) and validation (`target/"),
        "{error}"
    );
    world.write("target/validation_baseline.tsv", &table(&of(VALIDATION, 6)));
    world.write(
        "unlabelled.tsv",
        &without_labels(&with(of(UNLABELLED, 12), 12)),
    );
    let error = refused(&world, json!({}));
    assert!(
        error
            .message
            .contains("biased split): unlabelled (`unlabelled.tsv`) and source validation ("),
        "{error}"
    );
    // Who was seen without a label is refused in a later test.
    world.write("unlabelled.tsv", &without_labels(&of(UNLABELLED, 12)));
    let model = train(&world, "main", json!({ "epochs": 1 })).unwrap();
    world.write("test.tsv", &table(&of(UNLABELLED, 1)));
    let inputs = BTreeMap::from([
        ("model", model.input.clone()),
        ("images", world.input("target_tensors", "tensors")),
        ("participants", world.input("test.tsv", "table")),
    ]);
    let error = world
        .run("main", "predict", json!({}), inputs, &|_| false)
        .unwrap_err();
    assert!(
        error.message.contains("(no independent test set)"),
        "{error}"
    );
}

#[test]
fn domains_that_do_not_fit_together_are_told() {
    let world = world();
    let mut without = inputs(&world);
    without.remove("target_images");
    let params = json!({ "network": { "name": "Conv5_FC3_SSDA" } });
    let error = world
        .run("main", "train", params, without, &|_| false)
        .unwrap_err();
    assert_eq!(
        error.message,
        "nothing is connected to input `target_images`"
    );

    world.write("unlabelled.tsv", "participant_id\tsession_id\n");
    let error = refused(&world, json!({}));
    assert_eq!(
        error.message,
        "`unlabelled.tsv` has no row, expected at least one"
    );
    world.write("unlabelled.tsv", &without_labels(&of(UNLABELLED, 3)));
    let error = refused(&world, json!({}));
    assert_eq!(
        error.message,
        "`unlabelled.tsv` has 3 images, expected at least the 4 of a batch"
    );
    let text = without_labels(&of(UNLABELLED, 12)).replace("\tses-M000", "\tses-M000\tB");
    world.write(
        "unlabelled.tsv",
        &text.replacen("session_id", "session_id\tcohort", 1),
    );
    let error = refused(&world, json!({}));
    assert_eq!(
        error.message,
        "`unlabelled.tsv` names the cohorts of its participants and `splits/train.tsv` does not"
    );
    world.write("unlabelled.tsv", &without_labels(&of(UNLABELLED, 12)));

    let mut labelled = of(LABELLED, 4);
    labelled[1].2 = "MCI".to_owned();
    world.write("target/train.tsv", &table(&labelled));
    let error = refused(&world, json!({}));
    assert!(
        error
            .message
            .contains("label `MCI` is not one of the model's: `AD`, `CN`"),
        "{error}"
    );
    let alike: Vec<Row> = of(LABELLED, 4).into_iter().step_by(2).collect();
    world.write("target/train.tsv", &table(&alike));
    let error = refused(&world, json!({}));
    assert_eq!(
        error.message,
        "no labelled training session of the target (`target/train.tsv`) has label `CN`, which the source has"
    );
    world.write("target/train.tsv", &table(&of(LABELLED, 4)));

    let all = [of(LABELLED, 4), of(VALIDATION, 6), of(UNLABELLED, 12)].concat();
    write_target(&world, &all, [SIZE, SIZE, SIZE + 1]);
    let error = refused(&world, json!({}));
    assert_eq!(
        error.message,
        "images of the source have shape [1, 18, 18, 18], those of the target [1, 18, 18, 19]: one network takes one size"
    );
    let path = world.path("target_tensors/extraction.json");
    let cut = std::fs::read_to_string(&path).unwrap().replace(
        "\"mode\":\"image\"",
        "\"mode\":\"patch\",\"patch_size\":9,\"stride_size\":9",
    );
    world.write("target_tensors/extraction.json", &cut);
    let error = refused(&world, json!({}));
    assert_eq!(
        error.message,
        "`images` (mode `image`) and `target_images` (mode `patch`) were cut into parts in different ways"
    );
}
