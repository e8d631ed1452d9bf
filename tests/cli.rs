//! The command line itself: help, listings, JSON, exit codes.

use serde_json::Value;

use crate::support::{Project, clinicadl};

#[test]
fn help_documents_every_command_and_the_exit_codes() {
    let help = clinicadl(&["--help"]).success();
    for word in [
        "run", "check", "plan", "status", "graph", "exec", "stages", "schema", "130",
    ] {
        assert!(help.stdout.contains(word), "{word}\n{}", help.stdout);
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let version = clinicadl(&["--version"]).success().stdout;
    assert_eq!(
        version,
        format!("clinicadl {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_usage_error_is_code_2() {
    assert_eq!(clinicadl(&["frobnicate"]).code, Some(2));
    assert_eq!(clinicadl(&["run"]).code, Some(2));
}

#[test]
fn stages_are_listed_and_described_for_people_and_programs() {
    let text = clinicadl(&["stages"]).success().stdout;
    for id in [
        "generate",
        "interpret",
        "kfold",
        "predict",
        "prepare-data",
        "split",
        "train",
    ] {
        assert!(text.contains(id), "{text}");
    }
    let text = clinicadl(&["stages", "train"]).success().stdout;
    assert!(
        text.contains("epochs = 20") && text.contains("optimizer.learning_rate"),
        "{text}"
    );
    let json: Value =
        serde_json::from_str(&clinicadl(&["stages", "train", "--json"]).success().stdout).unwrap();
    assert_eq!(json["id"], "train");
    assert_eq!(json["runs_in"], "worker");
    let text = clinicadl(&["stages", "train", "--networks"])
        .success()
        .stdout;
    assert!(
        text.contains("Conv5_FC3: ") && text.contains("42293972 parameters for 1×169×208×179"),
        "{text}"
    );
    let room = "2-D, 3-D of an axis of 17 voxels or more; classification, regression";
    assert!(text.contains(room), "{text}");
    let networks = clinicadl(&["stages", "train", "--networks", "--json"]).success();
    let networks: Value = serde_json::from_str(&networks.stdout).unwrap();
    assert_eq!(networks[0]["name"], "AE_Conv4_FC3");
    assert_eq!(clinicadl(&["stages", "split", "--networks"]).code, Some(2));
    let unknown = clinicadl(&["stages", "trian"]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.stderr.contains("unknown stage `trian`"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn completions_exist_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let script = clinicadl(&["completions", shell]).success().stdout;
        assert!(script.contains("clinicadl"), "{shell}");
    }
}

#[test]
fn colour_appears_only_where_it_can_be_seen() {
    let project = Project::with_caps(4);
    let output = project.clinicadl(&["plan", "experiment.yaml"]).success();
    assert!(!output.stdout.contains('\u{1b}'), "{}", output.stdout);
}

#[test]
fn check_plan_status_and_graph_execute_and_write_nothing() {
    let project = Project::with_caps(4);
    let before = project.files();
    project.clinicadl(&["check", "experiment.yaml"]).success();
    let plan = project
        .clinicadl(&["plan", "experiment.yaml", "--json"])
        .success();
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(plan["actions"][0]["state"], "run");
    assert_eq!(
        project
            .clinicadl(&["plan", "experiment.yaml", "--exit-code"])
            .code,
        Some(3)
    );
    assert_eq!(
        project
            .clinicadl(&["status", "experiment.yaml", "--check"])
            .code,
        Some(3)
    );
    assert_eq!(
        project
            .clinicadl(&["run", "experiment.yaml", "--frozen"])
            .code,
        Some(3)
    );
    let graph = project
        .clinicadl(&["graph", "experiment.yaml"])
        .success()
        .stdout;
    assert!(
        graph.contains("train (split 1) [train] ← extract, folds"),
        "{graph}"
    );
    for format in ["dot", "mermaid"] {
        let picture = project.clinicadl(&["graph", "experiment.yaml", "--format", format]);
        assert!(picture.success().stdout.contains("prepare-data"));
    }
    let after: Vec<_> = project
        .files()
        .into_iter()
        .filter(|f| !f.starts_with(".clinicadl"))
        .collect();
    assert_eq!(after, before);
}

#[test]
fn one_stage_runs_without_a_manifest() {
    let project = Project::with_caps(4);
    let arguments = [
        "exec",
        "kfold",
        "--input",
        "labels=labels.tsv",
        "--with",
        "n_splits=2",
        "--output",
        "folds",
    ];
    project.clinicadl(&arguments).success();
    assert!(project.path("folds/split-1/train.tsv").is_file());
    let wrong = project.clinicadl(&[
        "exec",
        "kfold",
        "--input",
        "labels=labels.tsv",
        "--with",
        "n_split=2",
        "--output",
        "x",
    ]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong.stderr.contains("did you mean `n_splits`?"),
        "{}",
        wrong.stderr
    );
    assert!(!project.path("x").exists());
}
