//! The lock file and `clinicadl verify`: every fault with its own exit code and message.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{Project, Said, command, files, root, run};

const LOCK: &str = "experiment.yaml.lock";

/// A finished experiment without images.
fn tables() -> Project {
    let project = Project::with_tables(24);
    project.run().success();
    project
}

/// The same files in another place.
fn copy(project: &Project) -> Project {
    let other = Project::empty();
    let status = Command::new("cp")
        .arg("-a")
        .arg(project.path("."))
        .arg(other.path("."))
        .status();
    assert!(status.unwrap().success());
    other
}

fn verify(project: &Project, arguments: &[&str]) -> Said {
    project.clinicadl(&[&["verify", "experiment.yaml"], arguments].concat())
}

/// Verification must fail so, and say this.
#[track_caller]
fn fails(project: &Project, arguments: &[&str], code: i32, says: &str) {
    let said = verify(project, arguments);
    let text = format!("{}{}", said.stdout, said.stderr);
    assert_eq!(said.code, Some(code), "{text}");
    assert!(text.contains(says), "expected `{says}`:\n{text}");
}

#[test]
fn a_run_writes_a_lock_that_equal_results_leave_alone() {
    let project = tables();
    let lock = project.read(LOCK);
    assert!(lock.ends_with("}\n") && !lock.contains("/tmp"), "{lock}");
    let actions = lock.lines().filter(|line| line.contains("\"document\""));
    assert_eq!(actions.count(), 3, "one line per action:\n{lock}");
    assert_eq!(project.read("tables/provenance/lock.json"), lock);
    let stamp = |project: &Project| {
        fs::metadata(project.path(LOCK))
            .unwrap()
            .modified()
            .unwrap()
    };
    let written = stamp(&project);
    project.edit("experiment.yaml", "stages:", "# a comment\nstages:");
    let report = project.report(&[]);
    assert_eq!(report["lock_written"], false);
    assert_eq!(stamp(&project), written);
    let moved = copy(&project);
    verify(&moved, &[]).success();
    fs::remove_dir_all(moved.path(".clinicadl")).unwrap();
    moved.run().success();
    assert_eq!(
        moved.read(LOCK),
        lock,
        "an empty store elsewhere gives the same bytes"
    );
}

#[test]
fn a_locked_run_fails_where_the_lock_would_change_and_before_anything_runs() {
    let project = Project::with_tables(24);
    let locked = |project: &Project| project.clinicadl(&["run", "experiment.yaml", "--locked"]);
    let said = locked(&project);
    assert_eq!(said.code, Some(3));
    assert!(
        said.stderr.contains("there is no lock file"),
        "{}",
        said.stderr
    );
    assert!(!project.path("tables").exists() && !project.path(LOCK).exists());
    project.run().success();
    locked(&project).success();
    fs::remove_dir_all(project.path(".clinicadl")).unwrap();
    fs::remove_dir_all(project.path("tables")).unwrap();
    locked(&project).success();
    let lock = project.read(LOCK);
    project.edit("experiment.yaml", "n_test: 6", "n_test: 8");
    let said = locked(&project);
    assert_eq!(said.code, Some(3));
    let why = "action `holdout`: parameter `n_test` changed from 6 to 8";
    assert!(said.stderr.contains(why), "{}", said.stderr);
    assert!(
        !said.stderr.contains("done"),
        "nothing ran: {}",
        said.stderr
    );
    assert_eq!(project.read(LOCK), lock);
}

#[test]
fn an_unusable_lock_is_refused_by_verify_and_written_anew_by_run() {
    let project = tables();
    let lock = project.read(LOCK);
    let conflict = lock.replacen("  \"actions\"", "<<<<<<< HEAD\n  \"actions\"", 1);
    let truncated = &lock[..lock.len() / 2];
    let newer = lock.replace("\"lock_format\": 1", "\"lock_format\": 7");
    let edited = lock.replace("\"n_test\":6", "\"n_test\":5");
    for (text, says) in [
        (conflict.as_str(), "unresolved merge conflict in line"),
        (truncated, "is cut off in line"),
        (&newer, "has lock format 7, this version reads format 1"),
        (
            &edited,
            "the key of `holdout` does not belong to the rest of its line",
        ),
        ("garbage", "is not a lock file"),
    ] {
        project.write(LOCK, text);
        fails(&project, &[], 2, says);
        fails(&project, &[], 2, "clinicadl run");
        let said = project.run().success();
        assert!(
            said.stderr.contains("warning") && said.stderr.contains(says),
            "{}",
            said.stderr
        );
        assert_eq!(project.read(LOCK), lock, "after {says}");
    }
}

