//! A run after a run without changes is answered from stats alone, and never when something changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::support::{Project, files};

/// A project that ran until nothing was left to do, and once more to keep that answer.
fn settled() -> Project {
    let project = Project::with_tables(24);
    project.run().success();
    // Longer than the clock of any file system here takes to tick.
    std::thread::sleep(std::time::Duration::from_millis(40));
    let said = project.run().success();
    assert!(said.stdout.starts_with("up to date"), "{}", said.stdout);
    assert!(memo(&project).is_file());
    project
}

/// A file below the folder of the manifest in the store.
fn of_manifest(project: &Project, name: &str) -> PathBuf {
    let runs = project.path(".clinicadl/runs");
    let found = files(&runs).into_iter().find(|file| file.ends_with(name));
    runs.join(found.unwrap_or_else(|| panic!("no {name} in {}", runs.display())))
}

fn memo(project: &Project) -> PathBuf {
    of_manifest(project, "settled")
}

/// Whether a run with these arguments took the short way: the long one writes a journal.
fn is_short(project: &Project, arguments: &[&str]) -> bool {
    let journal = of_manifest(project, "journal.jsonl");
    let long_ago = SystemTime::UNIX_EPOCH;
    let file = fs::File::options().write(true).open(&journal).unwrap();
    file.set_modified(long_ago).unwrap();
    project
        .clinicadl(&[&["run", "experiment.yaml"], arguments].concat())
        .success();
    fs::metadata(&journal).unwrap().modified().unwrap() == long_ago
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
    let changes: [Change; 6] = [
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
            let tables = project.path("tables");
            let file = files(&tables).into_iter().find(|f| f.ends_with(".tsv"));
            fs::write(tables.join(file.unwrap()), "no table").unwrap();
            "a published file"
        },
        |project| {
            each(&project.path(".clinicadl/actions"), |path| fs::remove_file(path).unwrap());
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
        let published = contents(&project.path("tables"));
        let what = change(&project);
        assert!(!is_short(&project, &[]), "{what}");
        let is_repaired = contents(&project.path("tables")) == published;
        assert_eq!(is_repaired, !["an input with its time put back", "a parameter"].contains(&what), "{what}");
    }
}

fn each(folder: &Path, act: impl Fn(&Path)) {
    for file in files(folder) {
        act(&folder.join(file));
    }
}

/// Published results, by name; provenance tells of runs.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let names = files(folder).into_iter();
    names
        .filter(|name| !name.contains("provenance"))
        .map(|name| {
            let bytes = fs::read(folder.join(&name)).unwrap();
            (name, bytes)
        })
        .collect()
}
