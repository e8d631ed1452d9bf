//! The manifest language through the built program.

use std::fs;

use serde_json::Value;

use crate::support::{Project, Said};

/// Splits for two sizes of the test set and two seeds; the labels are read once.
const SWEEP: &str = "\
clinicadl: 1
name: sweep
seed: ${params.seed}
include: [fragments/data.yaml]
params: { seed: 1, n_test: 4, folds: true }
matrix: { n_test: [4, 6], seed: [1, 2] }
defaults: { split: { with: { balance: [] } } }
stages:
  holdout: { uses: split, inputs: { labels: labels }, with: { n_test: '${params.n_test}' } }
  folds:
    uses: kfold
    inputs: { labels: holdout.train }
    with: { n_splits: 2 }
    when: { params.folds: true }
  fixed: { uses: kfold, inputs: { labels: labels }, with: { n_splits: 3 } }
maps: out
";

fn sweep() -> Project {
    let project = Project::with_tables(24);
    project.write("experiment.yaml", SWEEP);
    project.write("fragments/data.yaml", "inputs: { labels: ../labels.tsv }\n");
    project
}

fn json(said: Said) -> Value {
    serde_json::from_str(&said.success().stdout).unwrap()
}

fn names(value: &Value) -> Vec<&str> {
    let actions = value["actions"].as_array().unwrap();
    actions
        .iter()
        .map(|a| a["action"].as_str().unwrap())
        .collect()
}

#[track_caller]
fn refused(said: &Said, parts: &[&str]) {
    assert_eq!(said.code, Some(2), "{}{}", said.stdout, said.stderr);
    for part in parts {
        assert!(
            said.stderr.contains(part),
            "expected `{part}`:\n{}",
            said.stderr
        );
    }
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
}

