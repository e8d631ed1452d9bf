use engine::context::StageEvent;
use engine::{Config, FailureKind, Stage};
use maps::files::{MapsJson, MetricsTable, PredictionTable, TrainingTable};
use maps::weights::{read_pth, read_safetensors};
use serde_json::{Value, json};
use stages::learning::Train;

use super::world::{World, baseline, rows, table};

fn refused(world: &World, changes: Value) -> String {
    world.train("main", changes).unwrap_err().message
}

#[test]
fn a_model_has_every_file_of_a_maps() {
    let world = World::new();
    let model = world
        .train(
            "main",
            json!({ "selection_metrics": ["loss", "balanced_accuracy"] }),
        )
        .unwrap();
    let mut expected = vec![
        "groups/train+validation.tsv".to_owned(),
        "groups/train/data.tsv".to_owned(),
        "groups/validation/data.tsv".to_owned(),
        "information.log".to_owned(),
        "leakage/seen.tsv".to_owned(),
        "leakage/training.json".to_owned(),
        "maps.json".to_owned(),
        "training_logs/training.tsv".to_owned(),
        "training_logs/tensorboard/train/events.out.tfevents.0.clinicadl".to_owned(),
        "training_logs/tensorboard/validation/events.out.tfevents.0.clinicadl".to_owned(),
    ];
    for metric in ["BA", "loss"] {
        for name in ["pth.tar", "safetensors"] {
            expected.push(format!("best-{metric}/model.{name}"));
        }
        for group in ["train", "validation"] {
            let folder = format!("best-{metric}/{group}");
            expected.push(format!("{folder}/description.log"));
            expected.push(format!("{folder}/{group}_image_level_metrics.tsv"));
            expected.push(format!("{folder}/{group}_image_level_prediction.tsv"));
        }
    }
    expected.sort();
    assert_eq!(model.paths(), expected);

    let definition = MapsJson::read(&model.bytes("maps.json"), "maps.json").unwrap();
    assert_eq!(definition.input_size().unwrap(), [1, 18, 18, 18]);
    assert_eq!(definition.selection_metrics().unwrap(), ["loss", "BA"]);
    assert_eq!(definition.diagnoses().unwrap(), ["AD", "CN"]);
    let history = model.bytes("training_logs/training.tsv");
    let history = TrainingTable::read(&history, "training.tsv").unwrap();
    let epochs: Vec<_> = history
        .rows()
        .iter()
        .map(|row| (row.epoch, row.iteration))
        .collect();
    // 14 images in batches of 4.
    assert_eq!(epochs, [(0, 3), (1, 3), (2, 3)]);
    assert!(
        history
            .rows()
            .iter()
            .all(|row| row.train.iter().all(|value| value.is_finite()))
    );

    let archive = read_pth(&model.bytes("best-loss/model.pth.tar")).unwrap();
    assert_eq!(archive.name.as_deref(), Some("Conv5_FC3"));
    let mut names: Vec<&String> = archive.model.keys().collect();
    assert_eq!(names[0], "convolutions.0.weight");
    let plain = read_safetensors(&model.bytes("best-loss/model.safetensors")).unwrap();
    names.sort();
    assert_eq!(names, plain.keys().collect::<Vec<_>>());
    assert!(
        archive
            .model
            .iter()
            .all(|(name, array)| plain[name] == *array)
    );
    let seen = model.text("groups/train+validation.tsv");
    assert_eq!(seen.lines().count(), 1 + 14 + 4);
}

#[test]
fn equal_trainings_give_equal_bytes_with_any_number_of_loader_threads() {
    let world = World::new();
    let changes = |n_proc: u32| json!({ "n_proc": n_proc, "network": { "dropout": 0.5 } });
    let first = world.train("first", changes(0)).unwrap();
    for (store, n_proc) in [("second", 0), ("third", 3)] {
        let again = world.train(store, changes(n_proc)).unwrap();
        assert_eq!(again.input.digest, first.input.digest, "{n_proc} threads");
    }
}

