//! The store: what is kept and what is collected, and what is left of a run that failed anywhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Project, Said, command, files, run};

fn json(project: &Project, arguments: &[&str]) -> Value {
    let said = project.clinicadl(arguments).success();
    serde_json::from_str(&said.stdout).unwrap()
}

fn ran(report: &Value) -> usize {
    let actions = report["run"]["actions"].as_array().unwrap().iter();
    actions
        .filter(|action| action["outcome"]["outcome"] == "ran")
        .count()
}

/// A finished project whose store also holds what an earlier manifest made.
fn with_garbage() -> Project {
    let project = Project::with_tables(24);
    project.run().success();
    project.edit("experiment.yaml", "n_test: 6", "n_test: 8");
    project.run().success();
    project
}

#[test]
fn what_no_manifest_needs_is_collected_when_asked_and_nothing_else() {
    let project = with_garbage();
    let dry = json(&project, &["store", "gc", "--json"]);
    assert_eq!(dry["garbage"]["records"], 3, "the three actions of before");
    assert_eq!(dry["deleted"], false);
    let young = json(&project, &["store", "gc", "--keep", "1h", "--json"]);
    assert_eq!(young["garbage"]["records"], 0);
    let done = json(&project, &["store", "gc", "--delete", "--json"]);
    assert_eq!(
        done["garbage"], dry["garbage"],
        "the dry run told the truth"
    );
    assert_eq!(
        ran(&project.report(&[])),
        0,
        "what is needed is still there"
    );
    let again = json(&project, &["store", "gc", "--json"]);
    assert_eq!(again["garbage"]["bytes"], 0);
    project.edit("experiment.yaml", "n_test: 8", "n_test: 6");
    assert_eq!(
        ran(&project.report(&[])),
        3,
        "what was collected is made again"
    );
}

#[test]
fn a_root_lives_as_long_as_manifest_lock_or_maps() {
    let project = Project::with_tables(24);
    project.run().success();
    fs::remove_file(project.path("experiment.yaml")).unwrap();
    let kept = json(&project, &["store", "gc", "--json"]);
    assert_eq!(kept["garbage"]["objects"], 0, "the MAPS is there");
    fs::remove_dir_all(project.path("tables")).unwrap();
    drop(fs::remove_file(project.path("experiment.yaml.lock")));
    let gone = json(&project, &["store", "gc", "--delete", "--json"]);
    assert_eq!(gone["garbage"]["records"], 3);
    let usage = json(&project, &["store", "du", "--json"]);
    assert_eq!(usage["usage"]["objects"], serde_json::json!([0, 0]));
    assert_eq!(usage["usage"]["roots"].as_array().unwrap().len(), 0);
}

#[test]
fn usage_is_told_by_manifest() {
    let project = Project::with_tables(24);
    project.run().success();
    project.write(
        "other.yaml",
        &project
            .read("experiment.yaml")
            .replace("maps: tables\n", ""),
    );
    project.edit("other.yaml", "n_splits: 2", "n_splits: 3");
    project.clinicadl(&["run", "other.yaml"]).success();
    let usage = json(&project, &["store", "du", "--json"]);
    let roots = usage["usage"]["roots"].as_array().unwrap();
    assert_eq!(roots.len(), 2);
    for root in roots {
        let (bytes, alone) = (
            root["bytes"].as_u64().unwrap(),
            root["alone"].as_u64().unwrap(),
        );
        assert!(
            alone > 0 && alone < bytes,
            "they share the splits before the folds: {root}"
        );
    }
}

#[test]
fn a_check_finds_every_damaged_file_and_the_next_run_makes_it_again() {
    let project = Project::with_tables(24);
    project.run().success();
    project.clinicadl(&["store", "verify"]).success();
    let store = project.path(".clinicadl");
    let damaged: Vec<PathBuf> = ["objects", "actions"]
        .iter()
        .map(|folder| store.join(folder).join(&files(&store.join(folder))[0]))
        .collect();
    for path in &damaged {
        let mut bytes = fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let said = project.clinicadl(&["store", "verify", "--json"]);
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    let told = told["damaged"].as_array().unwrap();
    for path in &damaged {
        let path = path.strip_prefix(&store).unwrap().to_str().unwrap();
        assert!(
            told.iter().any(|found| found["path"] == path),
            "{path}: {told:?}"
        );
    }
    assert!(ran(&project.report(&[])) > 0);
    project.clinicadl(&["store", "verify"]).success();
}

#[test]
fn a_store_of_a_group_stays_writable_for_it() {
    let project = Project::with_tables(24);
    let store = project.path(".clinicadl");
    fs::create_dir(&store).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o2775)).unwrap();
    project.run().success();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let record = store
        .join("actions")
        .join(&files(&store.join("actions"))[0]);
    assert_eq!(mode(&record), 0o664);
    assert_eq!(mode(record.parent().unwrap()), 0o2775);
    let object = store
        .join("objects")
        .join(&files(&store.join("objects"))[0]);
    assert_eq!(mode(&object), 0o444, "objects are nobody's to change");
}

fn with_fault(project: &Project, number: usize, kind: &str) -> Said {
    let mut command = command(&project.path("."), &["run", "experiment.yaml"]);
    run(command.env("CLINICADL_FAULT", format!("{number}:{kind}")))
}

/// Digests of the published files by path, without those that tell times.
fn published(project: &Project) -> Value {
    let list = fs::read(project.path("tables/provenance/published.json")).unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    let mut files = list["files"].as_object().unwrap().clone();
    files.retain(|path, _| engine::publish::is_result(path));
    Value::Object(files)
}

/// Every step of committing results and of publishing fails once, or is where the process dies.
fn whatever_step_fails(kind: &str) {
    let clean = Project::with_tables(24);
    clean.run().success();
    let expected = published(&clean);
    let mut steps = 0;
    for number in 1.. {
        let project = Project::with_tables(24);
        let said = with_fault(&project, number, kind);
        if said.code == Some(0) && !said.stderr.contains("injects a fault") {
            break;
        }
        steps += 1;
        let maps = project.path("tables");
        if maps.exists() {
            assert_eq!(
                published(&project),
                expected,
                "step {number}: half a MAPS is visible"
            );
        }
        let plan = json(&project, &["plan", "experiment.yaml", "--json"]);
        let hits = |word: &str| {
            let actions = plan["actions"].as_array().unwrap().iter();
            actions.filter(|action| action["state"] == word).count()
        };
        let done = said.stderr.matches("done  ").count();
        assert!(
            hits("hit") >= done,
            "step {number}: a finished action is lost"
        );
        let report = project.report(&[]);
        assert_eq!(
            ran(&report),
            3 - hits("hit"),
            "step {number}: the plan told the truth"
        );
        assert_eq!(
            published(&project),
            expected,
            "step {number}: a wrong result"
        );
        project.clinicadl(&["store", "verify"]).success();
        if kind == "enospc" && said.code != Some(0) {
            assert_eq!(said.code, Some(7), "step {number}: {}", said.stderr);
        }
    }
    assert!(steps > 60, "only {steps} steps");
}

#[test]
fn a_full_disk() {
    whatever_step_fails("enospc");
}

#[test]
fn a_crash_at_any_step_loses_nothing() {
    whatever_step_fails("abort");
}