#[test]
fn a_matrix_runs_shares_and_publishes_every_cell() {
    let project = sweep();
    let report = project.report(&[]);
    let actions = report["run"]["actions"].as_array().unwrap();
    assert_eq!(actions.len(), 4 + 4 + 1, "{report:#}");
    let folders: Vec<&str> = report["publications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["cell"].as_str().unwrap())
        .collect();
    let expected = [
        "n_test=4, seed=1",
        "n_test=4, seed=2",
        "n_test=6, seed=1",
        "n_test=6, seed=2",
    ];
    assert_eq!(folders, expected);
    let run = project.read("out/n_test=6,seed=2/provenance/run.json");
    let run: Value = serde_json::from_str(&run).unwrap();
    assert_eq!(
        names(&run),
        [
            "holdout [n_test=6, seed=2]",
            "folds [n_test=6, seed=2]",
            "fixed"
        ]
    );
    let again = project.run().success();
    assert!(
        again.stdout.contains("all 9 actions were hits"),
        "{}",
        again.stdout
    );
    let status = json(project.clinicadl(&["status", "experiment.yaml", "--json"]));
    let published = status["publications"].as_array().unwrap();
    assert!(
        published.iter().all(|p| p["exists"] == true),
        "{published:#?}"
    );
    let said = project.clinicadl(&["verify", "experiment.yaml"]);
    said.success();
}

#[test]
fn one_cell_is_run_by_setting_its_params() {
    let project = sweep();
    project.run().success();
    let set = ["--set", "n_test=6", "--set", "seed=2"];
    let report = project.report(&set);
    assert_eq!(report["run"]["actions"].as_array().unwrap().len(), 3);
    let hits = report["run"]["actions"].as_array().unwrap();
    assert!(
        hits.iter().all(|a| a["outcome"]["outcome"] == "hit"),
        "{report:#}"
    );
    let plan =
        json(project.clinicadl(&[&["plan", "experiment.yaml", "--json"], &set[..]].concat()));
    assert_eq!(names(&plan), ["holdout", "folds", "fixed"]);
    let without = [
        &["plan", "experiment.yaml", "--json", "--set", "folds=false"],
        &set[..],
    ]
    .concat();
    assert_eq!(
        names(&json(project.clinicadl(&without))),
        ["holdout", "fixed"]
    );
    let said = project.clinicadl(&["run", "experiment.yaml", "--set", "n_tset=3"]);
    refused(&said, &["unknown param `n_tset`", "did you mean `n_test`?"]);
    let said = project.clinicadl(&["plan", "experiment.yaml", "--set", "n_test"]);
    refused(&said, &["--set", "expected NAME=VALUE"]);
}

#[test]
fn forcing_a_stage_forces_it_in_every_cell() {
    let project = sweep();
    project.run().success();
    let forced = |arguments: &[&str]| {
        let report = project.report(arguments);
        let actions = report["run"]["actions"].as_array().unwrap().clone();
        actions
            .iter()
            .filter(|a| a["outcome"]["outcome"] == "ran")
            .count()
    };
    assert_eq!(forced(&["--force", "holdout"]), 4);
    assert_eq!(forced(&["--force", "holdout [n_test=6, seed=1]"]), 1);
    let said = project.clinicadl(&["run", "experiment.yaml", "--force", "houldout"]);
    refused(&said, &["no stage `houldout` to force"]);
}

#[test]
fn check_tells_the_cells_and_the_warnings() {
    let project = sweep();
    project.edit(
        "experiment.yaml",
        "params: { seed: 1,",
        "params: { spare: 1, seed: 1,",
    );
    let said = project.clinicadl(&["check", "experiment.yaml"]).success();
    assert!(
        said.stdout.contains("9 stages of 4 cells"),
        "{}",
        said.stdout
    );
    assert!(said.stderr.contains("warning"), "{}", said.stderr);
    assert!(
        said.stderr.contains("experiment.yaml:5:"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("param `spare` is not used"),
        "{}",
        said.stderr
    );
    let check = json(project.clinicadl(&["check", "experiment.yaml", "--json"]));
    assert_eq!(check["valid"], true);
    assert_eq!(check["cells"], 4);
    assert_eq!(check["issues"][0]["severity"], "warning");
    project.edit("fragments/data.yaml", "labels.tsv", "lables.tsv");
    let said = project.clinicadl(&["check", "experiment.yaml"]);
    refused(
        &said,
        &[
            "fragments/data.yaml:1:11: `inputs.labels`",
            "does not exist",
        ],
    );
}

#[test]
fn bounds_and_metrics_are_those_of_each_cell() {
    let project = Project::with_caps(12);
    project.edit("experiment.yaml", "name: small\nseed: 42", "name: small\nseed: ${params.seed}\nparams: { seed: 1, least: 0 }\nmatrix: { include: [{ seed: 1, least: 0.0 }, { seed: 2, least: 1.5 }] }");
    project.edit("experiment.yaml", "epochs: 2", "epochs: 1");
    let text = project.read("experiment.yaml");
    let (before, _) = text.split_once("  saliency:").unwrap();
    project.write(
        "experiment.yaml",
        &format!("{before}maps: maps\nexpect: [{{ metric: test.balanced_accuracy, min: '${{params.least}}' }}]\n"),
    );
    let report = project.report(&[]);
    assert_eq!(report["publications"].as_array().unwrap().len(), 2);
    assert!(
        project.path("maps/seed=2,least=1.5/split-1").is_dir(),
        "{:?}",
        project.files()
    );
    let said = project.clinicadl(&["verify", "experiment.yaml", "--json"]);
    let verified: Value = serde_json::from_str(&said.stdout).unwrap();
    let checks = verified["checks"].as_array().unwrap();
    let failed: Vec<&Value> = checks.iter().filter(|c| c["outcome"] == "failed").collect();
    // Nothing can be as accurate as the second cell demands.
    assert_eq!(
        failed.len(),
        2,
        "one for each of two selected models: {failed:#?}"
    );
    for check in failed {
        assert!(
            check["name"].as_str().unwrap().contains("seed=2"),
            "{check}"
        );
    }
    fs::write(
        project.path("maps/seed=1,least=0.0/split-0/training_logs/training.tsv"),
        "x",
    )
    .unwrap();
    let said = project.clinicadl(&["verify", "experiment.yaml"]);
    assert!(said.stdout.contains("training.tsv"), "{}", said.stdout);
}

#[test]
fn a_folder_outside_of_the_project_takes_whoever_runs_it() {
    let project = Project::with_tables(24);
    project.edit("experiment.yaml", "maps: tables", "maps: ../elsewhere");
    let said = project.run();
    refused(
        &said,
        &[
            "experiment.yaml:9:1",
            "`../elsewhere` is outside of the project",
            "--maps",
        ],
    );
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = elsewhere.path().join("tables");
    let folder = folder.to_str().unwrap();
    project
        .clinicadl(&["run", "experiment.yaml", "--maps", folder])
        .success();
    assert!(
        elsewhere
            .path()
            .join("tables/provenance/run.json")
            .is_file()
    );
    project
        .clinicadl(&["status", "experiment.yaml", "--maps", folder, "--check"])
        .success();
}

#[test]
fn the_same_manifest_in_another_folder_has_the_same_keys() {
    let keys = |project: &Project| {
        let plan = json(project.clinicadl(&["plan", "experiment.yaml", "--json"]));
        let actions = plan["actions"].as_array().unwrap().clone();
        actions
            .iter()
            .map(|a| a["key"].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&sweep()), keys(&sweep()));
}

#[test]
fn hostile_manifests_are_refused_quickly_and_in_little_memory() {
    let project = Project::with_tables(4);
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..30 {
        let below = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{below}]\n"));
    }
    let texts = [
        (bomb, "too large"),
        ("[".repeat(100 << 20), "larger than 4 MiB"),
        ("{a: ".repeat(1 << 20), "nested too deeply"),
        (
            project
                .read("experiment.yaml")
                .replace("maps: tables", "maps: /tmp/x"),
            "not relative",
        ),
        (
            project
                .read("experiment.yaml")
                .replace("maps: tables", "maps: link/x"),
            "through a link",
        ),
        ("include: [/etc/shadow]\n".to_owned(), "not a relative path"),
    ];
    std::os::unix::fs::symlink("/tmp", project.path("link")).unwrap();
    for (text, message) in texts {
        project.write("hostile.yaml", &text);
        // Memory and processor time are bounded: whatever grows without limit is killed. An ordinary
        // refusal takes milliseconds.
        let limited = format!(
            "ulimit -v 1000000 && ulimit -t 30 && exec {} check hostile.yaml",
            env!("CARGO_BIN_EXE_clinicadl")
        );
        let mut shell = std::process::Command::new("sh");
        let said = crate::support::run(shell.current_dir(project.path("")).args(["-c", &limited]));
        refused(&said, &[message]);
        assert!(said.stderr.len() < 100_000);
    }
}

/// The code blocks of a document in one language.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = document;
    while let Some((_, after)) = rest.split_once(&format!("```{language}\n")) {
        let (block, after) = after.split_once("```").unwrap();
        blocks.push(block.to_owned());
        rest = after;
    }
    blocks
}

