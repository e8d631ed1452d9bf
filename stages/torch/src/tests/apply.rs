use maps::files::{MetricsTable, PredictionTable};
use maps::weights::read_pt;
use serde_json::{Value, json};
use stages::io::nifti;

use super::world::{Done, World, baseline, rows, table};

fn trained(world: &World) -> Done {
    world
        .train(
            "main",
            json!({ "epochs": 2, "optimizer": { "learning_rate": 1e-3 } }),
        )
        .unwrap()
}

fn refused(world: &World, model: &Done, params: Value) -> String {
    world.apply("predict", model, params).unwrap_err().message
}

#[test]
fn predictions_of_the_validation_set_are_those_of_the_training() {
    let world = World::new();
    let model = trained(&world);
    world.write("test.tsv", &table(&baseline(&rows(10, 4))));
    let params = json!({
        "data_group": "again", "allow_leakage": "the same images on purpose",
        "batch_size": 4, "bootstrap": 20, "n_proc": 0,
    });
    let done = world.apply("predict", &model, params).unwrap();
    assert_eq!(
        done.paths(),
        [
            "best-loss/again/again_image_level_metrics.tsv",
            "best-loss/again/again_image_level_prediction.tsv",
            "best-loss/again/description.log",
            "groups/again/data.tsv",
            "leakage/again.json",
        ]
    );
    // The same numbers, with a column more that tells of the leak.
    let path = "best-loss/again/again_image_level_prediction.tsv";
    let again = PredictionTable::read(&done.bytes(path), path).unwrap();
    let path = "best-loss/validation/validation_image_level_prediction.tsv";
    let before = PredictionTable::read(&model.bytes(path), path).unwrap();
    assert_eq!(again.rows(), before.rows());
    let mark = Some("biased ensembling: the same images on purpose");
    assert_eq!(again.leakage(), mark);
    assert_eq!(before.leakage(), None);
    let path = "best-loss/again/again_image_level_metrics.tsv";
    let again = MetricsTable::read(&done.bytes(path), path).unwrap();
    let path = "best-loss/validation/validation_image_level_metrics.tsv";
    let before = MetricsTable::read(&model.bytes(path), path).unwrap();
    for (again, before) in again.columns.iter().zip(&before.columns) {
        assert_eq!(
            (&again.name, again.value.to_bits()),
            (&before.name, before.value.to_bits())
        );
    }
    assert!(done.warnings()[0].contains("`sub-10`; `sub-11`; `sub-12`; `sub-13`"));
    assert!(done.warnings()[0].ends_with("the same images on purpose"));
}

#[test]
fn participants_of_the_training_are_refused() {
    let world = World::new();
    let model = trained(&world);
    world.write("test.tsv", &table(&rows(9, 2)));
    for stage in ["predict", "interpret"] {
        let error = world.apply(stage, &model, json!({})).unwrap_err();
        assert!(
            error
                .message
                .contains("share 2 participants: `sub-09`; `sub-10`"),
            "{}",
            error.message
        );
        assert!(
            error
                .message
                .starts_with("data leakage (no independent test set, biased ensembling)")
        );
        assert!(error.hints.last().unwrap().contains("allow_leakage"));
    }
}

#[test]
fn images_without_labels_get_predictions_and_no_metrics() {
    let world = World::new();
    let model = trained(&world);
    world.write(
        "test.tsv",
        "participant_id\tsession_id\nsub-20\tses-M000\nsub-21\tses-M012\n",
    );
    let done = world
        .apply("predict", &model, json!({ "use_labels": false }))
        .unwrap();
    assert!(!done.paths().iter().any(|path| path.contains("metrics")));
    let path = "best-loss/test/test_image_level_prediction.tsv";
    let predictions = PredictionTable::read(&done.bytes(path), path).unwrap();
    assert!(
        predictions
            .rows()
            .iter()
            .all(|row| row.true_label.is_none())
    );
    let sums = predictions
        .rows()
        .iter()
        .map(|row| row.probabilities.iter().sum::<f64>());
    assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-6));
    assert!(refused(&world, &model, json!({})).contains("no column `diagnosis`"));
}

#[test]
fn rows_of_other_diagnoses_are_left_out() {
    let world = World::new();
    let model = trained(&world);
    let mut mixed = rows(20, 4);
    mixed[1].2 = "MCI".to_owned();
    world.write("test.tsv", &table(&mixed));
    let done = world
        .apply("predict", &model, json!({ "bootstrap": 5 }))
        .unwrap();
    assert_eq!(
        done.text("groups/test/data.tsv").lines().count(),
        1 + mixed.len() - 1
    );
}

