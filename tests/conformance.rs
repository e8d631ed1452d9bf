//! The situations in which other engines return stale results, and the faults that break them: what
//! ours does in each. docs/comparison.md sets both side by side.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Project, command, files};

/// Changes a file's bytes and puts its modification time back.
fn rewrite_quietly(path: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let before = fs::metadata(path).unwrap().modified().unwrap();
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from));
    fs::write(path, text.replace(from, to)).unwrap();
    set_modified(path, before);
}

fn set_modified(path: &Path, time: std::time::SystemTime) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

/// The actions that a run executed, each with its reason.
fn ran(report: &Value) -> Vec<(String, String)> {
    let actions = report["run"]["actions"].as_array().unwrap().iter();
    actions
        .filter(|action| action["outcome"]["outcome"] == "ran")
        .map(|action| {
            let why = action["outcome"]["why"]["reason"].as_str().unwrap();
            (
                action["action"].as_str().unwrap().to_owned(),
                why.to_owned(),
            )
        })
        .collect()
}

fn names(ran: &[(String, String)]) -> Vec<&str> {
    ran.iter().map(|(name, _)| name.as_str()).collect()
}

/// Every stored object, oldest shard first.
fn objects(project: &Project) -> Vec<PathBuf> {
    let root = project.path(".clinicadl/objects");
    files(&root)
        .into_iter()
        .map(|file| root.join(file))
        .collect()
}

fn records(project: &Project) -> Vec<PathBuf> {
    let root = project.path(".clinicadl/actions");
    files(&root)
        .into_iter()
        .map(|file| root.join(file))
        .collect()
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
}

/// A project of tables that ran once.
fn done() -> Project {
    let project = Project::with_tables(24);
    project.run().success();
    project
}

#[test]
fn f02_same_size_edit_with_restored_mtime() {
    let project = done();
    rewrite_quietly(
        &project.path("labels.tsv"),
        "sub-003\tses-M000\tCN",
        "sub-003\tses-M000\tAD",
    );
    let ran = ran(&project.report(&[]));
    assert_eq!(ran[0], ("holdout".to_owned(), "changed".to_owned()));
}

#[test]
fn f03_newer_content_with_an_older_mtime() {
    let project = done();
    project.edit(
        "labels.tsv",
        "sub-003\tses-M000\tCN",
        "sub-003\tses-M000\tAD",
    );
    set_modified(&project.path("labels.tsv"), std::time::UNIX_EPOCH);
    assert_eq!(ran(&project.report(&[]))[0].0, "holdout");
}

#[test]
fn f04_two_parameters_swap_values() {
    let project = done();
    project.edit(
        "experiment.yaml",
        "{ n_splits: 2 }",
        "{ n_splits: 2, seed: 3 }",
    );
    project.run().success();
    project.edit(
        "experiment.yaml",
        "{ n_splits: 2, seed: 3 }",
        "{ n_splits: 3, seed: 2 }",
    );
    assert_eq!(names(&ran(&project.report(&[]))), ["folds"]);
}

#[test]
fn f05_one_becomes_true() {
    let project = done();
    project.edit(
        "experiment.yaml",
        "{ n_splits: 2 }",
        "{ n_splits: 2, seed: 1 }",
    );
    project.run().success();
    project.edit("experiment.yaml", "seed: 1", "seed: true");
    let said = project.run();
    assert_eq!(said.code, Some(2), "a boolean is no number");
    assert!(
        said.stderr.contains("expected integer, got true"),
        "{}",
        said.stderr
    );
    project.edit(
        "experiment.yaml",
        "seed: true",
        "seed: 1, validation_longitudinal: false",
    );
    assert!(
        ran(&project.report(&[])).is_empty(),
        "the default made explicit is no change"
    );
    project.edit(
        "experiment.yaml",
        "longitudinal: false",
        "longitudinal: true",
    );
    assert_eq!(names(&ran(&project.report(&[]))), ["folds"]);
}

#[test]
fn f07_adjacent_parameters_do_not_run_together() {
    let project = done();
    project.edit(
        "experiment.yaml",
        "{ n_splits: 2 }",
        "{ n_splits: 2, seed: 31 }",
    );
    project.run().success();
    project.edit(
        "experiment.yaml",
        "n_splits: 2, seed: 31",
        "n_splits: 3, seed: 1",
    );
    assert_eq!(names(&ran(&project.report(&[]))), ["folds"]);
    assert_eq!(
        files(&project.path("tables")).len(),
        files(&project.path("tables")).len()
    );
}