#[test]
fn a_lock_that_cannot_be_written_is_a_warning() {
    let project = Project::with_tables(24);
    fs::create_dir(project.path(LOCK)).unwrap();
    let said = project.run().success();
    assert!(
        said.stderr.contains("warning: no lock file"),
        "{}",
        said.stderr
    );
    assert!(project.path("tables/provenance/lock.json").is_file());
}

#[test]
fn a_missing_lock_and_a_changed_manifest_are_code_3() {
    let project = tables();
    fs::rename(project.path(LOCK), project.path("kept")).unwrap();
    fails(&project, &[], 3, "there is no lock file");
    fs::rename(project.path("kept"), project.path(LOCK)).unwrap();
    project.edit("experiment.yaml", "n_splits: 2", "n_splits: 3");
    fails(
        &project,
        &[],
        3,
        "folds: parameter `n_splits` changed from 2 to 3",
    );
    fails(
        &project,
        &["--rerun", "bitwise"],
        3,
        "it would not be the locked experiment",
    );
    assert_eq!(
        verify(&project, &["--tier", "inputs", "--rerun", "bitwise"]).code,
        Some(2)
    );
}

#[test]
fn a_changed_input_is_code_40_in_words_json_and_junit() {
    let project = tables();
    project.edit(
        "labels.tsv",
        "sub-003\tses-M000\tCN",
        "sub-003\tses-M000\tAD",
    );
    fails(
        &project,
        &["--tier", "inputs"],
        40,
        "labels: its content is not the locked one",
    );
    let junit = ["--tier", "inputs", "--junit", "report.xml", "--json"];
    let said = verify(&project, &junit);
    assert_eq!(said.code, Some(40));
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(json["verify_format"], 1);
    assert_eq!(json["exit_code"], 40);
    assert_eq!(json["failed"], 4);
    assert_eq!(json["checks"][1]["fault"], "input-changed");
    let xml = project.read("report.xml");
    assert!(
        xml.contains("<testsuite name=\"input\" tests=\"1\""),
        "{xml}"
    );
    assert!(xml.contains("type=\"input-changed\""), "{xml}");
    fs::remove_dir_all(project.path(".clinicadl")).unwrap();
    fails(
        &project,
        &["--tier", "inputs"],
        40,
        "which files changed is known only",
    );
    assert!(
        !project.path(".clinicadl").exists(),
        "verification makes no store"
    );
}

#[test]
fn a_damaged_object_of_the_store_is_code_41_and_several_faults_are_code_4() {
    let project = tables();
    let objects = files(&project.path(".clinicadl/objects"));
    let largest = objects.iter().max_by_key(|object| {
        fs::metadata(project.path(".clinicadl/objects").join(object))
            .unwrap()
            .len()
    });
    let object = project.path(".clinicadl/objects").join(largest.unwrap());
    let bytes = fs::read(&object).unwrap();
    fs::remove_file(&object).unwrap();
    fs::write(&object, [&bytes[..bytes.len() - 1], b"!"].concat()).unwrap();
    fails(&project, &[], 41, "changed");
    assert!(object.exists(), "verification removes nothing");
    verify(&project, &["--tier", "inputs"]).success();
    project.edit(
        "labels.tsv",
        "sub-003\tses-M000\tCN",
        "sub-003\tses-M000\tAD",
    );
    fails(
        &project,
        &[],
        4,
        "an input changed; a stored or published output changed",
    );
    project.edit(
        "labels.tsv",
        "sub-003\tses-M000\tAD",
        "sub-003\tses-M000\tCN",
    );
    project.run().success();
    verify(&project, &[]).success();
}

