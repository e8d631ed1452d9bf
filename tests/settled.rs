//! A run after a run without changes is answered from stats alone, and never when something changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{Project, command, files, run};

/// A project that ran until nothing was left to do, and once more to keep that answer.
fn settled() -> Project {
    let project = Project::with_tables(24);
    project.run().success();
    // Longer than the clock of any file system here takes to tick.
    std::thread::sleep(std::time::Duration::from_millis(40));
    let said = project.run().success();
    assert!(said.stdout.starts_with("up to date"), "{}", said.stdout);
    project
}

/// What the run keeps.
fn memo(project: &Project) -> PathBuf {
    let runs = project.path(".clinicadl/runs");
    let found = files(&runs)
        .into_iter()
        .find(|file| file.ends_with("settled"));
    runs.join(found.unwrap())
}

/// Whether a run with these arguments took the short way.
fn is_short(project: &Project, arguments: &[&str]) -> bool {
    let arguments = [&["run", "experiment.yaml"], arguments].concat();
    let mut command = command(&project.path(""), &arguments);
    let said = run(command.env("CLINICADL_LOG", "debug")).success();
    said.stderr
        .contains("nothing of what the last run found has changed")
}

#[test]
fn the_answer_is_the_same_and_nothing_is_written() {
    let project = settled();
    let before = project.files();
    let text = project.run().success().stdout;
    assert!(is_short(&project, &[]));
    assert_eq!(project.files(), before);
    fs::remove_file(memo(&project)).unwrap();
    assert_eq!(project.run().success().stdout, text);
    assert!(is_short(&project, &["--frozen"]));
    assert!(is_short(&project, &["--locked"]));
}

#[test]
fn plan_and_status_answer_as_if_they_had_looked() {
    let project = settled();
    let memo = memo(&project);
    for verb in ["plan", "status"] {
        let short = project
            .clinicadl(&[verb, "experiment.yaml"])
            .success()
            .stdout;
        let kept = fs::read(&memo).unwrap();
        fs::remove_file(&memo).unwrap();
        let long = project
            .clinicadl(&[verb, "experiment.yaml"])
            .success()
            .stdout;
        assert_eq!(short, long);
        fs::write(&memo, kept).unwrap();
        project.edit("experiment.yaml", "n_splits: 2", "n_splits: 3");
        let changed = project
            .clinicadl(&[verb, "experiment.yaml"])
            .success()
            .stdout;
        assert_ne!(changed, long, "{verb}");
        project.edit("experiment.yaml", "n_splits: 3", "n_splits: 2");
    }
}

#[test]
fn another_question_is_looked_into() {
    let project = settled();
    for arguments in [
        &["--json"][..],
        &["--verbose"],
        &["--paranoid"],
        &["--reuse", "same-class"],
        &["--maps", "elsewhere"],
    ] {
        assert!(!is_short(&project, arguments), "{arguments:?}");
    }
}

#[test]
fn whatever_changed_is_found() {
    type Change = fn(&Project) -> &'static str;
    let changes: [Change; 5] = [
        |project| {
            let path = project.path("labels.tsv");
            let time = fs::metadata(&path).unwrap().modified().unwrap();
            project.edit("labels.tsv", "ses-M000\tCN", "ses-M000\tAD");
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(time).unwrap();
            "an input with its time put back"
        },
        |project| {
            project.edit("experiment.yaml", "n_splits: 2", "n_splits: 3");
            "a parameter"
        },
        |project| {
            fs::remove_file(project.path("experiment.yaml.lock")).unwrap();
            "the lock"
        },
        |project| {
            each(&project.path(".clinicadl/actions"), |path| {
                fs::remove_file(path).unwrap();
            });
            "records"
        },
        |project| {
            each(&project.path(".clinicadl/objects"), |path| {
                fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
                fs::write(path, "other").unwrap();
            });
            "objects"
        },
    ];
    for change in changes {
        let project = settled();
        let what = change(&project);
        assert!(!is_short(&project, &[]), "{what}");
        assert!(project.path("experiment.yaml.lock").is_file(), "{what}");
    }
}

#[test]
fn a_published_file_that_was_edited_is_not_up_to_date() {
    let project = settled();
    project.write("tables/ro-crate-metadata.json", "{}");
    let said = project.run();
    assert_eq!(said.code, Some(5), "{}", said.stdout);
    assert!(said.stderr.contains("changed by hand"), "{}", said.stderr);
}

fn each(folder: &Path, act: impl Fn(&Path)) {
    for file in files(folder) {
        act(&folder.join(file));
    }
}
