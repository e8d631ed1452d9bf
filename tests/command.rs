//! Foreign programs: what they see, what is taken of what they leave, and what makes them run again.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::{Project, Said, command, run};

/// A stage `step` that runs a script, which is an input, on a table.
const MANIFEST: &str = "\
clinicadl: 1
name: foreign
inputs: { labels: labels.tsv, script: step.sh }
stages:
  step:
    uses: command
    inputs: { labels: labels, script: script }
    with:
      argv: ['{inputs.script}', '{inputs.labels}', '{outputs.table}']
      inputs: [labels, script]
      outputs: { table: { path: out/labels.tsv, kind: table } }
  folds: { uses: kfold, inputs: { labels: step }, with: { n_splits: 2 } }
";

fn project(script: &str) -> Project {
    let project = Project::with_tables(12);
    project.write("experiment.yaml", MANIFEST);
    project.write("step.sh", &format!("#!/bin/sh\nset -e\n{script}\n"));
    project
}

fn ran(report: &Value) -> Vec<&str> {
    let actions = report["run"]["actions"].as_array().unwrap().iter();
    actions
        .filter(|action| action["outcome"]["outcome"] == "ran")
        .map(|action| action["action"].as_str().unwrap())
        .collect()
}

fn fails(project: &Project, code: i32, why: &str) -> Said {
    let said = project.run();
    assert_eq!(said.code, Some(code), "{}", said.stderr);
    assert!(said.stderr.contains(why), "{}", said.stderr);
    said
}

#[test]
fn what_a_program_makes_is_an_input_of_what_follows() {
    let project = project("grep -v sub-000 \"$1\" > \"$2\"");
    assert_eq!(ran(&project.report(&[])), ["step", "folds"]);
    assert!(ran(&project.report(&[])).is_empty());
    let logs = project
        .clinicadl(&["logs", "experiment.yaml"])
        .success()
        .stdout;
    assert!(
        logs.contains("started  step") && logs.contains("finished  folds"),
        "{logs}"
    );
}

/// F10: what a program is made of is an input of it.
#[test]
fn f10_imported_helper_changes() {
    let project = project("cp \"$1\" \"$2\"");
    project.run().success();
    project.edit(
        "step.sh",
        "cp \"$1\"",
        "cat \"$1\" | cat > \"$2\"; cp \"$1\"",
    );
    assert_eq!(
        ran(&project.report(&[])),
        ["step"],
        "the same bytes stop there"
    );
}

/// F8: the order of arguments is theirs.
#[test]
fn f08_argument_order() {
    let project = project("cp labels.tsv out/labels.tsv 2>/dev/null || cp \"$1\" out/labels.tsv");
    project.edit("experiment.yaml", "'{outputs.table}']", "x, y]");
    project.run().success();
    project.edit("experiment.yaml", "x, y]", "y, x]");
    assert_eq!(ran(&project.report(&[])), ["step"]);
}

/// F9: a variable that is not declared cannot be seen; one that is belongs to the key.
#[test]
fn f09_undeclared_environment_variable() {
    let project = project("cp \"$1\" \"$2\"; echo \"value <$SECRET>\" >&2; test -n \"$PATH\"");
    let with = |value: &str| {
        let arguments = ["run", "experiment.yaml", "--json"];
        let said = run(command(&project.path("."), &arguments).env("SECRET", value)).success();
        serde_json::from_str::<Value>(&said.stdout).unwrap()
    };
    assert_eq!(ran(&with("one")), ["step", "folds"]);
    let log = project
        .clinicadl(&["logs", "experiment.yaml", "step"])
        .success()
        .stdout;
    assert!(log.contains("value <>"), "{log}");
    assert!(ran(&with("two")).is_empty());
    project.edit(
        "experiment.yaml",
        "      inputs: [labels, script]",
        "      inputs: [labels, script]\n      environment: [PATH, SECRET]",
    );
    assert_eq!(ran(&with("two")), ["step"]);
    let again = with("three");
    assert_eq!(ran(&again), ["step"]);
    let why = &again["run"]["actions"][0]["outcome"]["why"]["changes"][0];
    assert_eq!(why["change"], "surroundings", "{why}");
}

/// F1: an input that changes while a program reads it is not recorded.
#[test]
fn f01_input_rewritten_while_the_stage_runs() {
    let project = project("cp \"$1\" \"$2\"");
    let labels = project.path("labels.tsv");
    project.write(
        "step.sh",
        &format!(
            "#!/bin/sh\ncp \"$1\" \"$2\"\necho >> '{}'\n",
            labels.display()
        ),
    );
    fails(&project, 1, "`labels.tsv` changed while it was being read");
    let plan = project
        .clinicadl(&["plan", "experiment.yaml"])
        .success()
        .stdout;
    assert!(plan.contains("run  step"), "{plan}");
}

/// F6: an input is known by its name, not by its content alone.
#[test]
fn f06_named_inputs_swapped() {
    let project = project("cat \"$1\" \"$2\" > out/labels.tsv");
    project.write("a.tsv", "participant_id\tsession_id\tdiagnosis\n");
    project.write("b.tsv", "sub-1\tses-1\tAD\nsub-2\tses-1\tCN\n");
    project.write(
        "experiment.yaml",
        "\
clinicadl: 1
name: swapped
inputs: { a: a.tsv, b: b.tsv, script: step.sh }
stages:
  step:
    uses: command
    inputs: { first: a, second: b, script: script }
    with:
      argv: ['{inputs.script}', '{inputs.first}', '{inputs.second}']
      inputs: [first, second, script]
      outputs: { table: { path: out/labels.tsv, kind: table } }
",
    );
    project.run().success();
    project.edit(
        "experiment.yaml",
        "first: a, second: b",
        "first: b, second: a",
    );
    assert_eq!(ran(&project.report(&[])), ["step"]);
}