#[test]
fn f11_lost_or_truncated_metadata_then_a_change() {
    for damage in ["lost", "truncated", "emptied"] {
        let project = done();
        for record in records(&project) {
            let bytes = fs::read(&record).unwrap();
            match damage {
                "lost" => fs::remove_file(&record).unwrap(),
                "truncated" => overwrite(&record, &bytes[..bytes.len() / 2]),
                _ => overwrite(&record, b""),
            }
        }
        project.edit("experiment.yaml", "{ n_splits: 2 }", "{ n_splits: 3 }");
        let ran = ran(&project.report(&[]));
        assert_eq!(names(&ran), ["holdout", "validation", "folds"], "{damage}");
        assert_eq!(ran[0].1, "record-missing", "{damage}");
    }
}

#[test]
fn f13_flipped_or_truncated_object() {
    for damage in ["flipped", "truncated"] {
        let project = done();
        for object in objects(&project) {
            let mut bytes = fs::read(&object).unwrap();
            match damage {
                "flipped" => bytes[0] ^= 1,
                _ => bytes.truncate(bytes.len() / 2),
            }
            overwrite(&object, &bytes);
        }
        fs::remove_dir_all(project.path("tables")).unwrap();
        let ran = ran(&project.report(&[]));
        assert_eq!(names(&ran), ["holdout", "validation", "folds"], "{damage}");
        assert_eq!(ran[0].1, "output-lost", "{damage}");
    }
}

#[test]
fn f14_touched_mtime_runs_nothing() {
    let project = done();
    set_modified(&project.path("labels.tsv"), std::time::SystemTime::now());
    assert!(ran(&project.report(&[])).is_empty());
}

#[test]
fn f15_changed_then_reverted() {
    let project = done();
    project.edit("experiment.yaml", "n_test: 6", "n_test: 8");
    assert_eq!(
        names(&ran(&project.report(&[]))),
        ["holdout", "validation", "folds"]
    );
    project.edit("experiment.yaml", "n_test: 8", "n_test: 6");
    assert!(ran(&project.report(&[])).is_empty());
}

#[test]
fn f17_identical_output_cuts_off_early() {
    let project = done();
    // With a split found at the first trial, the permitted number of trials changes no byte.
    project.edit(
        "experiment.yaml",
        "n_test: 6, balance: []",
        "n_test: 6, balance: [], max_trials: 999",
    );
    let ran = ran(&project.report(&[]));
    assert_eq!(names(&ran), ["holdout"], "what follows sees the same bytes");
}

#[test]
fn f18_the_plan_is_what_happens() {
    let project = done();
    project.edit("experiment.yaml", "n_test: 6", "n_test: 8");
    let plan = project
        .clinicadl(&["plan", "experiment.yaml", "--json"])
        .success();
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    let states: Vec<&str> = plan["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|action| action["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["run", "maybe", "maybe"]);
    assert_eq!(plan["actions"][0]["why"]["changes"][0]["field"], "n_test");
    let first = &ran(&project.report(&[]))[0];
    assert_eq!(first.0, "holdout");
}

