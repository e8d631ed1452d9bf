//! A whole experiment on small images: results, caching, reproducibility.

use std::fs;

use serde_json::Value;

use crate::support::{Project, files};

/// Participants of the test CAPS: 4 are held out, 8 make two folds.
const PARTICIPANTS: usize = 12;

fn outcomes(report: &Value) -> Vec<(String, String)> {
    let actions = report["run"]["actions"].as_array().unwrap();
    actions
        .iter()
        .map(|action| {
            let text = |name: &str| action[name].as_str().unwrap_or_default().to_owned();
            let outcome = action["outcome"]["outcome"].as_str().unwrap_or_default();
            (text("stage_name"), outcome.to_owned())
        })
        .collect()
}

fn count(report: &Value, outcome: &str) -> usize {
    outcomes(report)
        .iter()
        .filter(|(_, found)| found == outcome)
        .count()
}

#[test]
fn an_experiment_publishes_a_maps_and_a_second_run_does_nothing() {
    let project = Project::with_caps(PARTICIPANTS);
    let report = project.report(&[]);
    assert_eq!(count(&report, "ran"), 9);
    let published = files(&project.path("maps"));
    for expected in [
        "environment.txt",
        "groups/test/data.tsv",
        "groups/train+validation.tsv",
        "groups/train/split-0/data.tsv",
        "groups/validation/split-1/data.tsv",
        "information.log",
        "maps.json",
        "provenance/environment.json",
        "provenance/lock.json",
        "provenance/manifest.yaml",
        "provenance/published.json",
        "provenance/run.json",
        "split-0/best-BA/model.pth.tar",
        "split-0/best-loss/model.pth.tar",
        "split-0/best-loss/model.safetensors",
        "split-0/best-loss/test/interpret-gradients/mean_image-0_map.nii.gz",
        "split-0/best-loss/test/test_image_level_metrics.tsv",
        "split-0/best-loss/test/test_image_level_prediction.tsv",
        "split-0/best-loss/train/train_image_level_prediction.tsv",
        "split-0/best-loss/validation/validation_image_level_metrics.tsv",
        "split-1/training_logs/training.tsv",
    ] {
        assert!(
            published.iter().any(|f| f == expected),
            "{expected} in {published:#?}"
        );
    }
    let training = project.read("maps/split-0/training_logs/training.tsv");
    assert_eq!(
        training.lines().count(),
        3,
        "a header and a row per epoch:\n{training}"
    );
    let predictions = project.read("maps/split-1/best-loss/test/test_image_level_prediction.tsv");
    assert_eq!(predictions.lines().count(), 5, "{predictions}");
    let lock: Value = serde_json::from_str(&project.read("maps/provenance/lock.json")).unwrap();
    assert_eq!(lock["actions"].as_object().unwrap().len(), 9);

    let published_list = project.read("maps/provenance/published.json");
    let again = project.report(&[]);
    assert_eq!(
        project.read("maps/provenance/published.json"),
        published_list
    );
    assert_eq!(count(&again, "hit"), 9, "{:?}", outcomes(&again));
    assert_eq!(files(&project.path("maps")), published);
    project
        .clinicadl(&["status", "experiment.yaml", "--check"])
        .success();
}

#[test]
fn a_changed_hyper_parameter_runs_training_and_what_follows_and_plan_says_so() {
    let project = Project::with_caps(PARTICIPANTS);
    project.report(&[]);
    project.edit(
        "experiment.yaml",
        "learning_rate: 0.001",
        "learning_rate: 0.002",
    );
    let plan = project
        .clinicadl(&["plan", "experiment.yaml"])
        .success()
        .stdout;
    let why = "parameter `optimizer.learning_rate` changed from 0.001 to 0.002";
    assert!(
        plan.contains(&format!("run  train (split 0): {why}")),
        "{plan}"
    );
    assert!(
        plan.contains("hit  extract") && plan.contains("hit  folds"),
        "{plan}"
    );
    assert!(plan.contains("maybe  test (split 0)"), "{plan}");
    let report = project.report(&[]);
    for (stage, outcome) in outcomes(&report) {
        let expected = match stage.as_str() {
            "extract" | "holdout" | "folds" => "hit",
            _ => "ran",
        };
        assert_eq!(outcome, expected, "{stage}");
    }
    project.edit(
        "experiment.yaml",
        "learning_rate: 0.002",
        "learning_rate: 0.001",
    );
    assert_eq!(
        count(&project.report(&[]), "hit"),
        9,
        "going back finds the old results"
    );
}

