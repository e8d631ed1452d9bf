use serde_json::json;

use crate::predictions::world::{World, cells};

const INPUTS: [(&str, &str, &str); 2] = [
    ("model", "model", "model"),
    ("predictions", "tested", "predictions"),
];
const CLASSES: &str =
    "participant_id\tsession_id\timage_id\ttrue_label\tpredicted_label\tproba0\tproba1\n";

/// Predictions: participant, true class, predicted class, probability of class 0.
fn classes(rows: &[(usize, i64, usize, f64)]) -> String {
    let mut text = CLASSES.to_owned();
    for (i, truth, predicted, p) in rows {
        let other = 1.0 - p;
        text.push_str(&format!(
            "sub-{i:02}\tses-M000\t0\t{truth}\t{predicted}\t{p}\t{other}\n"
        ));
    }
    text
}

fn path(split: usize, level: &str) -> String {
    format!("tested/split-{split}/best-loss/test/test_{level}_level_prediction.tsv")
}

/// Three models of folds that have seen `sub-10` to `sub-19`, and their predictions of `sub-00` to `sub-03`.
fn world() -> World {
    let world = World::new();
    let said = [
        [
            (0, 0, 0, 0.75),
            (1, 0, 1, 0.375),
            (2, 1, 1, 0.25),
            (3, 1, 0, 0.875),
        ],
        [
            (0, 0, 0, 0.5),
            (1, 0, 0, 0.625),
            (2, 1, 1, 0.125),
            (3, 1, 1, 0.25),
        ],
        [
            (0, 0, 1, 0.25),
            (1, 0, 1, 0.25),
            (2, 1, 0, 0.75),
            (3, 1, 1, 0.375),
        ],
    ];
    for (split, mut rows) in said.into_iter().enumerate() {
        // Tables of other orders are joined by who is in them.
        rows.rotate_left(split);
        world.write(&path(split, "image"), &classes(&rows));
        let mut data = "participant_id\tsession_id\tcohort\tdiagnosis\n".to_owned();
        for i in 0..4 {
            let label = ["AD", "CN"][i / 2];
            data.push_str(&format!("sub-{i:02}\tses-M000\tsingle\t{label}\n"));
        }
        world.write(&format!("tested/split-{split}/groups/test/data.tsv"), &data);
        seen(&world, split, &["sub-10", "sub-11"], &["sub-12"]);
    }
    world
}

fn seen(world: &World, split: usize, train: &[&str], validation: &[&str]) {
    let mut text = "participant_id\tsession_id\tcohort\torigin\tderived_from\tvoxels\n".to_owned();
    for (who, origin) in [(train, "train"), (validation, "validation")] {
        for participant in who {
            text.push_str(&format!("{participant}\tses-M000\tsingle\t{origin}\t\t\n"));
        }
    }
    world.write(&format!("model/split-{split}/leakage/seen.tsv"), &text);
}

fn row(world: &World, file: &str, i: usize) -> (String, f64, f64) {
    let row = &cells(&world.text(&format!("made/ensemble/{file}")))[i];
    let number = |name: &str| row[name].parse::<f64>().unwrap();
    (
        row["participant_id"].clone(),
        number("predicted_label"),
        number("proba0"),
    )
}

