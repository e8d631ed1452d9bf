use std::fs;
use std::path::PathBuf;

use super::*;
use crate::manifest::Manifest;
use crate::plan::{Conditions, Plan, State, assess};
use crate::store::Store;
use crate::testing::REGISTRY;

struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("text")).unwrap();
        let project = Self { folder };
        project.write("text/a", "one two three");
        project.write("text/b", "four");
        project
    }

    fn write(&self, path: &str, content: &str) {
        fs::write(self.folder.path().join(path), content).unwrap();
    }

    fn store(&self) -> Store {
        Store::open(&self.folder.path().join(".store")).unwrap()
    }

    fn manifest(&self, with: &str) -> Manifest {
        let text = format!(
            "clinicadl: 1
name: demo
inputs: {{ text: text }}
stages:
  words: {{ uses: count, inputs: {{ text: text }}, with: {{ {with} }} }}
  parts: {{ uses: fold, inputs: {{ count: words }} }}
  joined: {{ uses: join, inputs: {{ part: parts }} }}
"
        );
        Manifest::parse(&self.folder.path().join("m.yaml"), text, REGISTRY).unwrap()
    }

    fn run(&self, with: &str) -> RunReport {
        self.run_with(with, &[])
    }

    fn run_with(&self, with: &str, force: &[String]) -> RunReport {
        self.run_manifest(&self.manifest(with), force)
    }

    fn run_manifest(&self, manifest: &Manifest, force: &[String]) -> RunReport {
        let store = self.store();
        let plan = Plan::build(manifest, &store).unwrap();
        let options = RunOptions {
            machine: Machine {
                cpus: 2,
                gpus: 0,
                memory: None,
            },
            conditions: Conditions {
                forced: force.to_vec(),
                same_class: None,
            },
            worker: PathBuf::from("none"),
            guard: None,
            power: crate::exec::Power::UNKNOWN,
            interrupt: Interrupt::default(),
            fail_fast: false,
            profile: false,
            first_delay: std::time::Duration::ZERO,
            remote: None,
        };
        run(manifest, &plan, &store, REGISTRY, &options, &mut |_| {}).unwrap()
    }
}

fn outcomes(report: &RunReport) -> Vec<String> {
    report
        .actions
        .iter()
        .map(|action| match &action.outcome {
            ActionOutcome::Hit => "hit".to_owned(),
            ActionOutcome::Ran { why } => why.to_string(),
            ActionOutcome::Failed { error } => format!("failed: {error}"),
            ActionOutcome::Skipped { because } => format!("skipped: {because}"),
            ActionOutcome::NotReached => "not reached".to_owned(),
        })
        .collect()
}

#[test]
fn a_second_run_is_all_hits() {
    let project = Project::new();
    assert_eq!(outcomes(&project.run("factor: 2")), ["never ran"; 4]);
    assert_eq!(outcomes(&project.run("factor: 2")), ["hit"; 4]);
}

#[test]
fn a_stage_that_sees_all_splits_has_each_in_its_folder() {
    let project = Project::new();
    let text = "clinicadl: 1
name: demo
inputs: { text: text }
stages:
  words: { uses: count, inputs: { text: text } }
  parts: { uses: fold, inputs: { count: words } }
  joined: { uses: join, inputs: { part: parts } }
  made: { uses: gather, inputs: { parts: joined } }
  drawn: { uses: gather, inputs: { parts: parts } }
";
    let path = project.folder.path().join("m.yaml");
    let manifest = Manifest::parse(&path, text.to_owned(), REGISTRY).unwrap();
    let report = project.run_manifest(&manifest, &[]);
    let store = project.store();
    let artifacts = crate::provenance::finished_artifacts(&manifest, &report, &store);
    let list = |stage: &str| {
        let found = artifacts.iter().find(|a| a.stage_name == stage).unwrap();
        fs::read_to_string(store.object_path(&found.tree.files["list"].digest)).unwrap()
    };
    assert_eq!(list("made"), "split-0/r: 4/0\nsplit-1/r: 4/1\n");
    assert_eq!(list("drawn"), "split-0/part: 4/0\nsplit-1/part: 4/1\n");
    let again = project.run_manifest(&manifest, &[]);
    assert!(outcomes(&again).iter().all(|outcome| outcome == "hit"));
    // One word more: every part has another number, and so have both lists.
    project.write("text/b", "four five");
    let changed = outcomes(&project.run_manifest(&manifest, &[]));
    assert!(
        changed[4].starts_with("content of input `parts` changed"),
        "{changed:?}"
    );
}

