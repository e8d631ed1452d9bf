//! Models beside one another: `baselines`, `calibrate` and `compare`, from images to tables.

use serde_json::Value;

use crate::support::{Project, clinicadl, files};

const EXPERIMENT: &str = "\
clinicadl: 1
name: beside
seed: 42
inputs: { caps: caps, labels: labels.tsv }
stages:
  extract: { uses: prepare-data, inputs: { caps: caps } }
  holdout: { uses: split, inputs: { labels: labels }, with: { n_test: 4, balance: [] } }
  folds: { uses: kfold, inputs: { labels: holdout.train }, with: { n_splits: 2 } }
  train:
    uses: train
    inputs: { images: extract, splits: folds }
    with: { epochs: 1, batch_size: 4, selection_metrics: [loss], bootstrap: 10 }
  test:
    uses: predict
    inputs: { model: train, images: extract, participants: holdout.test }
    with: { bootstrap: 10 }
  simple:
    uses: baselines
    inputs: { splits: folds, participants: holdout.test, images: extract }
    with:
      models: [majority, covariates, voxels]
      covariates: [age, sex]
      downsampling: 4
      bootstrap: 10
  calibrated:
    uses: calibrate
    inputs: { model: train, predictions: test }
    with: { threshold: youden, bootstrap: 10 }
  both:
    uses: ensemble
    inputs: { model: train, predictions: test }
    with: { bootstrap: 10 }
  both-calibrated:
    uses: ensemble
    inputs: { model: train, predictions: calibrated }
    with: { data_group: test-calibrated, rule: vote, bootstrap: 10 }
  beside:
    uses: compare
    inputs: { simple: simple, cnn: test, both: both }
    with: { models: [simple/voxels, simple/majority, cnn, both], bootstrap: 50 }
expect:
  - { metric: both.balanced_accuracy, min: 0, max: 1 }
  - { metric: test.balanced_accuracy, min: 0, max: 1 }
maps: maps
";

/// The cells of a table, row by row, by column name.
fn rows(text: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut lines = text.lines().map(|line| line.split('\t').map(str::to_owned));
    let header: Vec<String> = lines.next().unwrap().collect();
    lines
        .map(|line| header.iter().cloned().zip(line).collect())
        .collect()
}