#[test]
fn every_example_of_the_reference_is_valid_here_and_in_editors() {
    let document = fs::read_to_string(crate::support::root().join("docs/manifest.md")).unwrap();
    let project = Project::empty();
    project.write("data/labels.tsv", "participant_id\tsession_id\tdiagnosis\n");
    project.write("data/caps/subjects/x", "");
    let schema: Value =
        serde_json::from_str(&project.clinicadl(&["schema"]).success().stdout).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let mut examples = 0;
    for (language, name) in [("yaml", "m.yaml"), ("toml", "m.toml")] {
        for block in blocks(&document, language) {
            let first = block.lines().next().unwrap();
            if let Some(fragment) = first.strip_prefix("# fragments/") {
                project.write(&format!("fragments/{fragment}"), &block);
                continue;
            }
            project.write(name, &block);
            let path = project.path(name);
            let registry = engine::Registry::new(stages::STAGES);
            let manifest = engine::manifest::Manifest::load(&path, registry)
                .unwrap_or_else(|issues| panic!("{issues}\n{block}"));
            assert!(
                manifest.warnings.is_empty() || first.contains("fragments"),
                "{block}"
            );
            if language == "yaml" {
                let value = engine::manifest::yaml_value(&block).unwrap();
                let errors: Vec<String> = schema
                    .iter_errors(&value)
                    .map(|e| format!("{e} at {}", e.instance_path()))
                    .collect();
                assert!(errors.is_empty(), "{errors:#?}\n{block}");
            }
            examples += 1;
        }
    }
    assert!(examples >= 7, "{examples}");
}