#[test]
fn probabilities_are_averaged_and_the_metrics_follow() {
    let world = world();
    world
        .run("ensemble", json!({ "bootstrap": 20 }), &INPUTS, "made")
        .unwrap();
    let folder = "mean/best-loss/test/test_image_level";
    // (0.75 + 0.5 + 0.25) / 3, (0.375 + 0.625 + 0.25) / 3, (0.25 + 0.125 + 0.75) / 3, (0.875 + 0.25 + 0.375) / 3
    let means = [0.5, 1.25 / 3.0, 0.375, 0.5];
    // The first of equals.
    for (i, (mean, class)) in means.into_iter().zip([0.0, 1.0, 1.0, 0.0]).enumerate() {
        let expected = (format!("sub-{i:02}"), class, mean);
        assert_eq!(
            row(&world, &format!("{folder}_prediction.tsv"), i),
            expected
        );
    }
    let metrics = cells(&world.text(&format!("made/ensemble/{folder}_metrics.tsv")));
    // Right of `sub-00` and `sub-02`.
    assert_eq!(
        (&*metrics[0]["Metrics"], &*metrics[0]["accuracy"]),
        ("Values", "0.5")
    );
    // Pairs of one of each class: 0.5 > 0.375, 0.5 = 0.5, 1.25/3 > 0.375, 1.25/3 < 0.5.
    assert_eq!(metrics[0]["AUC"], "0.625");
    assert_eq!(metrics[1]["Metrics"], "Lower bound CI");
    let loss = -(0.5_f64.ln() + (1.25_f64 / 3.0).ln() + 0.625_f64.ln() + 0.5_f64.ln()) / 4.0;
    assert!((metrics[0]["loss"].parse::<f64>().unwrap() - loss).abs() < 1e-12);
    let certificate = world.text("made/ensemble/mean/leakage/test.json");
    assert_eq!(certificate.matches("\"shared\": 0").count(), 9);
    assert!(certificate.contains("seen of split 2"));
    let text = world.text("made/ensemble/mean/best-loss/test/description.log");
    assert!(
        text.contains("Ensemble of the models of splits 0, 1, 2"),
        "{text}"
    );
    assert_eq!(
        world.text("made/groups/test/data.tsv"),
        world.text("tested/split-0/groups/test/data.tsv")
    );
}

#[test]
fn models_vote_for_the_class_that_they_predict() {
    let world = world();
    let params = json!({ "rule": "vote", "name": "three", "bootstrap": 20 });
    world.run("ensemble", params, &INPUTS, "made").unwrap();
    let folder = "three/best-loss/test/test_image_level";
    let shares = [2.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0];
    for (i, (share, class)) in shares.into_iter().zip([0.0, 1.0, 1.0, 1.0]).enumerate() {
        let expected = (format!("sub-{i:02}"), class, share);
        assert_eq!(
            row(&world, &format!("{folder}_prediction.tsv"), i),
            expected
        );
    }
    let metrics = cells(&world.text(&format!("made/ensemble/{folder}_metrics.tsv")));
    assert_eq!(metrics[0]["accuracy"], "0.75");
    assert!(!metrics[0].contains_key("loss"));
}

#[test]
fn numbers_are_averaged_and_have_no_votes() {
    let world = world();
    for (split, numbers) in [[60.0, 71.0], [62.0, 70.0], [67.0, 66.0]]
        .iter()
        .enumerate()
    {
        let mut text =
            "participant_id\tsession_id\timage_id\ttrue_label\tpredicted_label\n".to_owned();
        for (i, number) in numbers.iter().enumerate() {
            text.push_str(&format!(
                "sub-{i:02}\tses-M000\t0\t{}.0\t{number:?}\n",
                60 + 10 * i
            ));
        }
        world.write(&path(split, "image"), &text);
    }
    world
        .run("ensemble", json!({ "bootstrap": 20 }), &INPUTS, "made")
        .unwrap();
    let folder = "made/ensemble/mean/best-loss/test/test_image_level";
    let rows = cells(&world.text(&format!("{folder}_prediction.tsv")));
    let said: Vec<&str> = rows.iter().map(|row| &*row["predicted_label"]).collect();
    assert_eq!(said, ["63.0", "69.0"]);
    // (3 + 1) / 2
    assert_eq!(
        cells(&world.text(&format!("{folder}_metrics.tsv")))[0]["MAE"],
        "2.0"
    );
    let error = world
        .run("ensemble", json!({ "rule": "vote" }), &INPUTS, "two")
        .unwrap_err();
    assert!(
        error.message.contains("the models predict numbers"),
        "{error:?}"
    );
}