#[test]
fn maps_that_are_computed_again_change_no_byte_and_no_key() {
    let world = World::new();
    let changes = |again: bool| {
        json!({
            "network": { "dropout": 0.5 }, "accumulation_steps": 2, "batch_size": 3,
            "gradient_checkpointing": again,
        })
    };
    let whole = world.train("whole", changes(false)).unwrap();
    let again = world.train("again", changes(true)).unwrap();
    assert_eq!(again.input.digest, whole.input.digest);
    let network = json!({ "task": "reconstruction", "network": { "name": "AE_Conv5_FC3" } });
    let with = |again: bool| {
        let mut changes = network.clone();
        changes["gradient_checkpointing"] = again.into();
        changes
    };
    let whole = world.train("whole images", with(false)).unwrap();
    let again = world.train("images again", with(true)).unwrap();
    assert_eq!(again.input.digest, whole.input.digest);
}

#[test]
fn a_training_is_done_again_from_its_own_maps_json() {
    let world = World::new();
    for changes in [
        json!({}),
        json!({
            "optimizer": { "name": "RMSprop", "learning_rate": 1e-3, "momentum": 0.5 },
            "scheduler": { "name": "plateau", "patience": 1 }, "warmup_epochs": 1,
            "class_weights": { "AD": 2.0 }, "label_smoothing": 0.1, "gradient_clipping": 1.0,
            "data_augmentation": [{ "name": "Noise", "std": [0.0, 0.05] }, { "name": "Flip" }],
            "frozen": ["convolutions.0"], "sampler_seed": 7, "evaluate_training_set": false,
            "network": { "dropout": 0.2 }, "selection_metrics": ["loss", "balanced_accuracy"],
        }),
        json!({ "adaptive_learning_rate": true, "precision": "bfloat16" }),
    ] {
        let first = world.train("first", changes.clone()).unwrap();
        let definition: Value = serde_json::from_slice(&first.bytes("maps.json")).unwrap();
        let imported = Train::import(&Config {
            file: definition.as_object().unwrap(),
            with: &json!({}),
            is_search: false,
        });
        let imported = imported.unwrap();
        assert_eq!(imported.splits, None);
        let again = world.train("again", Value::Object(imported.with)).unwrap();
        assert_eq!(again.input.digest, first.input.digest, "{changes}");
    }
}

#[test]
fn an_interrupted_training_goes_on_to_the_bytes_of_an_uninterrupted_one() {
    let world = World::new();
    for optimizer in ["Adam", "ASGD"] {
        let changes = json!({
            "epochs": 4,
            "optimizer": { "name": optimizer, "learning_rate": 1e-3 },
            "network": { "dropout": 0.3 },
            "accumulation_steps": 2,
            "evaluation_steps": 2,
            "patience": 3,
            "adaptive_learning_rate": true,
            "sampler": "weighted",
            "selection_metrics": ["loss", "accuracy"],
        });
        let whole = world
            .train(&format!("whole {optimizer}"), changes.clone())
            .unwrap();
        let store = format!("resumed {optimizer}");
        for start in [
            "epoch 1/4, loss",
            "epoch 3/4, loss",
            "epoch 4/4, validation",
        ] {
            let stop = |event: &StageEvent| matches!(event, StageEvent::Progress { detail, .. } if detail.starts_with(start));
            if let Err(error) = world.train_until(&store, changes.clone(), &stop) {
                assert_eq!(error.kind, FailureKind::Cancelled);
            }
        }
        let resumed = world.train(&store, changes).unwrap();
        let went_on = resumed.events.iter().any(|event| {
            matches!(event, StageEvent::Info { message } if message.starts_with("going on after"))
        });
        assert!(went_on, "the checkpoint was used");
        assert_eq!(resumed.input.digest, whole.input.digest, "{optimizer}");
    }
}

#[test]
fn fifty_stops_at_any_batch_change_nothing() {
    let world = World::new();
    let changes = json!({
        "epochs": 5, "batch_size": 2, "accumulation_steps": 2, "evaluation_steps": 2,
        "network": { "dropout": 0.3 }, "patience": 4, "warmup_epochs": 1,
        "scheduler": { "name": "cosine" }, "gradient_clipping": 1.0,
        "optimizer": { "name": "NAdam", "learning_rate": 1e-3 },
        "data_augmentation": [{ "name": "Noise" }, { "name": "Flip" }, { "name": "CropPad", "length": 2 }],
    });
    let whole = world.train("whole", changes.clone()).unwrap();
    let (mut stops, mut midway) = (0_usize, 0);
    for store in 0..10 {
        let store = format!("stopped {store}");
        for _ in 0..5 {
            stops += 1;
            // After some batches of its own; groups of two are finished first.
            let after = 1 + stops * 7 % 6;
            let seen = std::sync::atomic::AtomicUsize::new(0);
            let stop = |event: &StageEvent| {
                matches!(event, StageEvent::Progress { detail, .. } if detail.contains(", loss "))
                    && seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1 == after
            };
            match world.train_until(&store, changes.clone(), &stop) {
                Err(error) => assert_eq!(error.kind, FailureKind::Cancelled),
                Ok(done) => assert_eq!(done.input.digest, whole.input.digest),
            }
        }
        let resumed = world.train(&store, changes.clone()).unwrap();
        midway += usize::from(resumed.events.iter().any(
            |event| matches!(event, StageEvent::Info { message } if message.contains(" batches")),
        ));
        assert_eq!(resumed.input.digest, whole.input.digest, "{store}");
    }
    assert!(midway > 0, "some went on within an epoch");
}

