//! From predictions of parts to those of their images.

use maps::files::{MeasuredTable, MetricsTable, PredictionTable, REGRESSION_COLUMNS, VotingTable};
use serde_json::{Value, json};

use super::tasks::{TEST, TRAIN, modes, parameters, world};
use super::world::{Done, World};

fn predictions(done: &Done, group: &str, level: &str) -> PredictionTable {
    let path = format!("best-loss/{group}/{group}_{level}_level_prediction.tsv");
    PredictionTable::read(&done.bytes(&path), &path).unwrap()
}

fn voting(model: &Done) -> VotingTable {
    let path = "best-loss/voting.tsv";
    VotingTable::read(&model.bytes(path), path).unwrap()
}

/// A short training that leaves parts unsure.
fn trained(world: &World, changes: Value) -> Done {
    let mut params =
        json!({ "epochs": 2, "batch_size": 8, "optimizer": { "learning_rate": 3e-4 } });
    for (key, value) in changes.as_object().unwrap() {
        params[key] = value.clone();
    }
    world.train("main", params).unwrap()
}

/// What the images of a group should be, of the table of their parts.
fn voted(parts: &PredictionTable, weights: &[f64]) -> Vec<(String, f64)> {
    let mut images: Vec<(String, f64, f64)> = Vec::new();
    for row in parts.rows() {
        let weight = weights[row.image_id as usize];
        if images
            .last()
            .is_none_or(|(name, ..)| *name != row.participant)
        {
            images.push((row.participant.clone(), 0.0, 0.0));
        }
        let last = images.last_mut().unwrap();
        last.1 += weight * row.probabilities[0];
        last.2 += weight;
    }
    let images = images.into_iter();
    images
        .map(|(name, sum, total)| (name, sum / total))
        .collect()
}

fn assert_voted(done: &Done, group: &str, weights: &[f64]) {
    let expected = voted(&predictions(done, group, "patch"), weights);
    let images = predictions(done, group, "image");
    assert_eq!(images.rows().len(), expected.len());
    for (row, (participant, probability)) in images.rows().iter().zip(expected) {
        assert_eq!(row.participant, participant);
        assert_eq!((row.session.as_str(), row.image_id), ("ses-M000", 0));
        // The same sum in another order.
        assert!((row.probabilities[0] - probability).abs() < 1e-12);
        let predicted = i64::from(row.probabilities[1] > row.probabilities[0]);
        assert_eq!(row.predicted_label, predicted);
    }
}

#[test]
fn parts_vote_with_the_balanced_accuracy_that_they_have_on_the_validation_set() {
    let mode = &modes()[1];
    let world = world(mode.clone(), &|number| number);
    let model = trained(&world, json!({}));
    let table = voting(&model);
    assert_eq!((table.level.as_str(), table.rows.len()), ("patch", 2));
    let total: f64 = table.rows.iter().map(|row| row.balanced_accuracy).sum();
    for row in &table.rows {
        assert!((row.weight - row.balanced_accuracy / total).abs() < 1e-12);
        let rows = predictions(&model, "validation", "patch");
        let of_part = rows
            .rows()
            .iter()
            .filter(|r| r.image_id as usize == row.part);
        let right = of_part.filter(|r| r.true_label == Some(r.predicted_label));
        let accuracy = right.count() as f64 / row.images as f64;
        assert!((row.accuracy - accuracy).abs() < 1e-12);
    }
    let weights: Vec<f64> = table.rows.iter().map(|row| row.weight).collect();
    for group in ["train", "validation"] {
        assert_voted(&model, group, &weights);
        let path = format!("best-loss/{group}/{group}_image_level_metrics.tsv");
        let metrics = MetricsTable::read(&model.bytes(&path), &path).unwrap();
        assert!(metrics.get("BA").unwrap().interval.is_some());
        assert!(metrics.get("loss").is_none());
    }
    assert_eq!(predictions(&model, "train", "image").rows().len(), TRAIN);
    let predict = |changes: Value| {
        let mut params = json!({ "bootstrap": 10 });
        for (key, value) in changes.as_object().unwrap() {
            params[key] = value.clone();
        }
        world.apply("predict", &model, params)
    };
    assert_voted(&predict(json!({})).unwrap(), "test", &weights);
    assert_voted(
        &predict(json!({ "voting": "equal" })).unwrap(),
        "test",
        &[1.0, 1.0],
    );
    let accuracies: Vec<f64> = table.rows.iter().map(|row| row.accuracy).collect();
    let by_accuracy = predict(json!({ "voting": "accuracy" })).unwrap();
    assert_voted(&by_accuracy, "test", &accuracies);
    // Without the stored table, as in a MAPS of ClinicaDL 1.6.1, the validation set tells the same.
    let mut without = Done {
        input: model.input.clone(),
        events: Vec::new(),
    };
    without.input.files.remove("best-loss/voting.tsv");
    let params = json!({ "bootstrap": 10, "voting": "accuracy" });
    let same = world.apply("predict", &without, params).unwrap();
    let path = "best-loss/test/test_image_level_prediction.tsv";
    assert_eq!(same.bytes(path), by_accuracy.bytes(path));
    let of_validation = "best-loss/validation/validation_patch_level_prediction.tsv";
    without.input.files.remove(of_validation);
    let error = world.apply("predict", &without, json!({})).unwrap_err();
    assert!(
        error.message.contains("has neither `best-loss/voting.tsv`"),
        "{error}"
    );
    assert_eq!(error.hints, ["set `voting: equal`"]);
}