#[test]
fn adding_an_image_decodes_exactly_one_image() {
    let project = Project::with_caps(PARTICIPANTS);
    let extract = "clinicadl: 1\nname: extract\ninputs: { caps: caps }\nstages:\n  extract: { \
                   uses: prepare-data, inputs: { caps: caps } }\n";
    project.write("experiment.yaml", extract);
    let report = project.report(&[]);
    assert_eq!(
        report["run"]["actions"][0]["items"],
        serde_json::json!([0, PARTICIPANTS])
    );
    project.add_image(PARTICIPANTS);
    let report = project.report(&[]);
    assert_eq!(
        report["run"]["actions"][0]["items"],
        serde_json::json!([PARTICIPANTS, 1])
    );
    project.write("caps/README.txt", "a file that no stage reads");
    assert_eq!(count(&project.report(&[]), "hit"), 1);
}

#[test]
fn two_empty_stores_and_other_numbers_of_threads_give_the_same_bytes() {
    let first = Project::with_caps(PARTICIPANTS);
    let second = Project::with_caps(PARTICIPANTS);
    second.edit("experiment.yaml", "epochs: 2", "epochs: 2\n      n_proc: 3");
    first.report(&["--cpus", "1"]);
    second.report(&["--cpus", "1"]);
    let published = files(&first.path("maps"));
    assert_eq!(published, files(&second.path("maps")));
    for file in published
        .iter()
        .filter(|file| engine::publish::is_result(file))
    {
        let path = format!("maps/{file}");
        let (a, b) = (
            fs::read(first.path(&path)).unwrap(),
            fs::read(second.path(&path)).unwrap(),
        );
        assert!(a == b, "{file} differs");
    }
    let lock = |project: &Project| project.read("experiment.yaml.lock");
    assert_eq!(lock(&first), lock(&second));

    // Whoever asks for results of the same class gets only those.
    let frozen = |cpus, reuse| {
        let flags = [
            "run",
            "experiment.yaml",
            "--frozen",
            "--cpus",
            cpus,
            "--reuse",
            reuse,
        ];
        first.clinicadl(&flags).code
    };
    assert_eq!(frozen("1", "same-class"), Some(0));
    assert_eq!(frozen("2", "same-class"), Some(3));
    assert_eq!(frozen("2", "any"), Some(0));
    let why = first.report(&["--cpus", "2", "--reuse", "same-class"]);
    let trained = &why["run"]["actions"][3]["outcome"]["why"];
    assert_eq!(trained["reason"], "numerics-class", "{trained}");
    assert_eq!(trained["stored"]["intraop_threads"], 1);
    assert_eq!(trained["now"]["intraop_threads"], 2);
}

#[test]
fn a_manifest_in_toml_hits_what_its_yaml_made() {
    let project = Project::with_caps(PARTICIPANTS);
    project.write(
        "experiment.yaml",
        &project.read("experiment.yaml").replace("maps: maps\n", ""),
    );
    project.report(&[]);
    let yaml: serde_json::Value =
        engine::manifest::yaml_value(&project.read("experiment.yaml")).unwrap();
    project.write("experiment.toml", &toml::to_string(&yaml).unwrap());
    let said = project
        .clinicadl(&["run", "experiment.toml", "--json"])
        .success();
    assert_eq!(
        count(&serde_json::from_str(&said.stdout).unwrap(), "hit"),
        9
    );
}