#[test]
fn parts_are_joined_part_by_part_and_images_beside_them() {
    let world = world();
    for split in 0..3 {
        let text = world.text(&path(split, "image"));
        let header = CLASSES.replace("image_id", "patch_id");
        let rows = text.strip_prefix(CLASSES).unwrap();
        let second = rows.replace("\tses-M000\t0\t", "\tses-M000\t1\t");
        world.write(&path(split, "patch"), &format!("{header}{rows}{second}"));
    }
    world
        .run("ensemble", json!({ "bootstrap": 20 }), &INPUTS, "made")
        .unwrap();
    let folder = "made/ensemble/mean/best-loss/test/test";
    let parts = cells(&world.text(&format!("{folder}_patch_level_prediction.tsv")));
    assert_eq!(
        (parts.len(), &*parts[4]["patch_id"], &*parts[4]["proba0"]),
        (8, "1", "0.5")
    );
    let metrics = |level: &str| cells(&world.text(&format!("{folder}_{level}_level_metrics.tsv")));
    assert!(metrics("patch")[0].contains_key("loss"));
    assert!(!metrics("image")[0].contains_key("loss"), "as `predict`");
    // What is there of one model only.
    std::fs::remove_file(world.path(&path(1, "patch"))).unwrap();
    let error = world
        .run("ensemble", json!({}), &INPUTS, "two")
        .unwrap_err();
    assert!(error.message.ends_with("but not in split 1"), "{error:?}");
}

#[test]
fn images_without_labels_are_joined_without_metrics() {
    let world = world();
    for split in 0..3 {
        world.write(
            &path(split, "image"),
            &classes(&[(0, -1, 0, 0.75), (1, -1, 1, 0.25)]),
        );
    }
    world.run("ensemble", json!({}), &INPUTS, "made").unwrap();
    let folder = "made/ensemble/mean/best-loss/test";
    assert!(
        world
            .path(&format!("{folder}/test_image_level_prediction.tsv"))
            .exists()
    );
    assert!(
        !world
            .path(&format!("{folder}/test_image_level_metrics.tsv"))
            .exists()
    );
}

#[test]
fn whom_any_member_has_seen_is_refused_or_marked() {
    let world = world();
    seen(&world, 1, &["sub-10", "sub-02"], &["sub-11"]);
    seen(&world, 2, &["sub-10"], &["sub-03", "sub-00"]);
    let error = world
        .run("ensemble", json!({}), &INPUTS, "made")
        .unwrap_err();
    let expected = "data leakage (biased ensembling): seen of split 1 (`model`) and test (`tested`) share \
                    1 participant: `sub-02`; data leakage (biased ensembling): seen of split 2 (`model`) \
                    and test (`tested`) share 2 participants: `sub-00`; `sub-03`";
    assert_eq!(error.message, expected);
    let hints = error.hints.join("; ");
    for hint in [
        "spoils the vote of all",
        "none of its models",
        "`allow_leakage`",
    ] {
        assert!(hints.contains(hint), "{hints}");
    }
    let params = json!({ "allow_leakage": "a demonstration", "bootstrap": 20 });
    let warnings = world.run("ensemble", params, &INPUTS, "made").unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let folder = "made/ensemble/mean/best-loss/test/test_image_level";
    for table in ["prediction", "metrics"] {
        let row = &cells(&world.text(&format!("{folder}_{table}.tsv")))[0];
        assert_eq!(row["leakage"], "biased ensembling: a demonstration");
    }
    // A model of ClinicaDL lists those of all splits.
    for split in 0..3 {
        std::fs::remove_dir_all(world.path(&format!("model/split-{split}"))).unwrap();
    }
    let error = world
        .run("ensemble", json!({}), &INPUTS, "two")
        .unwrap_err();
    assert!(
        error
            .message
            .contains("does not tell whom the model of split 0 has seen"),
        "{error:?}"
    );
    let text = "participant_id\tsession_id\nsub-03\tses-M000\n";
    world.write("model/groups/train+validation.tsv", text);
    let error = world
        .run("ensemble", json!({}), &INPUTS, "two")
        .unwrap_err();
    assert!(
        error.message.contains("share 1 participant: `sub-03`"),
        "{error:?}"
    );
}