#[test]
fn a_network_is_published_beside_what_it_has_to_beat() {
    let project = Project::with_caps(12);
    project.write("experiment.yaml", EXPERIMENT);
    project.clinicadl(&["check", "experiment.yaml"]).success();
    let report = project.report(&[]);
    let published = files(&project.path("maps"));
    for split in 0..2 {
        for file in [
            "baseline-majority/test/test_image_level_metrics.tsv",
            "baseline-covariates/validation/validation_image_level_prediction.tsv",
            "baseline-voxels/test/description.log",
            "best-loss/test/test_image_level_metrics.tsv",
            "best-loss/test-calibrated/test-calibrated_image_level_metrics.tsv",
            "best-loss/test-calibrated/calibration.tsv",
            "best-loss/test-calibrated/reliability.tsv",
        ] {
            let file = format!("split-{split}/{file}");
            assert!(published.contains(&file), "{file} in {published:#?}");
        }
    }
    // Ill participants are darker in one corner: voxels tell, and the share of classes does not.
    let metric = |model: &str, name: &str| -> f64 {
        let path = format!("maps/split-0/{model}/test/test_image_level_metrics.tsv");
        rows(&project.read(&path))[0][name].parse().unwrap()
    };
    assert!((metric("baseline-voxels", "AUC") - 1.0).abs() < 1e-12);
    assert!((metric("baseline-majority", "AUC") - 0.5).abs() < 1e-12);
    // Only the fit may change with the test; what was fitted to is told.
    let path = "maps/split-0/best-loss/test-calibrated/calibration.tsv";
    let fitted = &rows(&project.read(path))[0];
    assert_eq!(fitted["fitted_to"], "validation");
    assert_eq!(fitted["images"], "4");
    assert_eq!(fitted["aim"], "youden");
    // Both models together, where they are of no split.
    for file in [
        "ensemble/mean/best-loss/test/test_image_level_metrics.tsv",
        "ensemble/mean/leakage/test.json",
        "ensemble/vote/best-loss/test-calibrated/test-calibrated_image_level_prediction.tsv",
    ] {
        assert!(
            published.contains(&file.to_owned()),
            "{file} in {published:#?}"
        );
    }
    let said = |folder: &str| -> Vec<f64> {
        let path = format!("maps/{folder}/best-loss/test/test_image_level_prediction.tsv");
        let rows = rows(&project.read(&path));
        rows.iter()
            .map(|row| row["proba0"].parse().unwrap())
            .collect()
    };
    let members = said("split-0").into_iter().zip(said("split-1"));
    for (both, (a, b)) in said("ensemble/mean").into_iter().zip(members) {
        assert!((both - (a + b) / 2.0).abs() < 1e-15);
    }
    // What the publisher wrote is a MAPS still.
    let maps = project.path("maps").display().to_string();
    clinicadl(&["maps", "validate", &maps]).success();
    let shown = clinicadl(&["maps", "show", &maps]).success().stdout;
    assert!(shown.contains("test-calibrated, best-loss"), "{shown}");
    assert!(
        shown.contains("test, ensemble `mean` of best-loss"),
        "{shown}"
    );
    let metrics = "maps/ensemble/mean/best-loss/test/test_image_level_metrics.tsv";
    let text = project.read(metrics);
    project.write(metrics, &text.replacen("Values\t", "Values\t9", 1));
    let said = clinicadl(&["maps", "validate", &maps]);
    assert!(
        said.stderr.contains("follows from the predictions"),
        "{}{}",
        said.stdout,
        said.stderr
    );
    project.write(metrics, &text);

    // The same tables from the MAPS, by a command.
    let compare = |models: &str, output: &str, more: &[&str]| {
        let models = format!("models={models}");
        let arguments = [
            &["exec", "compare", "--input", "a=maps", "--input", "b=maps"][..],
            &["--with", &*models, "--with", "bootstrap=50"],
            more,
            &["--output", output],
        ];
        project.clinicadl(&arguments.concat())
    };
    compare("[a/voxels, b/loss]", "beside", &[]).success();
    let compared = rows(&project.read("beside/comparison.tsv"));
    let of = |split: &str, run: &str| {
        let mut all = compared.iter();
        all.find(|row| row["split"] == split && row["run"] == run && row["metric"] == "roc_auc")
            .unwrap()
    };
    for split in ["0", "1"] {
        let number = |row: &std::collections::BTreeMap<String, String>, name: &str| -> f64 {
            row[name].parse().unwrap()
        };
        let (voxels, network) = (of(split, "a/voxels"), of(split, "b/loss"));
        let difference = number(network, "value") - number(voxels, "value");
        assert!((number(network, "difference") - difference).abs() < 1e-12);
        assert_eq!(network["reference"], "a/voxels");
    }
    let spread = project.read("beside/spread.tsv");
    assert!(spread.contains("\tsplits\t"), "{spread}");

    // What cannot be compared or calibrated is refused, and nothing is written.
    for (models, more, expected) in [
        (
            "[a, b/loss]",
            &[][..],
            "`maps` has several models: `covariates`, `majority`, `voxels`, `loss`",
        ),
        ("[a/voxels, b/luck]", &[], "`maps` has no model `luck`"),
        (
            "[a/voxels, b/loss]",
            &["--with", "data_group=nobody"],
            "`maps` has no predictions of data group `nobody`",
        ),
        (
            "[a/voxels]",
            &[],
            "`with.models`: expected at least 2 items",
        ),
    ] {
        let said = compare(models, "out", more);
        assert_ne!(said.code, Some(0), "{models}");
        assert!(
            said.stderr.contains(expected),
            "{expected}\n{}",
            said.stderr
        );
        assert!(!project.path("out").exists());
    }

    // The second run does nothing: what sees all splits is in the store as well.
    let actions = |report: &Value| -> Vec<String> {
        let actions = report["run"]["actions"].as_array().unwrap().iter();
        let outcome = |action: &Value| action["outcome"]["outcome"].as_str().unwrap().to_owned();
        actions.map(outcome).collect()
    };
    assert!(actions(&report).iter().all(|outcome| outcome == "ran"));
    let again = actions(&project.report(&[]));
    assert!(again.iter().all(|outcome| outcome == "hit"), "{again:?}");
    // A lock knows it: it is verified, and what is behind a change runs again.
    project.clinicadl(&["verify", "experiment.yaml"]).success();
    project.edit("experiment.yaml", "downsampling: 4", "downsampling: 2");
    let plan = project.clinicadl(&["plan", "experiment.yaml"]).success();
    assert!(
        plan.stdout.contains("run  simple (split 0)"),
        "{}",
        plan.stdout
    );
    assert!(plan.stdout.contains("maybe  beside"), "{}", plan.stdout);
    assert!(plan.stdout.contains("hit  calibrated"), "{}", plan.stdout);
}
