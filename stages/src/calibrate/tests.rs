use serde_json::json;

use crate::predictions::world::{World, cells};

/// Predictions of one group: participant, true class, probability of class 0.
fn table(rows: &[(usize, usize, f64)]) -> String {
    let mut text =
        "participant_id\tsession_id\timage_id\ttrue_label\tpredicted_label\tproba0\tproba1\n"
            .to_owned();
    for &(i, truth, p) in rows {
        let predicted = usize::from(p < 0.5);
        let other = 1.0 - p;
        text.push_str(&format!(
            "sub-{i:02}\tses-M000\t0\t{truth}\t{predicted}\t{p}\t{other}\n"
        ));
    }
    text
}

/// A model that is too sure: every fourth image is wrong, and all have nearly 1.
fn rows(first: usize, count: usize) -> Vec<(usize, usize, f64)> {
    let row = |i: usize| {
        let truth = i % 2;
        let is_wrong = i % 8 < 2;
        let sure = 0.97 - (i % 5) as f64 / 100.0;
        let p = if (truth == 0) == is_wrong {
            1.0 - sure
        } else {
            sure
        };
        (i, truth, p)
    };
    (first..first + count).map(row).collect()
}

fn world() -> World {
    let world = World::new();
    let validation = "model/best-loss/validation/validation_image_level_prediction.tsv";
    world.write(validation, &table(&rows(0, 40)));
    world.write(
        "tested/best-loss/test/test_image_level_prediction.tsv",
        &table(&rows(40, 24)),
    );
    let mut data = "participant_id\tsession_id\tcohort\tdiagnosis\n".to_owned();
    for (i, truth, _) in rows(40, 24) {
        data.push_str(&format!(
            "sub-{i:02}\tses-M000\tsingle\t{}\n",
            ["AD", "CN"][truth]
        ));
    }
    world.write("tested/groups/test/data.tsv", &data);
    world
}

const INPUTS: [(&str, &str, &str); 2] = [
    ("model", "model", "model"),
    ("predictions", "tested", "predictions"),
];
const FOLDER: &str = "made/best-loss/test-calibrated";

#[test]
fn a_model_that_is_too_sure_becomes_less_so() {
    let world = world();
    world
        .run("calibrate", json!({ "bootstrap": 10 }), &INPUTS, "made")
        .unwrap();
    let fitted = &cells(&world.text(&format!("{FOLDER}/calibration.tsv")))[0];
    assert!(
        fitted["temperature"].parse::<f64>().unwrap() > 2.0,
        "{fitted:?}"
    );
    assert_eq!(
        (fitted["fitted_to"].as_str(), fitted["images"].as_str()),
        ("validation", "40")
    );
    let metrics =
        &cells(&world.text(&format!("{FOLDER}/test-calibrated_image_level_metrics.tsv")))[0];
    // Right three times of four, and says so.
    assert!(metrics["ECE"].parse::<f64>().unwrap() < 0.05, "{metrics:?}");
    assert_eq!(metrics["accuracy"], "0.75");
    let bins = cells(&world.text(&format!("{FOLDER}/reliability.tsv")));
    assert_eq!(bins.len(), 30);
    let images = |name: &str| -> usize {
        let of = bins.iter().filter(|row| row["calibration"] == name);
        of.map(|row| row["images"].parse::<usize>().unwrap()).sum()
    };
    assert_eq!((images("before"), images("after")), (24, 24));
    assert!(world.path("made/groups/test-calibrated/data.tsv").exists());
}

#[test]
fn a_threshold_keeps_the_sensitivity_of_validation() {
    let world = world();
    let params = json!({
        "temperature": false, "threshold": "sensitivity", "target_sensitivity": 1.0, "bootstrap": 10,
    });
    world.run("calibrate", params, &INPUTS, "made").unwrap();
    let metrics =
        &cells(&world.text(&format!("{FOLDER}/test-calibrated_image_level_metrics.tsv")))[0];
    assert_eq!(metrics["sensitivity"], "1.0");
}

#[test]
fn what_is_tested_is_never_fitted_to() {
    let world = world();
    let params = json!({ "threshold": "youden", "bootstrap": 10 });
    world
        .run("calibrate", params.clone(), &INPUTS, "one")
        .unwrap();
    // All labels of the test turned round, and a model folder with predictions of the test.
    let turned: Vec<_> = rows(40, 24)
        .into_iter()
        .map(|(i, t, p)| (i, 1 - t, p))
        .collect();
    let path = "best-loss/test/test_image_level_prediction.tsv";
    world.write(&format!("tested/{path}"), &table(&turned));
    world.write(&format!("model/{path}"), &table(&turned));
    world.run("calibrate", params, &INPUTS, "two").unwrap();
    let fitted =
        |made: &str| world.text(&format!("{made}/best-loss/test-calibrated/calibration.tsv"));
    assert_eq!(fitted("one"), fitted("two"));
}

#[test]
fn parts_are_not_calibrated_by_whole_images() {
    let world = world();
    let validation = world.path("model/best-loss/validation");
    std::fs::rename(
        validation.join("validation_image_level_prediction.tsv"),
        validation.join("validation_patch_level_prediction.tsv"),
    )
    .unwrap();
    let path = "model/best-loss/validation/validation_patch_level_prediction.tsv";
    let text = world.text(path).replace("image_id", "patch_id");
    world.write(path, &text);
    let error = world
        .run("calibrate", json!({}), &INPUTS, "made")
        .unwrap_err();
    assert!(
        error
            .message
            .contains("predicts 2 classes per patch, `tested` 2 classes per image"),
        "{error:?}"
    );
}

#[test]
fn other_models_are_refused() {
    let world = world();
    std::fs::rename(world.path("model/best-loss"), world.path("model/best-BA")).unwrap();
    let error = world
        .run("calibrate", json!({}), &INPUTS, "made")
        .unwrap_err();
    assert!(
        error
            .message
            .contains("no predictions of group `validation` by the model of `loss`"),
        "{error:?}"
    );
    let error = world
        .run(
            "calibrate",
            json!({ "data_group": "other" }),
            &INPUTS,
            "made",
        )
        .unwrap_err();
    assert!(
        error
            .message
            .contains("has no predictions of data group `other`"),
        "{error:?}"
    );
}
