use std::time::Duration;

use super::*;
use crate::lock::testing::{Project, execute};

const QUESTION: &str = "nothing special";
const ANSWER: &str = "up to date\n";

/// Longer than the clock of any file system here takes to tick.
fn let_the_clock_tick() {
    std::thread::sleep(Duration::from_millis(40));
}

/// A project whose last run had nothing to do, with a published folder and a lock.
fn settled() -> Project {
    let project = Project::new();
    project.lock("factor: 2");
    project.write("lock", "{}");
    project.write("maps/maps.json", "{}");
    let_the_clock_tick();
    keep(&project);
    assert_eq!(recalled(&project).as_deref(), Some(ANSWER));
    project
}

fn keep(project: &Project) {
    let began = SystemTime::now();
    let (manifest, store) = (project.manifest("m.yaml"), project.store());
    let (plan, report) = execute(&manifest, &store);
    assert_eq!(report.hits(), report.actions.len());
    let settled = Settled {
        manifest: &manifest,
        plan: &plan,
        report: &report,
        store: &store,
        began,
        files: vec![project.folder().join("lock")],
        published: vec![project.folder().join("maps")],
    };
    let answers = Answers::from([("run".to_owned(), ANSWER.to_owned())]);
    settled.keep(QUESTION, answers).unwrap();
}

fn recalled(project: &Project) -> Option<String> {
    let folder = project.folder();
    let answers = recall(&folder.join(".store"), &folder.join("m.yaml"), QUESTION)?;
    answers.get("run").cloned()
}

/// Files of a folder of the store; among them are those of single items, which no answer needs.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let names = crate::store::walk_folder(folder).unwrap();
    names.iter().map(|name| folder.join(name)).collect()
}

/// Writes other bytes of the same length at the same place, and puts the time back.
fn forge(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 1;
    let metadata = fs::metadata(path).unwrap();
    let mut permissions = metadata.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    fs::set_permissions(path, permissions).unwrap();
    fs::write(path, bytes).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(metadata.modified().unwrap()).unwrap();
}

#[test]
fn another_question_has_no_answer() {
    let project = settled();
    let folder = project.folder();
    let other = recall(&folder.join(".store"), &folder.join("m.yaml"), "another");
    assert_eq!(other, None);
}

#[test]
fn every_change_is_noticed() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 12] = [
        ("a comment", |f| {
            let path = f.join("m.yaml");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, text + "# why\n").unwrap();
        }),
        ("another input", |f| {
            fs::write(f.join("text/a"), "1 2 3 4 5 6 7").unwrap();
        }),
        ("a forged input", |f| forge(&f.join("text/a"))),
        ("a new input", |f| fs::write(f.join("text/c"), "").unwrap()),
        ("an input gone", |f| {
            fs::remove_file(f.join("text/b")).unwrap();
        }),
        ("inputs elsewhere", |f| {
            fs::rename(f.join("text"), f.join("moved")).unwrap();
            std::os::unix::fs::symlink("moved", f.join("text")).unwrap();
        }),
        ("no record", |f| {
            let files = all_files(&f.join(".store/actions"));
            files.iter().for_each(|file| fs::remove_file(file).unwrap());
        }),
        ("a forged record", |f| {
            let files = all_files(&f.join(".store/actions"));
            files.iter().for_each(|file| forge(file));
        }),
        ("a forged object", |f| {
            let files = all_files(&f.join(".store/objects"));
            files.iter().for_each(|file| forge(file));
        }),
        ("another lock", |f| fs::write(f.join("lock"), "[]").unwrap()),
        ("a published file gone", |f| {
            fs::remove_file(f.join("maps/maps.json")).unwrap();
        }),
        ("a published file more", |f| {
            fs::write(f.join("maps/more"), "").unwrap();
        }),
    ];
    for (what, change) in changes {
        let project = settled();
        change(project.folder());
        assert_eq!(recalled(&project), None, "{what}");
    }
}

#[test]
fn what_is_too_young_to_be_believed_is_not_kept() {
    let project = Project::new();
    project.lock("");
    project.write("lock", "{}");
    fs::create_dir(project.folder().join("maps")).unwrap();
    let_the_clock_tick();
    // As a clock that was set back would have it.
    let file = fs::File::options()
        .write(true)
        .open(project.folder().join("text/a"))
        .unwrap();
    let future = SystemTime::now() + Duration::from_secs(3600);
    file.set_modified(future).unwrap();
    keep(&project);
    assert_eq!(recalled(&project), None);
}

#[test]
fn a_damaged_answer_is_none() {
    let project = settled();
    let path = file_of(
        &project.folder().join(".store"),
        &project.folder().join("m.yaml"),
    );
    let bytes = fs::read(&path).unwrap();
    for length in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        assert_eq!(recalled(&project), None);
    }
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    fs::write(&path, flipped).unwrap();
    assert_eq!(recalled(&project), None);
    fs::write(&path, bytes).unwrap();
    assert_eq!(recalled(&project).as_deref(), Some(ANSWER));
}
