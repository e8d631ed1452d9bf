//! The stage `compare` on tables that are written here.

use serde_json::{Value, json};

use crate::predictions::world::{World, cells};

/// Predictions of a model that is right on images whose number is no multiple of `wrong`.
fn table(images: std::ops::Range<usize>, wrong: usize) -> String {
    let mut text =
        "participant_id\tsession_id\timage_id\ttrue_label\tpredicted_label\tproba0\tproba1\n"
            .to_owned();
    for i in images {
        let truth = i % 2;
        let predicted = if i % wrong == 0 { 1 - truth } else { truth };
        let p = if predicted == 0 { 0.6 } else { 0.2 } + (i % 7) as f64 / 64.0;
        let other = 1.0 - p;
        text.push_str(&format!(
            "sub-{i:03}\tses-M000\t0\t{truth}\t{predicted}\t{p}\t{other}\n"
        ));
    }
    text
}

/// Two models on two splits; the better one with two seeds.
fn world() -> World {
    let world = World::new();
    for split in 0..2 {
        let images = 40 * split..40 * split + 40;
        let path = |model: &str, metric: &str| {
            let folder = maps::layout::model_folder(metric);
            format!("{model}/split-{split}/{folder}/test/test_image_level_prediction.tsv")
        };
        world.write(
            &path("simple", "baseline-majority"),
            &table(images.clone(), 2),
        );
        world.write(
            &path("simple", "baseline-covariates"),
            &table(images.clone(), 3),
        );
        world.write(&path("cnn", "loss"), &table(images.clone(), 11 + split));
        world.write(&path("cnn-2", "loss"), &table(images, 9));
    }
    world
}

const INPUTS: [(&str, &str, &str); 3] = [
    ("simple", "simple", "predictions"),
    ("cnn", "cnn", "predictions"),
    ("cnn-2", "cnn-2", "maps"),
];

fn params() -> Value {
    json!({
        "models": ["simple/covariates", "simple/majority", "cnn"], "seeds": { "cnn": ["cnn-2"] },
        "bootstrap": 200,
    })
}

#[test]
fn models_are_compared_split_by_split_and_seeds_are_kept_apart() {
    let world = world();
    world.run("compare", params(), &INPUTS, "made").unwrap();
    let rows = cells(&world.text("made/comparison.tsv"));
    let of = |split: &str, run: &str| {
        let mut all = rows.iter();
        let is_it = |row: &&std::collections::BTreeMap<String, String>| {
            row["split"] == split && row["run"] == run && row["metric"] == "accuracy"
        };
        all.find(is_it).unwrap()
    };
    // The reference is beside nothing.
    assert_eq!(of("0", "simple/covariates")["reference"], "");
    let row = of("0", "cnn/loss");
    assert_eq!(row["reference"], "simple/covariates");
    let number = |name: &str| row[name].parse::<f64>().unwrap();
    // 4 and 14 of 40 are wrong.
    assert!((number("value") - 0.9).abs() < 1e-12);
    assert!((number("difference") - 0.25).abs() < 1e-12);
    assert!(number("lower") < 0.25 && 0.25 < number("upper"));
    let tests = cells(&world.text("made/tests.tsv"));
    let exact = tests
        .iter()
        .find(|row| row["run"] == "cnn/loss" && row["test"] == "mcnemar_exact");
    // 12 images are right by the network only, 2 by the reference only: 2 · Σ C(14, 0..2) / 2¹⁴.
    assert!((exact.unwrap()["p_value"].parse::<f64>().unwrap() - 212.0 / 16384.0).abs() < 1e-12);
    let spread = cells(&world.text("made/spread.tsv"));
    let of = |over: &str, run: &str| {
        let is_it = |row: &&std::collections::BTreeMap<String, String>| {
            row["metric"] == "accuracy" && row["over"] == over && row["of"] == run
        };
        spread.iter().find(is_it)
    };
    assert_eq!(of("splits", "cnn/loss").unwrap()["count"], "2");
    assert_eq!(of("splits", "cnn-2/loss").unwrap()["count"], "2");
    assert_eq!(of("seeds", "split-0").unwrap()["count"], "2");
    let summary = world.text("made/summary.txt");
    assert!(
        summary.contains("cnn/loss - simple/covariates, split 1"),
        "{summary}"
    );
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let world = world();
    world.run("compare", params(), &INPUTS, "one").unwrap();
    let path = "cnn/split-0/best-loss/test/test_image_level_prediction.tsv";
    let text = world.text(path);
    let (head, rows) = text.split_once('\n').unwrap();
    let reversed: Vec<&str> = rows.lines().rev().collect();
    world.write(path, &format!("{head}\n{}\n", reversed.join("\n")));
    world.run("compare", params(), &INPUTS, "two").unwrap();
    assert_eq!(
        world.text("one/comparison.tsv"),
        world.text("two/comparison.tsv")
    );
}

#[test]
fn models_of_other_images_are_refused_by_name() {
    let world = world();
    let refused = |params: Value, part: &str| {
        let error = world.run("compare", params, &INPUTS, "made").unwrap_err();
        assert!(error.message.contains(part), "{error:?}");
    };
    refused(
        json!({ "models": ["simple", "cnn"] }),
        "`simple` has several models: `covariates`, `majority`",
    );
    refused(
        json!({ "models": ["simple/none", "cnn"] }),
        "`simple` has no model `none` in split 0",
    );
    refused(
        json!({ "models": ["cnn", "cnn-2"], "data_group": "other" }),
        "no predictions of data group `other`",
    );
    let path = "cnn-2/split-1/best-loss/test/test_image_level_prediction.tsv";
    world.write(path, &table(41..81, 9));
    refused(
        params(),
        "1 only in `simple/covariates`: sub-040, ses-M000; 1 only in `cnn-2/loss`: sub-080, ses-M000",
    );
    let text = table(40..80, 9).replacen("\t0\t0\t0\t", "\t0\t1\t0\t", 1);
    world.write(path, &text);
    refused(params(), "have another true label of sub-");
    let text = table(40..80, 9).replacen("sub-041", "sub-040", 1);
    world.write(path, &text);
    refused(
        params(),
        "`cnn-2/loss` has several predictions of sub-040, ses-M000",
    );
    std::fs::remove_dir_all(world.path("cnn-2/split-1")).unwrap();
    refused(
        params(),
        "`simple/covariates` has splits [0, 1], `cnn-2/loss` [0]",
    );
}
