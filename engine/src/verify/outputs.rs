//! Tier `outputs`: what is stored and what is published, read again byte by byte.
//!
//! The stat cache is not asked: a file whose stamps were kept while its bytes changed is what this
//! tier is for. Nothing is removed or repaired; that is for `store verify` and `run`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::check::{Check, Fault, Section};
use super::inputs::{count, shorten};
use crate::digest::Digest;
use crate::lock::{Lock, LockedAction, LockedFiles, published_digest};
use crate::publish::{PUBLISHED, PublishedList, is_result, read_list};
use crate::store::{Store, TreeFile, is_relative, walk_folder};

/// Where the copy of the lock is in a published folder.
const LOCK_COPY: &str = "provenance/lock.json";

/// Stored files of an action by `port/path`.
type StoredFiles = Vec<(String, TreeFile)>;

/// Reads every stored result of the locked actions again.
///
/// A store without a record of an action is no fault: it may be another store, or an emptied one.
pub fn check_store(lock: &Lock, store: &Store) -> Vec<Check> {
    let mut parts: BTreeMap<&String, Result<StoredFiles, Check>> = BTreeMap::new();
    let mut objects: BTreeMap<Digest, u64> = BTreeMap::new();
    for (name, action) in &lock.actions {
        let files = stored_files(name, action, store);
        for (_, file) in files.iter().flatten() {
            objects.insert(file.digest, file.size);
        }
        parts.insert(name, files);
    }
    let broken: BTreeMap<Digest, &str> = objects
        .into_par_iter()
        .filter_map(|(digest, size)| {
            let path = store.object_path(&digest);
            Some((digest, damage(&path, TreeFile { digest, size })?))
        })
        .collect();
    let mut checks: Vec<Check> = parts
        .into_iter()
        .map(|(name, files)| match files {
            Ok(files) => stored_check(name, &files, &broken),
            Err(check) => check,
        })
        .collect();
    if checks
        .iter()
        .all(|check| check.fault().is_none() && !check.is_passed())
    {
        let message = "holds no result of this lock";
        checks = vec![Check::skipped(Section::Store, "store", message)];
    }
    checks
}

fn stored_check(
    name: &str,
    files: &[(String, TreeFile)],
    broken: &BTreeMap<Digest, &str>,
) -> Check {
    let lines: Vec<String> = files
        .iter()
        .filter_map(|(path, file)| Some(format!("`{path}` {}", broken.get(&file.digest)?)))
        .collect();
    if lines.is_empty() {
        let message = format!("{} whole", count(files.len() as u64, "stored file"));
        return Check::passed(Section::Store, name, message);
    }
    let message = format!(
        "{} of {} stored files are not whole",
        lines.len(),
        files.len()
    );
    Check::failed(Section::Store, name, Fault::OutputChanged, message)
        .details(shorten(lines))
        .hint("`clinicadl run` makes them again")
}

/// The stored files of an action.
fn stored_files(name: &str, action: &LockedAction, store: &Store) -> Result<StoredFiles, Check> {
    let failed = |message: String| {
        Check::failed(Section::Store, name, Fault::OutputChanged, message)
            .hint("`clinicadl run` makes it again")
    };
    let Some(record) = store.record(&action.key) else {
        let message = "the store has no intact record of it";
        return Err(Check::skipped(Section::Store, name, message));
    };
    let mut files = Vec::new();
    for (port, digests) in &action.outputs {
        let stored: Vec<Digest> = record
            .outputs
            .get(port)
            .map(|artifacts| artifacts.iter().map(|artifact| artifact.digest).collect())
            .unwrap_or_default();
        if stored != *digests {
            let message = format!("the store holds another result in output `{port}`");
            return Err(failed(message));
        }
        for (split, digest) in digests.iter().enumerate() {
            let prefix = prefix_of(port, split, digests.len());
            let Some(tree) = store.tree(digest) else {
                let message = format!("stored output `{prefix}` is missing or damaged");
                return Err(failed(message));
            };
            let named = tree.files.iter();
            files.extend(named.map(|(path, &file)| (format!("{prefix}/{path}"), file)));
        }
    }
    Ok(files)
}

/// What to call one artifact of a port.
pub(super) fn prefix_of(port: &str, split: usize, artifacts: usize) -> String {
    if artifacts > 1 {
        format!("{port}/split-{split}")
    } else {
        port.to_owned()
    }
}