#[test]
fn editors_refuse_what_the_program_refuses() {
    let schema: Value =
        serde_json::from_str(&crate::support::clinicadl(&["schema"]).success().stdout).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let stage = |stage: &str| {
        let text = format!("clinicadl: 1\nname: x\nstages: {{ a: {{ {stage} }} }}\n");
        schema.is_valid(&engine::manifest::yaml_value(&text).unwrap())
    };
    assert!(stage("uses: kfold, with: { n_splits: 3 }"));
    assert!(stage("uses: kfold, with: { n_splits: '${params.n}' }"));
    assert!(stage(
        "uses: kfold, with: '${params.all}', splits: ['${params.i}'], retries: '${params.r}'"
    ));
    assert!(stage(
        "uses: train, with: { network: { name: '${params.n}' }, epochs: 3 }"
    ));
    assert!(!stage("uses: kfold, with: { n_splits: three }"));
    assert!(!stage(
        "uses: kfold, with: { n_splits: 'about ${params.n}' }"
    ));
    assert!(!stage("uses: kfold, with: { n_spltis: 3 }"));
    assert!(!stage("uses: kflod"));
    assert!(!stage("uses: train, with: { network: { name: Conv9 } }"));
}

#[test]
fn trials_of_a_search_are_ranked_and_those_that_fail_are_recorded() {
    let project = Project::with_caps(12);
    project.edit(
        "experiment.yaml",
        "seed: 42",
        "seed: 42\nparams: { rate: 0.001, patience: 0 }\nsearch: { method: grid, metric: validation.best-loss.loss, space: { rate: { choice: [0.001, 1.0e-9, 1.0e+30] }, patience: { choice: [1] } } }",
    );
    project.edit(
        "experiment.yaml",
        "learning_rate: 0.001",
        "learning_rate: '${params.rate}'",
    );
    project.edit(
        "experiment.yaml",
        "epochs: 2",
        "epochs: 4\n      patience: '${params.patience}'\n      tolerance: 0.0001",
    );
    let report = project.report(&[]);
    let ranking = project.read("maps/ranking.tsv");
    let rows: Vec<Vec<&str>> = ranking
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let column = |name: &str| rows[0].iter().position(|head| *head == name).unwrap();
    let of = |name: &str| {
        rows[1..]
            .iter()
            .map(|row| row[column(name)])
            .collect::<Vec<_>>()
    };
    assert_eq!(of("rank"), ["1", "2", "3"], "{ranking}");
    assert_eq!(of("rate"), ["0.001", "1e-9", "1e+30"]);
    assert_eq!(of("status")[1..], ["stopped early", "failed"]);
    assert_eq!(of("epochs")[1], "2,2");
    assert!(
        of("message")[2].contains("the training loss is"),
        "{ranking}"
    );
    // The mean over splits of what the tables of the MAPS say.
    let loss = |split: usize| -> f64 {
        let path = format!(
            "maps/rate=0.001,patience=1/split-{split}/best-loss/validation/validation_image_level_metrics.tsv"
        );
        let table = project.read(&path);
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split('\t').collect())
            .collect();
        let loss = rows[0].iter().position(|head| *head == "loss").unwrap();
        rows[1][loss].parse().unwrap()
    };
    let mean: f64 = of("validation.best-loss.loss")[0].parse().unwrap();
    assert!((mean - (loss(0) + loss(1)) / 2.0).abs() < 1e-12);
    let trials = report["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 3);
    assert_eq!(trials[2]["status"], "failed");
    assert!(!project.path("maps/rate=1e+30,patience=1").exists());
    // What is shared ran once; what failed is tried again.
    let actions = report["run"]["actions"].as_array().unwrap();
    let extractions = actions.iter().filter(|a| a["stage_name"] == "extract");
    assert_eq!(extractions.count(), 1);
    let again = project.run().success();
    assert!(
        again
            .stdout
            .contains("3 trials by validation.best-loss.loss, less is better"),
        "{}",
        again.stdout
    );
    assert!(
        again
            .stderr
            .contains("trial `rate=1e+30, patience=1` failed"),
        "{}",
        again.stderr
    );
    assert_eq!(project.read("maps/ranking.tsv"), ranking);
    // A file of that name that is no ranking is somebody else's.
    project.write("maps/ranking.tsv", "mine\n");
    let again = project.run().success();
    assert!(
        again.stderr.contains("no ranking of trials"),
        "{}",
        again.stderr
    );
    assert_eq!(project.read("maps/ranking.tsv"), "mine\n");
    project.clinicadl(&["verify", "experiment.yaml"]).success();
}