#[test]
fn a_resource_parameter_changes_nothing_and_a_semantic_one_is_named_with_both_values() {
    let project = Project::new();
    project.run("factor: 2, workers: 1");
    assert_eq!(outcomes(&project.run("factor: 2, workers: 4")), ["hit"; 4]);
    let report = project.run("factor: 3");
    assert_eq!(
        outcomes(&report)[0],
        "parameter `factor` changed from 2 to 3"
    );
    assert_eq!(
        outcomes(&report)[1],
        "content of input `count` changed (1 changed: `n`)"
    );
}

#[test]
fn an_action_that_reproduces_the_same_bytes_does_not_invalidate_what_follows() {
    let project = Project::new();
    project.run("");
    project.write("text/b", "five");
    let report = project.run("");
    assert_eq!(
        outcomes(&report),
        [
            "content of input `text` changed (1 changed: `b`)",
            "hit",
            "hit",
            "hit"
        ]
    );
    let items = report.actions[0].items;
    assert_eq!(
        items,
        Some((1, 1)),
        "one file changed, one item is computed"
    );
}

#[test]
fn adding_one_file_computes_one_item() {
    let project = Project::new();
    project.run("");
    project.write("text/c", "six seven");
    assert_eq!(project.run("").actions[0].items, Some((2, 1)));
    project.write("text/d.log", "not selected");
    assert_eq!(outcomes(&project.run("")), ["hit"; 4]);
}

#[test]
fn a_failure_skips_what_follows_and_is_not_remembered() {
    let project = Project::new();
    let report = project.run("fault: fail");
    let told = outcomes(&report);
    assert!(told[0].starts_with("failed: `text/a` is bad"), "{told:?}");
    assert_eq!(
        &told[1..],
        ["skipped: words", "skipped: parts", "skipped: parts"]
    );
    let again = outcomes(&project.run("fault: fail"));
    assert!(again[0].starts_with("failed"), "{again:?}");
}

#[test]
fn a_panic_fails_its_action_alone() {
    let report = Project::new().run("fault: panic");
    let (_, error) = report.failures().next().unwrap();
    assert_eq!(error.kind, crate::FailureKind::Internal);
    assert!(error.message.contains("a defect"));
}

#[test]
fn an_input_that_changes_while_it_is_read_is_never_recorded() {
    let project = Project::new();
    let report = project.run("fault: change");
    let (_, error) = report.failures().next().unwrap();
    assert!(
        error.message.contains("changed while it was being read"),
        "{error}"
    );
}

#[test]
fn a_lost_object_is_made_again() {
    let project = Project::new();
    project.run("");
    let store = project.store();
    let manifest = project.manifest("");
    let plan = Plan::build(&manifest, &store).unwrap();
    let State::Hit(record) = &assess(&plan, &manifest, &store, &Conditions::default()).states[1].1
    else {
        panic!("expected a hit")
    };
    let tree = store.tree(&record.outputs["parts"][0].digest).unwrap();
    let object = store.object_path(&tree.files["part"].digest);
    fs::remove_file(&object).unwrap();
    fs::write(&object, "damaged").unwrap();
    let told = outcomes(&project.run(""));
    assert_eq!(
        told,
        [
            "hit",
            "stored output `parts` is missing or damaged",
            "hit",
            "hit"
        ]
    );
}

#[test]
fn a_forced_stage_runs_and_its_equal_result_stops_there() {
    let project = Project::new();
    project.run("");
    let told = outcomes(&project.run_with("", &["parts".to_owned()]));
    assert_eq!(told, ["hit", "forced", "hit", "hit"]);
}

#[test]
fn a_plan_tells_the_reason_before_the_run() {
    let project = Project::new();
    project.run("factor: 1");
    let (manifest, store) = (project.manifest("factor: 4"), project.store());
    let plan = Plan::build(&manifest, &store).unwrap();
    let states = assess(&plan, &manifest, &store, &Conditions::default()).states;
    let State::Run { reason, .. } = &states[0].1 else {
        panic!("expected a run")
    };
    assert_eq!(reason.to_string(), "parameter `factor` changed from 1 to 4");
    assert!(matches!(states[1].1, State::Pending { .. }));
}