/// Compares a published folder with its own list, and both with the lock. `shown` is what to call it.
pub fn check_published(lock: &Lock, folder: &Path, shown: &str) -> Vec<Check> {
    let whole = |list: &PublishedList| published_digest(list) == lock.published;
    check_folder(lock, folder, shown, whole).0
}

/// The same of the folders of the cells of a matrix: what each cell is called in the lock, its folder
/// and what to call that.
pub fn check_published_cells(lock: &Lock, cells: &[(String, PathBuf, String)]) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut lists = Vec::new();
    for (mark, folder, shown) in cells {
        let (found, list) = check_folder(lock, folder, shown, |_| true);
        checks.extend(found);
        lists.extend(list.map(|list| (mark.clone(), list)));
    }
    if lists.len() == cells.len() && published_by_cell(&lists) != lock.published {
        checks.push(other_results("all cells"));
    }
    checks
}

/// The entry of a lock for several published folders: their files, each below the name of its cell; the
/// name of a single folder is empty.
pub fn published_by_cell(lists: &[(String, PublishedList)]) -> Option<LockedFiles> {
    let mut all = PublishedList::default();
    for (mark, list) in lists {
        for (path, file) in list.files.iter().filter(|(path, _)| is_result(path)) {
            let path = match mark.as_str() {
                "" => path.clone(),
                mark => format!("{mark}/{path}"),
            };
            all.files.insert(path, *file);
        }
    }
    published_digest(&all)
}

fn other_results(name: &str) -> Check {
    let message = "lists other results than the lock";
    Check::failed(Section::Published, name, Fault::OutputChanged, message)
        .hint("`clinicadl run` publishes it anew, from the store where it can")
}

/// Compares a published folder with its own list, and its copy of the lock with the lock.
fn check_folder(
    lock: &Lock,
    folder: &Path,
    shown: &str,
    is_locked: impl Fn(&PublishedList) -> bool,
) -> (Vec<Check>, Option<PublishedList>) {
    let failed = |name: &str, message: String| {
        Check::failed(Section::Published, name, Fault::OutputChanged, message)
    };
    let anew = "`clinicadl run` publishes it anew, from the store where it can";
    if !folder.is_dir() {
        return (
            vec![failed(shown, "the published folder is missing".to_owned()).hint(anew)],
            None,
        );
    }
    let Some(list) = read_list(folder) else {
        return (
            vec![failed(PUBLISHED, "is missing or damaged".to_owned()).hint(anew)],
            None,
        );
    };
    let present = match walk_folder(folder) {
        Ok(present) => present,
        Err(error) => return (vec![failed(shown, error.to_string())], None),
    };
    let mut checks = Vec::new();
    let outside: BTreeSet<&String> = list.files.keys().filter(|p| !is_relative(p)).collect();
    for path in &outside {
        checks.push(failed(
            path,
            format!("is listed in `{PUBLISHED}` and not inside the folder"),
        ));
    }
    let wrong: BTreeMap<&String, &str> = list
        .files
        .par_iter()
        .filter(|(path, _)| !outside.contains(path))
        .filter_map(|(path, file)| Some((path, damage(&folder.join(path), *file)?)))
        .collect();
    for (path, how) in wrong {
        checks.push(failed(path, how.to_owned()).hint(
            "to keep a change made by hand move the folder away; `clinicadl run` then publishes \
             the locked results again",
        ));
    }
    for path in present {
        if path != PUBLISHED && !list.files.contains_key(&path) {
            checks.push(failed(&path, "is no published file".to_owned()).hint("move it away"));
        }
    }
    if !is_locked(&list) {
        checks.push(other_results(PUBLISHED));
    }
    if checks.is_empty() {
        let copy = folder.join(LOCK_COPY);
        let same = matches!(Lock::read(&copy), Ok(Some(copy)) if copy.text() == lock.text());
        if !same {
            checks.push(failed(LOCK_COPY, "is another lock".to_owned()).hint(anew));
        }
    }
    if checks.is_empty() {
        let results = list.files.keys().filter(|path| is_result(path)).count();
        let message = format!(
            "{} in all, {results} of them results",
            count(list.files.len() as u64, "file")
        );
        checks.push(Check::passed(Section::Published, shown, message));
    }
    (checks, Some(list))
}

/// What is wrong with a file; nothing if it has these bytes.
fn damage(path: &Path, file: TreeFile) -> Option<&'static str> {
    match Digest::of_file(path) {
        Ok((digest, size)) if digest == file.digest && size == file.size => None,
        Ok(_) => Some("changed"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some("is missing"),
        Err(_) => Some("cannot be read"),
    }
}