#[test]
fn f12_hand_edited_output() {
    let project = done();
    let table = "tables/provenance/manifest.yaml";
    project.edit(table, "tables", "edited");
    project.edit("experiment.yaml", "{ n_splits: 2 }", "{ n_splits: 3 }");
    let said = project.run();
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    assert!(said.stderr.contains("changed by hand"), "{}", said.stderr);
    assert!(
        project.read(table).contains("edited"),
        "it is not overwritten"
    );
    let said = project.clinicadl(&["run", "experiment.yaml", "--restore"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(!project.read(table).contains("edited"));
    let aside = "tables.modified-1/provenance/manifest.yaml";
    assert!(project.read(aside).contains("edited"), "it is not lost");
}

#[test]
fn f16_deleted_middle_output() {
    let project = done();
    let table = "tables/provenance/manifest.yaml";
    fs::remove_file(project.path(table)).unwrap();
    assert!(
        ran(&project.report(&[])).is_empty(),
        "it is published again from the store"
    );
    assert!(project.path(table).is_file());
}

/// A project whose first stage waits until a file appears beside it, then copies its input.
fn waiting() -> Project {
    let project = Project::with_tables(12);
    let script = "#!/bin/sh\ntouch \"$3.started\"\nwhile ! test -e \"$3\"; do sleep 0.05; done\n\
                  echo >> \"$3.count\"\ncp \"$1\" \"$2\"\n";
    project.write("wait.sh", script);
    let go = project.path("go");
    project.write(
        "experiment.yaml",
        &format!(
            "\
clinicadl: 1
name: waits
inputs: {{ labels: labels.tsv, script: wait.sh }}
stages:
  first: {{ uses: split, inputs: {{ labels: labels }}, with: {{ n_test: 2, balance: [] }} }}
  step:
    uses: command
    inputs: {{ labels: first.train, script: script }}
    with:
      argv: ['{{inputs.script}}', '{{inputs.labels}}', '{{outputs.table}}', '{}']
      inputs: [labels, script]
      outputs: {{ table: {{ path: t.tsv, kind: table }} }}
  folds: {{ uses: kfold, inputs: {{ labels: step }}, with: {{ n_splits: 2 }} }}
maps: out
",
            go.display()
        ),
    );
    project
}

/// Starts a run that waits, in a process group of its own.
fn start(project: &Project) -> Child {
    let mut child = command(&project.path("."), &["run", "experiment.yaml"]);
    let child = child
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !project.path("go.started").exists() {
        assert!(Instant::now() < deadline, "the program never started");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

fn signal(target: &str, name: &str) {
    let sent = std::process::Command::new("kill")
        .args([name, "--", target])
        .status();
    assert!(sent.unwrap().success());
}

/// After whatever happened to a run: the first stage is a hit, and the next run does the rest alone.
fn goes_on(project: &Project) {
    assert!(
        !project.path("out").exists(),
        "nothing half-made is visible"
    );
    project.write("go", "");
    let report = project.report(&[]);
    assert_eq!(names(&ran(&report)), ["step", "folds"]);
    project.clinicadl(&["store", "verify"]).success();
}

#[test]
fn kill_9_of_the_engine() {
    let project = waiting();
    let mut engine = start(&project);
    signal(&engine.id().to_string(), "-KILL");
    engine.wait().unwrap();
    goes_on(&project);
}

#[test]
fn kill_9_of_the_whole_group() {
    let project = waiting();
    let mut engine = start(&project);
    signal(&format!("-{}", engine.id()), "-KILL");
    engine.wait().unwrap();
    goes_on(&project);
}

#[test]
fn sigint_to_the_engine_only() {
    let project = waiting();
    let mut engine = start(&project);
    signal(&engine.id().to_string(), "-INT");
    assert_eq!(engine.wait().unwrap().code(), Some(130));
    goes_on(&project);
}

#[test]
fn sigusr1_of_a_cluster() {
    let project = waiting();
    let mut engine = start(&project);
    signal(&engine.id().to_string(), "-USR1");
    assert_eq!(engine.wait().unwrap().code(), Some(75));
    goes_on(&project);
}

#[test]
fn sigterm() {
    let project = waiting();
    let mut engine = start(&project);
    signal(&engine.id().to_string(), "-TERM");
    assert_eq!(engine.wait().unwrap().code(), Some(75));
    goes_on(&project);
}

#[test]
fn a_clock_that_was_set_back() {
    let project = done();
    // Every file is from the future now, those of the store included.
    let future = std::time::SystemTime::now() + Duration::from_secs(24 * 3600);
    for file in project.files() {
        let path = project.path(&file);
        let mode = fs::metadata(&path).unwrap().permissions();
        set_modified_of_read_only(&path, future);
        fs::set_permissions(&path, mode).unwrap();
    }
    assert!(ran(&project.report(&[])).is_empty());
    project.run().success();
    project.run().success();
    rewrite_quietly(
        &project.path("labels.tsv"),
        "sub-003\tses-M000\tCN",
        "sub-003\tses-M000\tAD",
    );
    let said = project.run().success();
    assert!(!said.stdout.starts_with("up to date"), "{}", said.stdout);
    for object in objects(&project) {
        overwrite(&object, b"something else");
        set_modified_of_read_only(&object, future);
    }
    let said = project.run().success();
    assert!(said.stdout.contains("3 ran"), "{}", said.stdout);
}

/// Puts a time on a file that nobody may write.
fn set_modified_of_read_only(path: &Path, time: std::time::SystemTime) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    set_modified(path, time);
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
}

/// Rounds of the test below: a few in every test run, `CLINICADL_ROUNDS=200` for a crash test.
fn rounds() -> u64 {
    let asked = std::env::var("CLINICADL_ROUNDS").ok();
    asked.and_then(|rounds| rounds.parse().ok()).unwrap_or(12)
}

#[test]
fn kill_9_at_random_moments() {
    let clean = done();
    let published = |project: &Project| {
        let list = fs::read(project.path("tables/provenance/published.json")).unwrap();
        let list: Value = serde_json::from_slice(&list).unwrap();
        let mut files = list["files"].as_object().unwrap().clone();
        files.retain(|path, _| engine::publish::is_result(path));
        files
    };
    let expected = published(&clean);
    for round in 0..rounds() {
        let project = Project::with_tables(24);
        let mut engine = command(&project.path("."), &["run", "experiment.yaml"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Moments spread over the run by the golden ratio.
        let moment = (round as f64 * 0.618).fract() * 120.0;
        std::thread::sleep(Duration::from_micros((moment * 1000.0) as u64));
        drop(engine.kill());
        engine.wait().unwrap();
        project.run().success();
        assert_eq!(published(&project), expected, "round {round}, {moment} ms");
        project.clinicadl(&["store", "verify"]).success();
        assert!(ran(&project.report(&[])).is_empty(), "round {round}");
    }
}

#[test]
fn two_runs_in_one_folder() {
    let project = waiting();
    let mut first = start(&project);
    let mut second = command(&project.path("."), &["run", "experiment.yaml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    project.write("go", "");
    assert!(first.wait().unwrap().success());
    assert!(second.wait().unwrap().success());
    assert_eq!(
        project.read("go.count").lines().count(),
        1,
        "one of them waited"
    );
}

#[test]
fn a_damaged_lock_file() {
    for garbage in ["", "{", "<<<<<<< ours\n{}\n", "\u{0}\u{1}"] {
        let project = done();
        let lock = project.read("experiment.yaml.lock");
        project.write("experiment.yaml.lock", garbage);
        let said = project.clinicadl(&["verify", "experiment.yaml"]);
        assert!(matches!(said.code, Some(2 | 3)), "{}", said.stderr);
        assert!(ran(&project.report(&[])).is_empty(), "it decides no result");
        assert_eq!(
            project.read("experiment.yaml.lock"),
            lock,
            "and is written anew"
        );
    }
}

/// Whoever may not write a store may look at it: nothing is written by looking.
#[test]
fn a_read_only_file_system() {
    let project = done();
    let before = project.files();
    for verb in ["plan", "status", "explain", "graph", "verify", "check"] {
        project.clinicadl(&[verb, "experiment.yaml"]).success();
    }
    assert_eq!(project.files(), before);
    let store = engine::store::Store::open_for_reading(&project.path(".clinicadl")).unwrap();
    assert!(store.root().is_absolute());
}

#[test]
fn a_damaged_stat_cache() {
    for garbage in [
        &b"not a database"[..],
        b"",
        b"[[\"/etc/passwd\"",
        &[0xff; 100],
    ] {
        let project = done();
        let root = project.path(".clinicadl");
        for file in files(&root)
            .iter()
            .filter(|file| file.contains("stat-cache"))
        {
            overwrite(&root.join(file), garbage);
        }
        assert!(ran(&project.report(&[])).is_empty());
        rewrite_quietly(
            &project.path("labels.tsv"),
            "sub-003\tses-M000\tCN",
            "sub-003\tses-M000\tAD",
        );
        assert_eq!(ran(&project.report(&[]))[0].0, "holdout");
    }
}

#[test]
fn a_damaged_record() {
    for garbage in [&b"{}"[..], b"", &[0xff; 100], b"<<<<<<< ours"] {
        let project = done();
        for record in records(&project) {
            overwrite(&record, garbage);
        }
        let ran = ran(&project.report(&[]));
        assert_eq!(names(&ran), ["holdout", "validation", "folds"]);
    }
}

#[test]
fn a_damaged_account_of_the_last_run_costs_precision_only() {
    let project = done();
    let root = project.path(".clinicadl");
    for file in files(&root).iter().filter(|file| file.starts_with("runs/")) {
        overwrite(&root.join(file), &[0xff; 64]);
    }
    assert!(ran(&project.report(&[])).is_empty());
}

#[test]
fn unknown_and_duplicate_keys() {
    let project = Project::with_tables(24);
    project.edit("experiment.yaml", "n_test: 6", "n_tset: 6");
    let said = project.clinicadl(&["check", "experiment.yaml"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.stderr.contains("experiment.yaml:6:"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("did you mean `n_test`?"),
        "{}",
        said.stderr
    );
    project.edit("experiment.yaml", "n_tset: 6", "n_test: 6, n_test: 8");
    let said = project.clinicadl(&["check", "experiment.yaml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("duplicate"), "{}", said.stderr);
}

#[test]
fn exit_codes() {
    let project = Project::with_tables(24);
    assert_eq!(
        project
            .clinicadl(&["status", "experiment.yaml", "--check"])
            .code,
        Some(3)
    );
    assert_eq!(
        project
            .clinicadl(&["plan", "experiment.yaml", "--exit-code"])
            .code,
        Some(3)
    );
    assert_eq!(
        project
            .clinicadl(&["run", "experiment.yaml", "--frozen"])
            .code,
        Some(3)
    );
    assert_eq!(project.run().code, Some(0));
    assert_eq!(
        project
            .clinicadl(&["status", "experiment.yaml", "--check"])
            .code,
        Some(0)
    );
    assert_eq!(
        project
            .clinicadl(&["run", "experiment.yaml", "--frozen"])
            .code,
        Some(0)
    );
    project.edit("experiment.yaml", "n_test: 6", "n_test: 23");
    assert_eq!(project.run().code, Some(1), "nobody is left to train on");
    project.edit("experiment.yaml", "n_test: 23", "n_test: []");
    assert_eq!(project.run().code, Some(2));
}