#[test]
fn a_stage_that_fails_after_writing() {
    let project = project("echo half > \"$2\"; echo 'no licence found' >&2; exit 3");
    let said = fails(&project, 1, "ended with code 3");
    assert!(said.stderr.contains("no licence found"), "{}", said.stderr);
    assert!(said.stderr.contains("logs/step.log"), "{}", said.stderr);
    assert!(said.stderr.contains("skip  folds"), "{}", said.stderr);
    project.write("step.sh", "#!/bin/sh\ncp \"$1\" \"$2\"\n");
    assert_eq!(ran(&project.report(&[])), ["step", "folds"]);
}

#[test]
fn what_leads_out_of_the_working_folder_is_refused() {
    for (script, why) in [
        (
            "ln -s /etc/passwd \"$2\"",
            "leads out of its working folder",
        ),
        ("ln -s /nowhere \"$2\"", "did not write"),
        ("mkfifo \"$2\"", "is no regular file"),
        ("true", "the program did not write `out/labels.tsv`"),
        (
            "mkdir \"$2\"; ln -s / \"$2/root\"",
            "leads out of its working folder",
        ),
    ] {
        fails(&project(script), 1, why);
    }
}

#[test]
fn a_program_cannot_change_what_is_stored() {
    let project = project("echo broken > \"$1\"; printf 'participant_id\\n' > \"$2\"; exit 1");
    let before = project.read("labels.tsv");
    fails(&project, 1, "ended with code 1");
    assert_eq!(project.read("labels.tsv"), before);
    project.clinicadl(&["store", "verify"]).success();
}

/// However large an input is, and however the manifest is named, a program gets a copy of it.
#[test]
fn a_large_input_of_the_user_is_a_copy_too() {
    let project = project("printf X > \"$1\"; ln \"$1\" \"$2\"");
    let big = vec![b'a'; 65 << 20];
    project.write_bytes("labels.tsv", &big);
    project.edit(
        "experiment.yaml",
        "  folds: { uses: kfold, inputs: { labels: step }, with: { n_splits: 2 } }\n",
        "",
    );
    let absolute = project.path("experiment.yaml");
    for manifest in ["experiment.yaml", absolute.to_str().unwrap()] {
        project
            .clinicadl(&["run", manifest, "--force", "step"])
            .success();
        assert_eq!(
            fs::read(project.path("labels.tsv")).unwrap().len(),
            big.len()
        );
        project.clinicadl(&["store", "verify"]).success();
    }
}

#[test]
fn a_program_that_takes_too_long_is_stopped_with_its_children() {
    let project = project("sleep 600 & echo $! > /dev/null; sleep 600");
    project.edit(
        "experiment.yaml",
        "    uses: command",
        "    uses: command\n    timeout: 1s",
    );
    fails(&project, 7, "was not done within its `timeout` of 1 s");
}

#[test]
fn a_program_that_holds_too_much_memory_is_named() {
    let project = project("x=$(head -c 80000000 /dev/zero | tr '\\0' x); sleep 600; echo $x");
    let limit = "    uses: command\n    resources: { memory: 40MiB }";
    project.edit("experiment.yaml", "    uses: command", limit);
    fails(&project, 7, "more than the limit of 40 MiB");
}

#[test]
fn an_action_that_the_machine_fails_is_tried_again_when_asked() {
    let project = project("");
    let count = project.path("count");
    let script = format!(
        "#!/bin/sh\necho >> '{0}'\ntest $(wc -l < '{0}') -ge 2 || sleep 600\ncp \"$1\" \"$2\"\n",
        count.display()
    );
    project.write("step.sh", &script);
    let patience = "    uses: command\n    timeout: 1s\n    retries: 2";
    project.edit("experiment.yaml", "    uses: command", patience);
    let said = project.run().success();
    assert!(said.stderr.contains("retry  step"), "{}", said.stderr);
    assert_eq!(fs::read_to_string(count).unwrap().lines().count(), 2);
}

#[test]
fn independent_branches_go_on_unless_asked_to_fail_fast() {
    let project = project("exit 1");
    project.edit(
        "experiment.yaml",
        "  folds:",
        "  other: { uses: kfold, inputs: { labels: labels }, with: { n_splits: 2 } }\n  folds:",
    );
    let said = fails(&project, 1, "ended with code 1");
    assert!(said.stderr.contains("done  other"), "{}", said.stderr);
    fs::remove_dir_all(project.path(".clinicadl")).unwrap();
    let said = project.clinicadl(&["run", "experiment.yaml", "--fail-fast", "--cpus", "1"]);
    assert_eq!(said.code, Some(1));
    assert!(!said.stderr.contains("done  other"), "{}", said.stderr);
}

#[test]
fn another_program_of_the_same_name_runs_again() {
    let project = project("");
    let tool = project.path("bin/my-tool");
    let write = |text: &str| {
        project.write("bin/my-tool", &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    };
    write("cp \"$1\" \"$2\"");
    project.edit("experiment.yaml", "['{inputs.script}',", "[my-tool,");
    let with_path = || {
        let path = format!(
            "{}:{}",
            project.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let arguments = ["run", "experiment.yaml", "--json"];
        let said = run(command(&project.path("."), &arguments).env("PATH", path)).success();
        serde_json::from_str::<Value>(&said.stdout).unwrap()
    };
    assert_eq!(ran(&with_path()), ["step", "folds"]);
    assert!(ran(&with_path()).is_empty());
    write("cat \"$1\" > \"$2\"");
    assert_eq!(ran(&with_path()), ["step"]);
    let said = project.run();
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(
        said.stderr.contains("`my-tool` is not on PATH"),
        "{}",
        said.stderr
    );
}
