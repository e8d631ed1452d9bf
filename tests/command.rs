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

/// F1 for programs: what ran must be what was hashed.
#[test]
fn a_program_replaced_while_it_runs_is_not_recorded() {
    let project = project("");
    let tool = project.path("my-tool");
    let write = |text: &str| {
        // A new file: a program that runs cannot be written to.
        fs::remove_file(&tool).ok();
        project.write("my-tool", text);
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let replaces = format!(
        "#!/bin/sh\ncp \"$1\" \"$2\"\nmv '{0}' '{0}.old'\nprintf '#!/bin/sh\\nexit 1\\n' > '{0}'\nchmod +x '{0}'\n",
        tool.display()
    );
    write(&replaces);
    let argv = format!("['{}',", tool.display());
    project.edit("experiment.yaml", "['{inputs.script}',", &argv);
    fails(&project, 1, "changed while");
    write("#!/bin/sh\ncp \"$1\" \"$2\"\n");
    project.run().success();
}

/// The PATH that a program is given does not decide which program runs.
#[test]
fn the_program_that_runs_is_the_one_that_was_hashed() {
    let project = project("");
    project.edit(
        "experiment.yaml",
        "['{inputs.script}', '{inputs.labels}', '{outputs.table}']",
        "[cp, '{inputs.labels}', '{outputs.table}']",
    );
    project.write("bin/cp", "#!/bin/sh\nexit 9\n");
    let wrong = fs::Permissions::from_mode(0o755);
    fs::set_permissions(project.path("bin/cp"), wrong).unwrap();
    let given = format!(
        "      environment: []\n      set_environment: {{ PATH: '{}' }}\n      inputs: [labels, script]",
        project.path("bin").display()
    );
    project.edit("experiment.yaml", "      inputs: [labels, script]", &given);
    project.run().success();
}

#[test]
fn a_variable_that_is_declared_neutral_is_seen_and_runs_nothing_again() {
    let project = project("test -n \"$FS_LICENSE\"; cp \"$1\" \"$2\"");
    project.edit(
        "experiment.yaml",
        "      inputs: [labels, script]",
        "      inputs: [labels, script]\n      environment_unhashed: [FS_LICENSE]",
    );
    let with = |value: &str| {
        let arguments = ["run", "experiment.yaml", "--json"];
        let said = run(command(&project.path("."), &arguments).env("FS_LICENSE", value)).success();
        serde_json::from_str::<Value>(&said.stdout).unwrap()
    };
    assert_eq!(ran(&with("/opt/a")), ["step", "folds"]);
    assert!(ran(&with("/opt/b")).is_empty());
}

#[test]
fn a_program_finds_its_input_under_the_name_it_asks_for() {
    let project = project("case \"$1\" in *.csv) cp \"$1\" \"$2\";; *) exit 1;; esac");
    fails(&project, 1, "ended with code 1");
    project.edit(
        "experiment.yaml",
        "      inputs: [labels, script]",
        "      inputs: [labels, script]\n      file_names: { labels: labels.csv }",
    );
    project.run().success();
}

/// A manifest's seed is in the key of a program that asks for it, and of no other.
#[test]
fn a_seed_matters_to_those_who_ask_for_it() {
    let project = project("echo \"seed <$3>\" >&2; cp \"$1\" \"$2\"");
    project.edit("experiment.yaml", "name: foreign", "name: foreign\nseed: 1");
    project.run().success();
    project.edit("experiment.yaml", "seed: 1", "seed: 2");
    assert!(!ran(&project.report(&[])).contains(&"step"));
    project.edit(
        "experiment.yaml",
        "'{outputs.table}']",
        "'{outputs.table}', '{seed}']",
    );
    assert_eq!(ran(&project.report(&[])), ["step"]);
    project.edit("experiment.yaml", "seed: 2", "seed: 3");
    assert!(ran(&project.report(&[])).contains(&"step"));
}

#[test]
fn an_output_without_a_file_fails() {
    let project = project("mkdir out/labels.tsv");
    fails(&project, 1, "the program left no file in `out/labels.tsv`");
}

/// Links stand for their files, wherever in the outputs these are.
#[test]
fn links_among_outputs_are_files_of_their_own() {
    let project = project(
        "mkdir -p a b\ncp \"$1\" a/labels.tsv\nln -s ../a/labels.tsv b/first.tsv\n\
         ln -s labels.tsv a/again.tsv\nln a/labels.tsv b/second.tsv",
    );
    project.write(
        "experiment.yaml",
        "\
clinicadl: 1
name: links
inputs: { labels: labels.tsv, script: step.sh, check: check.sh }
stages:
  step:
    uses: command
    inputs: { labels: labels, script: script }
    with:
      argv: ['{inputs.script}', '{inputs.labels}']
      inputs: [labels, script]
      outputs: { a: { path: a, kind: folder }, b: { path: b, kind: folder } }
  compare:
    uses: command
    inputs: { a: step.a, b: step.b, labels: labels, check: check }
    with:
      argv: ['{inputs.check}', '{inputs.a}', '{inputs.b}', '{inputs.labels}']
      inputs: [a, b, labels, check]
      outputs: { out: { path: out, kind: table } }
",
    );
    project.write(
        "check.sh",
        "#!/bin/sh\nset -e\n\
         for file in $1/labels.tsv $1/again.tsv $2/first.tsv $2/second.tsv; do\n\
         test ! -L $file; cmp $file $3\ndone\ntouch out\n",
    );
    project.run().success();
    project.clinicadl(&["store", "verify"]).success();
}

/// Signal 9 from elsewhere is the machine's doing: what `retries` is for.
#[test]
fn a_program_that_was_killed_is_tried_again_when_asked() {
    let project = project("");
    let count = project.path("count");
    let script = format!(
        "#!/bin/sh\necho >> '{0}'\ntest $(wc -l < '{0}') -ge 2 || kill -9 $$\ncp \"$1\" \"$2\"\n",
        count.display()
    );
    project.write("step.sh", &script);
    fails(&project, 7, "was killed by signal 9");
    fs::remove_file(&count).unwrap();
    project.edit(
        "experiment.yaml",
        "    uses: command",
        "    uses: command\n    retries: 1",
    );
    project.run().success();
    assert_eq!(fs::read_to_string(count).unwrap().lines().count(), 2);
}

/// A program that has left its process group ends with its engine all the same.
#[cfg(target_os = "linux")]
#[test]
fn nothing_of_a_program_outlives_a_killed_engine() {
    let project = project("");
    let pids = project.path("pids");
    let script = format!(
        "#!/bin/sh\nsetsid sleep 600 &\necho $! > '{0}.new'\necho $$ >> '{0}.new'\n\
         mv '{0}.new' '{0}'\nsleep 600\n",
        pids.display()
    );
    project.write("step.sh", &script);
    let mut engine = command(&project.path("."), &["run", "experiment.yaml"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let until = |what: &dyn Fn() -> bool| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !what() {
            assert!(std::time::Instant::now() < deadline, "it never came");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    until(&|| pids.exists());
    engine.kill().unwrap();
    engine.wait().unwrap();
    let text = fs::read_to_string(&pids).unwrap();
    let is_alive = |pid: &str| {
        // A zombie has ended; nobody has asked how.
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            !stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .starts_with(" Z")
        })
    };
    assert_eq!(text.lines().count(), 2);
    until(&|| !text.lines().any(is_alive));
}