#[test]
fn a_threshold_that_no_part_reaches_lets_all_vote_alike_and_warns() {
    let world = world(modes()[1].clone(), &|number| (number * 11 + 5) % TRAIN);
    let changes = json!({ "epochs": 1, "voting": "accuracy", "selection_threshold": 1.0 });
    let model = trained(&world, changes);
    let weights: Vec<f64> = voting(&model).rows.iter().map(|row| row.weight).collect();
    assert!(weights.iter().all(|weight| (weight - 0.5).abs() < 1e-12));
    let told = model.warnings();
    assert!(
        told.iter().any(|told| told.contains("all weigh the same")),
        "{told:?}"
    );
    let definition: Value = serde_json::from_slice(&model.bytes("maps.json")).unwrap();
    assert_eq!(definition["selection_threshold"], 1.0);
    assert_eq!(definition["voting"], "accuracy");
}

#[test]
fn images_that_lack_parts_are_predicted_from_those_that_they_have() {
    let world = world(modes()[1].clone(), &|number| number);
    let model = trained(&world, json!({}));
    let mut test = "participant_id\tsession_id\tdiagnosis\tpatch_id\n".to_owned();
    for (participant, part) in [(50, 0), (51, 0), (51, 1), (52, 1)] {
        test.push_str(&format!("sub-{participant}\tses-M000\tAD\t{part}\n"));
    }
    world.write("test.tsv", &test);
    let done = world.apply("predict", &model, json!({})).unwrap();
    let weights: Vec<f64> = voting(&model).rows.iter().map(|row| row.weight).collect();
    assert_voted(&done, "test", &weights);
    let parts = predictions(&done, "test", "patch");
    let images = predictions(&done, "test", "image");
    assert_eq!(
        images.rows()[0].probabilities,
        parts.rows()[0].probabilities
    );
    assert_eq!(
        images.rows()[2].probabilities,
        parts.rows()[3].probabilities
    );
}

#[test]
fn numbers_of_parts_are_averaged_and_have_no_votes() {
    let world = world(modes()[1].clone(), &|number| number);
    for is_multi in [false, true] {
        let mut params = parameters("regression");
        params["epochs"] = json!(1);
        params["multi_network"] = json!(is_multi);
        let model = world.train("main", params).unwrap();
        assert!(!model.paths().contains(&"best-loss/voting.tsv"));
        let done = world
            .apply("predict", &model, json!({ "bootstrap": 10 }))
            .unwrap();
        let read = |level: &str| {
            let path = format!("best-loss/test/test_{level}_level_prediction.tsv");
            MeasuredTable::read(&done.bytes(&path), &path, &REGRESSION_COLUMNS).unwrap()
        };
        let (parts, images) = (read("patch"), read("image"));
        assert_eq!(images.rows.len(), TEST);
        for image in &images.rows {
            let of_image = parts.rows.iter();
            let of_image = of_image
                .filter(|row| row.identity.participant == image.identity.participant)
                .map(|row| row.values[1]);
            let of_image: Vec<f64> = of_image.collect();
            assert_eq!(of_image.len(), 2);
            assert!((image.values[1] - (of_image[0] + of_image[1]) / 2.0).abs() < 1e-12);
        }
        let error = world
            .apply("predict", &model, json!({ "voting": "equal" }))
            .unwrap_err();
        let start = "`voting`: the model is a regression of mode `patch`";
        assert!(error.message.starts_with(start), "{error}");
    }
}

#[test]
fn unlabelled_images_are_voted_for_and_leaks_are_marked() {
    let world = world(modes()[2].clone(), &|number| number);
    let model = trained(&world, json!({ "epochs": 1 }));
    world.write("test.tsv", "participant_id\tsession_id\nsub-03\tses-M000\n");
    let params = json!({ "use_labels": false, "allow_leakage": "on purpose" });
    let done = world.apply("predict", &model, params).unwrap();
    assert!(!done.paths().iter().any(|path| path.contains("metrics")));
    let images = predictions(&done, "test", "image");
    assert_eq!(images.rows().len(), 1);
    assert_eq!(images.rows()[0].true_label, None);
    assert!(images.leakage().unwrap().ends_with("on purpose"));
}

#[test]
fn whole_images_and_reconstructions_have_nothing_more() {
    let world = world(modes()[1].clone(), &|number| number);
    let mut params = parameters("reconstruction");
    params["epochs"] = json!(1);
    params["multi_network"] = json!(true);
    let model = world.train("main", params).unwrap();
    let more = ["voting.tsv", "image_level"];
    let has_more = |path: &&str| more.iter().any(|name| path.contains(name));
    assert_eq!(model.paths().into_iter().find(has_more), None);
    let definition: Value = serde_json::from_slice(&model.bytes("maps.json")).unwrap();
    assert_eq!(definition.get("voting"), None);
}