#[test]
fn what_a_member_was_allowed_stays_in_the_tables() {
    let world = world();
    let text = world.text(&path(1, "image"));
    let mut lines = text.lines();
    let mut marked = format!("{}\tleakage\n", lines.next().unwrap());
    for line in lines {
        marked.push_str(&format!("{line}\tbiased split: known\n"));
    }
    world.write(&path(1, "image"), &marked);
    world
        .run("ensemble", json!({ "bootstrap": 20 }), &INPUTS, "made")
        .unwrap();
    let table = world.text("made/ensemble/mean/best-loss/test/test_image_level_metrics.tsv");
    assert_eq!(cells(&table)[0]["leakage"], "biased split: known");
}

#[test]
fn members_that_do_not_fit_are_refused_by_name() {
    let refused = |change: &dyn Fn(&World)| {
        let world = world();
        change(&world);
        world
            .run("ensemble", json!({}), &INPUTS, "made")
            .unwrap_err()
            .message
    };
    let message = refused(&|world| {
        world.write(
            &path(1, "image"),
            &classes(&[(0, 0, 0, 0.75), (2, 1, 1, 0.25)]),
        );
        world.write(
            &path(2, "image"),
            &classes(&[(0, 0, 0, 0.75), (7, 1, 1, 0.25)]),
        );
    });
    let expected = "`tested`: the models have not predicted the same images of `test`: split 0 lacks 1: \
                    sub-07, ses-M000; split 1 lacks 3: sub-01, ses-M000; sub-03, ses-M000; sub-07, \
                    ses-M000; split 2 lacks 3: sub-01, ses-M000; sub-02, ses-M000; sub-03, ses-M000";
    assert_eq!(message, expected);
    let message = refused(&|world| {
        let text = world
            .text(&path(1, "image"))
            .replace("sub-01\tses-M000\t0\t0", "sub-01\tses-M000\t0\t1");
        world.write(&path(1, "image"), &text);
    });
    assert!(
        message.ends_with("have another true label of sub-01, ses-M000"),
        "{message}"
    );
    let message = refused(&|world| {
        let text = world.text(&path(1, "image"));
        world.write(
            &path(1, "image"),
            &format!("{text}sub-01\tses-M00\t0\t0\t0\t1.0\t0.0\n"),
        );
    });
    assert!(
        message.ends_with("has several predictions of sub-01, ses-M000"),
        "{message}"
    );
    let message = refused(&|world| {
        for split in 0..3 {
            let text = world
                .text(&path(split, "image"))
                .replace("sub-03", "sub-09");
            world.write(&path(split, "image"), &text);
        }
    });
    assert!(
        message.contains("predicts sub-09, ses-M000, whom the sessions"),
        "{message}"
    );
    let message = refused(&|world| {
        std::fs::rename(
            world.path("tested/split-1/best-loss"),
            world.path("tested/split-1/best-BA"),
        )
        .unwrap();
    });
    assert!(
        message.contains("by the model of split 0 that `BA` selected"),
        "{message}"
    );
    let message = refused(&|world| {
        for split in 1..3 {
            std::fs::remove_dir_all(world.path(&format!("tested/split-{split}"))).unwrap();
        }
    });
    assert_eq!(
        message,
        "`tested` has predictions of `test` of one split only"
    );
}

#[test]
fn groups_of_the_folds_themselves_are_refused_before_anything_runs() {
    let registry = engine::Registry::new(crate::STAGES);
    let stage = registry.find("ensemble").unwrap();
    let issues = |params: serde_json::Value| stage.check(&stage.resolve(&params).unwrap());
    assert!(issues(json!({})).is_empty());
    let found = issues(json!({ "data_group": "validation", "name": "a/b" }));
    assert!(
        found[0]
            .message
            .starts_with("data leakage (biased ensembling)"),
        "{found:?}"
    );
    assert!(
        found[1]
            .message
            .starts_with("`a/b` cannot be a folder name"),
        "{found:?}"
    );
}