#[test]
fn a_result_that_is_not_reproduced_is_code_44_and_names_the_stage_and_file() {
    let project = tables();
    let said = verify(&project, &["--rerun", "bitwise"]).success();
    assert!(
        said.stdout
            .contains("folds: 2 outputs, the same bit for bit"),
        "{}",
        said.stdout
    );
    let left = fs::read_dir(project.path(".clinicadl/tmp"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "the empty store is gone");
    // What another throw of the dice would leave: the output of one stage is not the locked one.
    let lock: Value = serde_json::from_str(&project.read(LOCK)).unwrap();
    let output = |action: &str, port: &str| {
        let digest = &lock["actions"][action]["outputs"][port][0];
        digest.as_str().unwrap().to_owned()
    };
    project.edit(
        LOCK,
        &output("validation", "test"),
        &output("holdout", "test"),
    );
    fails(
        &project,
        &["--rerun", "bitwise"],
        44,
        "validation: is not reproducible: `test/test.tsv` differs",
    );
    fs::remove_dir_all(project.path(".clinicadl")).unwrap();
    fails(
        &project,
        &["--rerun", "bitwise"],
        44,
        "output `test` differs",
    );
    fails(
        &project,
        &["--rerun", "tolerance"],
        2,
        "the lock has no metrics to compare",
    );
}

#[test]
fn an_untrusted_manifest_is_refused_what_leaves_its_project() {
    let project = tables();
    verify(&project, &["--untrusted"]).success();
    let outside = Project::with_tables(24);
    let secret = outside.path("labels.tsv");
    fs::remove_file(project.path("labels.tsv")).unwrap();
    std::os::unix::fs::symlink(&secret, project.path("labels.tsv")).unwrap();
    verify(&project, &[]).success();
    fails(
        &project,
        &["--untrusted"],
        2,
        "leaves the project at `labels.tsv`",
    );
    project.edit(
        "experiment.yaml",
        "labels.tsv",
        &secret.display().to_string(),
    );
    fails(
        &project,
        &["--untrusted", "--junit", "r.xml"],
        2,
        "refused, because the manifest is not",
    );
    assert!(
        project.read("r.xml").contains("failures=\"1\""),
        "{}",
        project.read("r.xml")
    );
    let parent = secret.parent().unwrap().to_str().unwrap().to_owned();
    fails(
        &project,
        &["--untrusted", "--project", &parent],
        2,
        "published folder `tables` leaves",
    );
}

#[test]
fn an_expected_metric_that_does_not_exist_is_code_42() {
    let project = tables();
    let expect = "maps: tables\nexpect:\n  - { metric: test.balanced_accuracy, min: 0.8 }";
    project.edit("experiment.yaml", "maps: tables", expect);
    fails(
        &project,
        &[],
        42,
        "no metric is called `test.balanced_accuracy`",
    );
    fails(
        &project,
        &["--tier", "inputs"],
        42,
        "this experiment publishes no metrics",
    );
    project.edit(
        "experiment.yaml",
        expect,
        "maps: tables\nverify: { seeds: 2 }",
    );
    fails(&project, &[], 2, "2 is too small, expected at least 3");
}

/// One split of a small training, with what verification needs.
fn trained() -> Project {
    let project = Project::with_caps(12);
    let text = project.read("experiment.yaml");
    let (kept, _) = text.split_once("  saliency:").unwrap();
    project.write("experiment.yaml", &format!("{kept}maps: maps\n"));
    project.edit(
        "experiment.yaml",
        "epochs: 2",
        "epochs: 1\n      bootstrap: 10",
    );
    project.edit("experiment.yaml", "[loss, balanced_accuracy]", "[loss]");
    project.edit(
        "experiment.yaml",
        "data_group: test }",
        "data_group: test, bootstrap: 10 }",
    );
    project.edit(
        "experiment.yaml",
        "splits: folds }",
        "splits: folds }\n    splits: [0]",
    );
    project.run().success();
    project
}

#[test]
fn each_fault_of_a_trained_experiment_has_its_own_code_and_message() {
    let project = trained();
    let said = verify(&project, &["--json"]).success();
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(json["failed"], 0, "{json:#}");
    let checks = json["checks"].as_array().unwrap();
    assert!(
        checks
            .iter()
            .any(|check| check["name"] == "metrics" && check["outcome"] == "passed")
    );

    let changed = copy(&project);
    let table = "maps/split-0/best-loss/test/test_image_level_metrics.tsv";
    changed.write(table, &changed.read(table).replace("BA", "AB"));
    fails(&changed, &[], 41, "test_image_level_metrics.tsv: changed");
    let gone = copy(&project);
    fs::remove_file(gone.path("maps/maps.json")).unwrap();
    fails(&gone, &[], 41, "maps.json: is missing");
    gone.write("maps/notes.txt", "mine");
    fails(&gone, &[], 41, "notes.txt: is no published file");
    fs::remove_dir_all(gone.path("maps")).unwrap();
    fails(&gone, &[], 41, "the published folder is missing");

    // Expectations are about results: they may be set after a run.
    let bounds = copy(&project);
    let expect = "expect: [{ metric: test.balanced_accuracy, min: 0, max: 1 }]";
    bounds.edit(
        "experiment.yaml",
        "maps: maps",
        &format!("maps: maps\n{expect}"),
    );
    verify(&bounds, &[]).success();
    bounds.edit("experiment.yaml", "min: 0, max: 1", "min: 1.5");
    fails(&bounds, &[], 42, "test.best-loss.balanced_accuracy: is ");
    fails(&bounds, &["--tier", "inputs"], 42, "expected at least 1.5");
    bounds.edit(
        "experiment.yaml",
        "test.balanced_accuracy",
        "test.balanced_acuracy",
    );
    fails(&bounds, &[], 42, "did you mean `test.balanced_accuracy`?");

    let other = copy(&project);
    other.edit(LOCK, "\"libtorch\":\"2.", "\"libtorch\":\"1.");
    fails(
        &other,
        &["--rerun", "bitwise"],
        43,
        "locked with another numerics class: libtorch 1.",
    );
    verify(&other, &["--tier", "inputs"]).success();
    verify(&other, &["--rerun", "bitwise", "--allow-other-numerics"]).success();

    let metrics = copy(&project);
    fails(
        &metrics,
        &["--rerun", "tolerance"],
        2,
        "the manifest declares no tolerance",
    );
    let declared = "maps: maps\nverify: { seeds: 3, tolerance: { rtol: 1.0e-6 }, \
                    metrics: [test.loss, test.balanced_accuracy] }";
    metrics.edit("experiment.yaml", "maps: maps", declared);
    let line = metrics.read(LOCK);
    let line = line
        .lines()
        .find(|line| line.contains("\"test/split-0/best-loss/loss\""))
        .unwrap();
    metrics.edit(LOCK, line, "    \"test/split-0/best-loss/loss\": 1000,");
    fails(
        &metrics,
        &[],
        41,
        "`test/split-0/best-loss/loss`: locked 1000, published 0.",
    );
    let says = "test/split-0/best-loss/loss: is 0.";
    fails(&metrics, &["--rerun", "tolerance"], 42, says);
    let said = verify(&metrics, &["--rerun", "seeds", "--json"]);
    assert_eq!(said.code, Some(42), "{}", said.stderr);
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    let rows = json["spread"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{rows:#?}");
    let loss = rows
        .iter()
        .find(|row| row["metric"] == "test.best-loss.loss")
        .unwrap();
    assert_eq!(
        (&loss["inside"], &loss["locked"]),
        (&Value::Bool(false), &Value::from(1000.0))
    );
    assert!(
        loss["deviation"].as_f64().unwrap() > 0.0,
        "other seeds give other losses: {loss}"
    );
}

/// The shell commands of a CI example that need no network.
fn shell_commands(example: &str) -> (String, Vec<String>) {
    let text = fs::read_to_string(root().join("docs/ci").join(example)).unwrap();
    let document = engine::manifest::yaml_value(&text).unwrap();
    let job = match document.get("jobs") {
        Some(jobs) => &jobs["verify"],
        None => &document["verify"],
    };
    let manifest = document.get("env").or(job.get("variables")).unwrap()["MANIFEST"].clone();
    let steps = job
        .get("steps")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut commands: Vec<String> = steps
        .filter_map(|step| Some(step.get("run")?.as_str()?.to_owned()))
        .collect();
    let script = job
        .get("script")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    commands.extend(script.map(|line| line.as_str().unwrap().to_owned()));
    commands.retain(|command| !command.contains("git clone"));
    (manifest.as_str().unwrap().to_owned(), commands)
}

#[test]
fn the_examples_for_ci_do_what_they_say() {
    let done = tables();
    for example in ["github-actions.yml", "gitlab-ci.yml"] {
        // What a checkout has: the manifest, its lock and the data.
        let checkout = Project::empty();
        for file in ["experiment.yaml", LOCK, "labels.tsv"] {
            checkout.write(file, &done.read(file));
        }
        let (manifest, commands) = shell_commands(example);
        assert_eq!(manifest, "experiment.yaml");
        assert_eq!(commands.len(), 3, "{example}: {commands:#?}");
        let clinicadl = command(&checkout.path("."), &[]).get_program().to_owned();
        let folder = std::path::Path::new(&clinicadl)
            .parent()
            .unwrap()
            .to_owned();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let shell = |text: &str| {
            let mut shell = Command::new("sh");
            shell
                .args(["-e", "-c", text])
                .current_dir(checkout.path("."));
            run(shell.env("PATH", &path).env("MANIFEST", &manifest))
        };
        for text in &commands {
            shell(text).success();
        }
        let reports = files(&checkout.path("."));
        let reports = reports.iter().filter(|file| file.ends_with(".xml"));
        assert_eq!(reports.count(), 2, "{example} writes JUnit reports");
        let changed = checkout.read("labels.tsv").replace("\tF\t", "\tM\t");
        checkout.write("labels.tsv", &changed);
        assert_eq!(
            shell(&commands[0]).code,
            Some(40),
            "{example} notices a changed input"
        );
    }
}