#[test]
fn a_metric_without_a_model_is_refused() {
    let world = World::new();
    let model = trained(&world);
    let message = refused(
        &world,
        &model,
        json!({ "selection_metrics": ["balanced_accuracy"] }),
    );
    assert!(
        message.contains("no model selected by `balanced_accuracy`"),
        "{message}"
    );
    assert!(message.ends_with("selected by `loss`"), "{message}");
}

#[test]
fn models_that_this_program_does_not_know_are_refused() {
    let world = World::new();
    let model = trained(&world);
    let with = |from: &str, to: &str| {
        let mut changed = Done {
            input: model.input.clone(),
            events: Vec::new(),
        };
        let text = model.text("maps.json");
        assert!(text.contains(from), "{from}");
        world.write("changed.json", &text.replace(from, to));
        changed.input.files.get_mut("maps.json").unwrap().path = world.path("changed.json");
        refused(&world, &changed, json!({}))
    };
    assert!(with("\"Conv5_FC3\"", "\"Conv9_FC9\"").contains("unknown network `Conv9_FC9`"));
    assert!(with("\"mode\": \"image\"", "\"mode\": \"patch\"").contains("a model of mode `patch`"));
    assert!(with("\"classification\"", "\"segmentation\"").contains("task `segmentation`"));
    assert!(with("\"output_size\": 2", "\"output_size\": 3").contains("3 outputs and 2 classes"));
}

#[test]
fn weights_of_another_network_are_refused() {
    let world = World::new();
    let model = trained(&world);
    let mut changed = Done {
        input: model.input.clone(),
        events: Vec::new(),
    };
    world.write("weights", "not an archive");
    let file = changed
        .input
        .files
        .get_mut("best-loss/model.pth.tar")
        .unwrap();
    file.path = world.path("weights");
    let message = refused(&world, &changed, json!({}));
    assert!(message.contains("best-loss/model.pth.tar"), "{message}");
}

#[test]
fn attribution_maps_lie_in_the_space_of_the_image() {
    let world = World::new();
    let model = trained(&world);
    let done = world
        .apply(
            "interpret",
            &model,
            json!({ "target": "CN", "batch_size": 2 }),
        )
        .unwrap();
    let folder = "best-loss/test/interpret-gradients";
    let names = |of: &str| {
        [
            format!("{folder}/{of}_image-0_map.nii.gz"),
            format!("{folder}/{of}_image-0_map.pt"),
        ]
    };
    let mut expected: Vec<String> = vec![
        "groups/test/data.tsv".to_owned(),
        "leakage/test-interpret.json".to_owned(),
    ];
    expected.extend(names("mean"));
    for (participant, session, _) in rows(20, 4) {
        expected.extend(names(&format!("{participant}_{session}")));
    }
    expected.sort();
    assert_eq!(done.paths(), expected);
    let mut sum = vec![0.0_f64; 5832];
    for (participant, session, _) in rows(20, 4) {
        let [image, tensor] = names(&format!("{participant}_{session}"));
        let array = read_pt(&done.bytes(&tensor)).unwrap();
        assert_eq!(array.shape(), [1, 18, 18, 18]);
        let volume = nifti::read(&done.input.files[&image].path, &image).unwrap();
        assert_eq!(volume.data, array.as_f32().unwrap());
        assert!((volume.affine[0][3] - 90.0).abs() < 1e-4);
        assert!((volume.affine[1][2] - 0.1).abs() < 1e-6);
        for (sum, value) in sum.iter_mut().zip(&volume.data) {
            *sum += f64::from(*value);
        }
    }
    let [_, tensor] = names("mean");
    let mean = read_pt(&done.bytes(&tensor)).unwrap();
    let n_images = rows(20, 4).len() as f64;
    assert!(sum.iter().any(|value| value.abs() > 0.0));
    for (sum, mean) in sum.iter().zip(mean.as_f32().unwrap()) {
        assert!((sum / n_images - f64::from(*mean)).abs() < 1e-7);
    }
}

#[test]
fn maps_of_opposite_classes_differ_and_only_the_mean_can_be_asked_for() {
    let world = World::new();
    let model = trained(&world);
    let mean = |target: &str| {
        let params = json!({ "target": target, "individual": false, "name": "saliency" });
        let done = world.apply("interpret", &model, params).unwrap();
        assert_eq!(done.paths().len(), 4);
        done.bytes("best-loss/test/interpret-saliency/mean_image-0_map.pt")
    };
    assert_eq!(mean("AD"), mean("0"));
    assert_ne!(mean("AD"), mean("CN"));
}