#[test]
fn a_config_of_clinicadl_gives_the_parameters_of_a_training() {
    let project = Project::with_caps(12);
    let config = "[Architecture]\ndropout = 0.25\n[Computational]\nbatch_size = 3\n[Optimization]\nepochs = 7\nlearning_rate = 0.002\n[Reproducibility]\nseed = 5\n";
    project.write("configs/train_config.toml", config);
    let with = "    with:\n      epochs: 2\n      batch_size: 2\n      network: { name: Conv5_FC3, dropout: 0.1 }\n      optimizer: { name: Adam, learning_rate: 0.001 }\n";
    project.edit(
        "experiment.yaml",
        with,
        "    config: configs/train_config.toml\n    with:\n      epochs: 1\n",
    );
    project.report(&[]);
    let maps: Value = serde_json::from_str(&project.read("maps/maps.json")).unwrap();
    // What is under `with` wins; what nobody says is the default.
    let expected = serde_json::json!({
        "dropout": 0.25, "batch_size": 3, "epochs": 1, "learning_rate": 0.002, "seed": 5,
        "architecture": "Conv5_FC3", "optimizer": "Adam", "patience": 0,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(maps[key], *value, "{key}");
    }
    // Another file is another training.
    project.write(
        "configs/train_config.toml",
        &config.replace("batch_size = 3", "batch_size = 4"),
    );
    let report = project.report(&[]);
    let ran = report["run"]["actions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|a| a["stage_name"] == "train");
    assert!(ran.clone().count() == 2 && ran.into_iter().all(|a| a["outcome"]["outcome"] == "ran"));
    // A `maps.json` is a config too: from the same parameters, the same weights.
    let weights = fs::read(project.path("maps/split-0/best-loss/model.safetensors")).unwrap();
    project.write("configs/maps.json", &project.read("maps/maps.json"));
    project.edit(
        "experiment.yaml",
        "configs/train_config.toml",
        "configs/maps.json",
    );
    project.run().success();
    let again = fs::read(project.path("maps/split-0/best-loss/model.safetensors")).unwrap();
    assert!(weights == again);
}

#[test]
fn a_wrong_config_is_told_at_its_own_lines() {
    let project = Project::with_caps(4);
    project.write(
        "old.toml",
        "[Optimization]\nepochs = 7\nlearning_rat = 0.1\n[Model]\nssda_network = true\n",
    );
    project.edit(
        "experiment.yaml",
        "    with:\n      epochs: 2\n",
        "    config: old.toml\n    with:\n      epochs: 2\n",
    );
    let said = project.clinicadl(&["check", "experiment.yaml"]);
    assert_eq!(said.code, Some(2));
    for told in [
        "old.toml:3:",
        "did you mean `learning_rate`",
        "old.toml:5:",
        "two domains are learnt by",
    ] {
        assert!(said.stderr.contains(told), "{told}: {}", said.stderr);
    }
    project.edit("experiment.yaml", "config: old.toml", "config: none.toml");
    let said = project.clinicadl(&["check", "experiment.yaml"]);
    assert!(
        said.stderr.contains("`none.toml` does not exist"),
        "{}",
        said.stderr
    );
    project.edit("experiment.yaml", "    config: none.toml\n", "");
    project.edit(
        "experiment.yaml",
        "  extract:\n",
        "  extract:\n    config: old.toml\n",
    );
    let said = project.clinicadl(&["check", "experiment.yaml"]);
    assert!(
        said.stderr.contains("`prepare-data` reads no `config`"),
        "{}",
        said.stderr
    );
}
