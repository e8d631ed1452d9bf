//! What `plan`, `explain`, `status` and `graph` say, word for word.
//!
//! Keys and digests are left out: they are tested where they are made.

use crate::support::Project;

/// A project that ran once, was changed in three ways, and has a stage that never ran.
fn changed_project() -> Project {
    let project = Project::with_tables(24);
    project.clinicadl(&["run", "experiment.yaml"]).success();
    project.edit(
        "labels.tsv",
        "sub-003\tses-M000\tCN",
        "sub-003\tses-M000\tAD",
    );
    project.edit("experiment.yaml", "n_splits: 2", "n_splits: 3");
    project.edit(
        "experiment.yaml",
        "maps:",
        "  again: { uses: kfold, inputs: { labels: labels } }\nmaps:",
    );
    project
}

macro_rules! snapshot {
    ($project:expr, $name:literal, $($argument:expr),+) => {{
        let mut settings = insta::Settings::clone_current();
        settings.add_filter("[0-9a-f]{64}", "[digest]");
        settings.set_prepend_module_to_snapshot(false);
        let said = $project.clinicadl(&[$($argument),+]).success().stdout;
        settings.bind(|| insta::assert_snapshot!($name, said));
    }};
}

#[test]
fn a_plan_names_what_changed() {
    let project = changed_project();
    snapshot!(project, "plan", "plan", "experiment.yaml");
    snapshot!(project, "plan-json", "plan", "experiment.yaml", "--json");
}

#[test]
fn an_explanation_lists_every_difference() {
    let project = changed_project();
    snapshot!(project, "explain", "explain", "experiment.yaml");
    snapshot!(
        project,
        "explain-json",
        "explain",
        "experiment.yaml",
        "holdout",
        "--json"
    );
}

#[test]
fn a_hit_is_explained_too_and_two_actions_can_be_compared() {
    let project = Project::with_tables(24);
    project.clinicadl(&["run", "experiment.yaml"]).success();
    snapshot!(
        project,
        "explain-hit",
        "explain",
        "experiment.yaml",
        "folds",
        "--key"
    );
    snapshot!(
        project,
        "explain-against",
        "why",
        "experiment.yaml",
        "holdout",
        "--against",
        "validation"
    );
    let plan = project
        .clinicadl(&["plan", "experiment.yaml", "--json"])
        .success()
        .stdout;
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let key = plan["actions"][1]["key"].as_str().unwrap();
    project.edit("experiment.yaml", "n_test: 4", "n_test: 2");
    let said = project
        .clinicadl(&[
            "explain",
            "experiment.yaml",
            "validation",
            "--against",
            &key[..12],
        ])
        .success()
        .stdout;
    assert!(
        said.contains("parameter `n_test` changed from 4.0 to 2.0"),
        "{said}"
    );
    let wrong = project.clinicadl(&["explain", "experiment.yaml", "hold"]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong
            .stderr
            .contains("known: `holdout`, `validation`, `folds`"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn a_status_and_the_pictures_show_the_states() {
    let project = changed_project();
    snapshot!(project, "status", "status", "experiment.yaml");
    snapshot!(
        project,
        "status-json",
        "status",
        "experiment.yaml",
        "--json"
    );
    snapshot!(project, "graph", "graph", "experiment.yaml");
    snapshot!(project, "graph-json", "graph", "experiment.yaml", "--json");
    snapshot!(
        project,
        "graph-dot",
        "graph",
        "experiment.yaml",
        "--format",
        "dot"
    );
    snapshot!(
        project,
        "graph-mermaid",
        "graph",
        "experiment.yaml",
        "--format",
        "mermaid"
    );
    snapshot!(
        project,
        "graph-svg",
        "graph",
        "experiment.yaml",
        "--format",
        "svg"
    );
}