/// The test table with more columns: `other` has the classes the wrong way round.
fn write_other_labels(world: &World) {
    let mut text = "participant_id\tsession_id\tdiagnosis\tother\trating\n".to_owned();
    for (number, (participant, session, label)) in rows(20, 4).into_iter().enumerate() {
        let other = if label == "AD" { "CN" } else { "AD" };
        let rating = ["CN", "MCI", "AD"][number % 3];
        text.push_str(&format!(
            "{participant}\t{session}\t{label}\t{other}\t{rating}\n"
        ));
    }
    world.write("test.tsv", &text);
}

#[test]
fn predictions_are_compared_with_another_column_by_the_code_of_the_training() {
    let world = World::new();
    let model = trained(&world);
    write_other_labels(&world);
    let predict = |label: Value| {
        let params = json!({ "bootstrap": 5, "label": label });
        world.apply("predict", &model, params).unwrap()
    };
    let accuracy = |done: &Done| {
        let path = "best-loss/test/test_image_level_metrics.tsv";
        let table = MetricsTable::read(&done.bytes(path), path).unwrap();
        table.get("accuracy").unwrap().value
    };
    let predicted = |done: &Done| {
        let path = "best-loss/test/test_image_level_prediction.tsv";
        let table = PredictionTable::read(&done.bytes(path), path).unwrap();
        let rows = table.rows().iter();
        rows.map(|row| (row.true_label.unwrap(), row.probabilities.clone()))
            .collect::<Vec<_>>()
    };
    let (learnt, other) = (predict(Value::Null), predict(json!("other")));
    assert!((accuracy(&learnt) + accuracy(&other) - 1.0).abs() < 1e-12);
    for ((truth, said), (opposite, same)) in predicted(&learnt).iter().zip(predicted(&other)) {
        assert_eq!((*truth + opposite, said), (1, &same));
    }
    // The column that was learnt is there once, also when it is named: quirk Q18 of ClinicaDL 1.6.1.
    let named = predict(json!("diagnosis"));
    assert_eq!(named.input.digest, learnt.input.digest);
    let groups = other.text("groups/test/data.tsv");
    assert_eq!(
        groups.lines().next(),
        Some("participant_id\tsession_id\tcohort\tother")
    );
}

#[test]
fn a_label_that_the_training_does_not_know_is_told_with_its_session() {
    let world = World::new();
    let model = trained(&world);
    write_other_labels(&world);
    let message = refused(&world, &model, json!({ "label": "rating" }));
    assert_eq!(
        message,
        "`test.tsv`, line 3, column `rating`: label `MCI` is not one of the model's: `AD`, `CN`; \
         2 of 5 rows have such labels: sub-21, ses-M000: `MCI`; sub-23, ses-M000: `MCI`"
    );
    let message = refused(&world, &model, json!({ "label": "nothing" }));
    assert!(message.contains("no column `nothing`"), "{message}");
}

#[test]
fn rows_of_the_asked_for_diagnoses_are_predicted() {
    let world = World::new();
    let model = trained(&world);
    let mut mixed = rows(20, 4);
    mixed[1].2 = "MCI".to_owned();
    world.write("test.tsv", &table(&mixed));
    let sessions = |params: Value| {
        let done = world.apply("predict", &model, params).unwrap();
        done.text("groups/test/data.tsv").lines().count() - 1
    };
    let ad = mixed.iter().filter(|row| row.2 == "AD").count();
    let of = json!({ "bootstrap": 5, "diagnoses": ["AD"] });
    assert_eq!(sessions(of), ad);
    // Also some that were not trained on, whose truth the model cannot say.
    let all = json!({ "diagnoses": [], "use_labels": false });
    assert_eq!(sessions(all), mixed.len());
    let message = refused(&world, &model, json!({ "diagnoses": [] }));
    assert!(message.contains("label `MCI`"), "{message}");
    let message = refused(&world, &model, json!({ "diagnoses": ["FTD"] }));
    assert!(message.contains("no row with diagnosis `FTD`"), "{message}");
    world.write("test.tsv", "participant_id\tsession_id\nsub-20\tses-M000\n");
    let params = json!({ "diagnoses": ["AD"], "use_labels": false });
    assert!(refused(&world, &model, params).contains("no column `diagnosis`"));
}