#[test]
fn augmented_images_are_the_same_for_any_number_of_threads() {
    let world = World::new();
    let train = |store: &str, n_proc: u32, listed: serde_json::Value| {
        let changes = json!({
            "n_proc": n_proc, "batch_size": 3, "sampler": "weighted", "data_augmentation": listed,
        });
        world.train(store, changes).unwrap().input.digest
    };
    let all = || {
        let names = stages::augmentation::AUGMENTATIONS.iter();
        let named = names.map(|declared| json!({ "name": declared.name, "p": 0.7 }));
        serde_json::Value::Array(named.collect())
    };
    let in_line = train("in line", 0, all());
    assert_eq!(in_line, train("three", 3, all()));
    assert_ne!(in_line, train("plain", 0, json!([])));
}

/// Spoils files of a store whose names start like this; how many.
fn spoil(
    world: &World,
    (store, start): (&str, &str),
    is_spoilt: impl Fn(&str) -> bool,
    how: impl Fn(&mut Vec<u8>),
) -> usize {
    let mut spoilt = 0;
    let mut folders = vec![world.path(&format!("stores/{store}"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if name.starts_with(start) && is_spoilt(&name) {
                let mut bytes = std::fs::read(entry.path()).unwrap();
                how(&mut bytes);
                std::fs::write(entry.path(), bytes).unwrap();
                spoilt += 1;
            }
        }
    }
    spoilt
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let world = World::new();
    let whole = world.train("whole", json!({})).unwrap();
    let stop = |event: &StageEvent| matches!(event, StageEvent::Progress { detail, .. } if detail.starts_with("epoch 3/3, loss"));
    for (what, expected) in [("optimizer-1", "going on after"), ("", "")] {
        let store = format!("spoilt {what}");
        drop(world.train_until(&store, json!({}), &stop));
        // The last one is within the third epoch, the one before at the end of the second.
        let last = |name: &str| what.is_empty() || name.contains('+');
        let damage = |bytes: &mut Vec<u8>| match what {
            // As after a loss of power: the file is as long as it was, and its end was never written.
            "" => bytes.iter_mut().rev().take(64).for_each(|byte| *byte = 0),
            _ => bytes.truncate(bytes.len() / 2),
        };
        assert!(spoil(&world, (&store, "optimizer-"), last, damage) > 0);
        let again = world.train(&store, json!({})).unwrap();
        let told = again.warnings();
        assert!(told[0].starts_with("a checkpoint is damaged"), "{told:?}");
        let went_on = again.events.iter().any(|event| {
            matches!(event, StageEvent::Info { message } if message.starts_with("going on after"))
        });
        assert_eq!(went_on, !expected.is_empty());
        assert_eq!(again.input.digest, whole.input.digest);
    }
}

#[test]
fn an_easy_task_is_learnt() {
    let world = World::new();
    let changes = json!({ "epochs": 12, "optimizer": { "learning_rate": 1e-3 } });
    let model = world.train("main", changes).unwrap();
    for group in ["train", "validation"] {
        let path = format!("best-loss/{group}/{group}_image_level_metrics.tsv");
        let metrics = MetricsTable::read(&model.bytes(&path), &path).unwrap();
        assert_eq!(
            metrics.get("BA").unwrap().value.to_bits(),
            1.0_f64.to_bits(),
            "{group}"
        );
        assert!(metrics.get("loss").unwrap().value < 0.3, "{group}");
    }
}

#[test]
fn a_model_of_sixteen_bits_learns_and_predicts_in_them() {
    let world = World::new();
    let optimizer = json!({ "learning_rate": 1e-3 });
    let changes =
        |precision: &str| json!({ "epochs": 12, "optimizer": optimizer, "precision": precision });
    let model = world.train("main", changes("bfloat16")).unwrap();
    let definition: Value = serde_json::from_slice(&model.bytes("maps.json")).unwrap();
    assert_eq!(definition["precision"], "bfloat16");
    assert_eq!(definition["amp"], true);
    let metrics = "best-loss/validation/validation_image_level_metrics.tsv";
    let metrics = MetricsTable::read(&model.bytes(metrics), "metrics.tsv").unwrap();
    let accuracy = metrics.get("BA").unwrap().value;
    assert!(accuracy > 0.99, "{accuracy}");
    let whole = world.train("whole", changes("float32")).unwrap();
    let history = "training_logs/training.tsv";
    assert_ne!(model.bytes(history), whole.bytes(history));
    world.write("test.tsv", &table(&baseline(&rows(10, 4))));
    let params = json!({ "data_group": "again", "allow_leakage": "the same images on purpose" });
    let predicted = world.apply("predict", &model, params).unwrap();
    let rows = |done: &super::world::Done, group: &str| {
        let path = format!("best-loss/{group}/{group}_image_level_prediction.tsv");
        let table = PredictionTable::read(&done.bytes(&path), &path).unwrap();
        table.rows().to_vec()
    };
    assert_eq!(rows(&predicted, "again"), rows(&model, "validation"));
}

#[test]
fn the_best_model_is_that_of_the_best_epoch() {
    let world = World::new();
    let changes = json!({ "epochs": 6, "optimizer": { "learning_rate": 3e-3 } });
    let model = world.train("main", changes).unwrap();
    let history = model.bytes("training_logs/training.tsv");
    let history = TrainingTable::read(&history, "training.tsv").unwrap();
    let losses: Vec<f64> = history
        .rows()
        .iter()
        .map(|row| *row.validation.last().unwrap())
        .collect();
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let epoch = losses.iter().position(|&loss| loss <= best).unwrap();
    let archive = read_pth(&model.bytes("best-loss/model.pth.tar")).unwrap();
    assert_eq!(archive.epoch, Some(i64::try_from(epoch).unwrap()));
    let path = "best-loss/validation/validation_image_level_metrics.tsv";
    let metrics = MetricsTable::read(&model.bytes(path), path).unwrap();
    assert_eq!(metrics.get("loss").unwrap().value.to_bits(), best.to_bits());
}

#[test]
fn patience_ends_a_training() {
    let world = World::new();
    // Nothing is learnt with such a rate: the loss never falls by a tenth.
    let changes = json!({
        "epochs": 9, "patience": 2, "tolerance": 0.1, "optimizer": { "learning_rate": 1e-9 }
    });
    let model = world.train("main", changes).unwrap();
    assert_eq!(
        model.text("training_logs/training.tsv").lines().count(),
        1 + 3
    );
}

#[test]
fn the_training_set_need_not_be_evaluated_in_every_epoch() {
    let world = World::new();
    let model = world
        .train("main", json!({ "evaluate_training_set": false }))
        .unwrap();
    let history = model.bytes("training_logs/training.tsv");
    let history = TrainingTable::read(&history, "training.tsv").unwrap();
    assert!(
        history
            .rows()
            .iter()
            .all(|row| row.train.iter().all(|value| value.is_nan()))
    );
    let path = "best-loss/train/train_image_level_prediction.tsv";
    let predictions = PredictionTable::read(&model.bytes(path), path).unwrap();
    // In the order of the table, whatever the sampler did.
    let order: Vec<_> = predictions
        .rows()
        .iter()
        .map(|row| (row.participant.clone(), row.session.clone()))
        .collect();
    let expected: Vec<_> = rows(0, 10).into_iter().map(|(p, s, _)| (p, s)).collect();
    assert_eq!(order, expected);
}

#[test]
fn three_classes_and_merged_labels_can_be_learnt() {
    let world = World::new();
    let mut three = rows(0, 10);
    three[3].2 = "MCI".to_owned();
    three[7].2 = "MCI".to_owned();
    world.write("splits/train.tsv", &table(&three));
    let changes = json!({ "epochs": 1, "selection_metrics": ["balanced_accuracy", "MCC"] });
    let model = world.train("main", changes).unwrap();
    let definition = MapsJson::read(&model.bytes("maps.json"), "maps.json").unwrap();
    assert_eq!(definition.output_size().unwrap(), 3);
    let merged = json!({ "epochs": 1, "label_code": { "AD": 1, "MCI": 1, "CN": 0 } });
    let model = world.train("main", merged).unwrap();
    let definition = MapsJson::read(&model.bytes("maps.json"), "maps.json").unwrap();
    assert_eq!(definition.output_size().unwrap(), 2);
    let kept = json!({ "epochs": 1, "diagnoses": ["AD", "CN"] });
    let model = world.train("main", kept).unwrap();
    assert!(!model.text("groups/train/data.tsv").contains("MCI"));
}

#[test]
fn sessions_without_an_image_are_all_named() {
    let world = World::new();
    let mut missing = rows(0, 10);
    missing.extend(rows(70, 2));
    world.write("splits/train.tsv", &table(&missing));
    let message = refused(&world, json!({}));
    assert!(message.contains("2 of 16 sessions"), "{message}");
    assert!(
        message.contains("sub-70, ses-M000; sub-71, ses-M000"),
        "{message}"
    );
}

#[test]
fn participants_in_training_and_validation_are_named() {
    let world = World::new();
    world.write(
        "splits/validation_baseline.tsv",
        &table(&baseline(&rows(8, 6))),
    );
    let message = refused(&world, json!({}));
    assert!(
        message.ends_with("share 2 participants: `sub-08`; `sub-09`"),
        "{message}"
    );
}

#[test]
fn labels_that_cannot_be_learnt_are_refused() {
    let world = World::new();
    let with = |label: &str| {
        let mut changed = rows(0, 10);
        changed[2].2 = label.to_owned();
        world.write("splits/train.tsv", &table(&changed));
        refused(&world, json!({}))
    };
    assert!(with("").contains("line 4, column `diagnosis`: the value is missing"));
    assert!(with("nan").contains("the value is missing"));
    let one: Vec<_> = rows(0, 10)
        .into_iter()
        .map(|(p, s, _)| (p, s, "CN".to_owned()))
        .collect();
    world.write("splits/train.tsv", &table(&one));
    assert!(refused(&world, json!({})).contains("one class only (`CN`)"));
    assert!(refused(&world, json!({ "label": "age" })).contains("no column `age`"));
    assert!(refused(&world, json!({ "diagnoses": ["XX"] })).contains("no row with diagnosis `XX`"));
    world.write("splits/train.tsv", &table(&rows(0, 10)));
    let mut unknown = baseline(&rows(10, 4));
    unknown[1].2 = "MCI".to_owned();
    world.write("splits/validation_baseline.tsv", &table(&unknown));
    assert!(
        refused(&world, json!({})).contains("label `MCI` is not one of the model's: `AD`, `CN`")
    );
}

#[test]
fn images_of_another_size_are_named() {
    let world = World::new();
    world.write_image("images/sub-05_ses-M000.safetensors", 5, "CN", [18, 18, 19]);
    let message = refused(&world, json!({}));
    assert_eq!(
        message,
        "image of sub-05, ses-M000 has shape [1, 18, 18, 19], expected [1, 18, 18, 18]"
    );
    world.write("tensors/images/sub-05_ses-M000.safetensors", "nothing");
    assert!(refused(&world, json!({})).contains("sub-05_ses-M000.safetensors"));
}

#[test]
fn a_batch_of_one_image_that_cannot_be_normalised_is_told() {
    // 14 images in batches of 13.
    let mlp = json!({ "name": "MLP", "mlp_args": { "hidden_dims": [4] } });
    let world = World::new();
    let message = refused(&world, json!({ "batch_size": 13, "network": mlp }));
    assert!(message.contains("one number per channel"), "{message}");
    let layer = json!({ "name": "MLP", "mlp_args": { "hidden_dims": [4], "norm": "layer" } });
    world
        .train("other", json!({ "batch_size": 13, "network": layer }))
        .unwrap();
}

#[test]
fn a_training_that_diverges_says_so() {
    let world = World::new();
    let changes = json!({ "optimizer": { "name": "SGD", "learning_rate": 1e30 }, "epochs": 2 });
    let message = refused(&world, changes);
    assert!(message.starts_with("the training loss is "), "{message}");
    assert!(
        message.contains(" in batch ") && message.contains("sub-0"),
        "{message}"
    );
}
