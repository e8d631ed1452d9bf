//! Builds the folder beside its final place and exchanges the two in one step.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{
    Content, PUBLISHED, PublishError, PublishOutcome, PublishedFile, PublishedList, read_list,
};
use crate::digest::Digest;
use crate::error::StageError;
use crate::store::durable::step;
use crate::store::{Store, TreeFile, walk_folder};

/// Objects from this size on are hard-linked when they cannot be cloned; smaller ones are copied, so
/// that editing a published text never reaches the store.
const LINK_FROM: u64 = 1 << 20;

/// Publishes `files` and `records` as `target`, and nothing else.
///
/// `records` tell about this run rather than about its results: when only they differ from what is
/// published, nothing is written.
///
/// # Errors
/// The target holds foreign or hand-edited files; any I/O error. The target is then untouched.
pub fn publish(
    target: &Path,
    mut files: Vec<PublishedFile>,
    records: Vec<PublishedFile>,
    store: &Store,
) -> Result<PublishOutcome, PublishError> {
    let results = list_of(&files, store)?;
    if let Some(mut old) = inspect(target, store)? {
        old.files
            .retain(|path, _| !records.iter().any(|record| record.path == *path));
        if old == results {
            return Ok(PublishOutcome::UpToDate);
        }
    }
    files.extend(records);
    let list = list_of(&files, store)?;
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(|e| StageError::io("create folder", parent, &e))?;
    let name = target
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let staging = tempfile::Builder::new()
        .prefix(&format!(".{name}.publishing-"))
        .tempdir_in(parent)
        .map_err(|e| StageError::io("create a folder in", parent, &e))?;
    let staging_step = |what| step(what).map_err(|e| StageError::io("publish", target, &e));
    for file in &files {
        staging_step("write a published file")?;
        write(staging.path(), file, store)?;
    }
    let text = serde_json::to_vec_pretty(&list).map_err(StageError::internal)?;
    let path = PublishedFile {
        path: PUBLISHED.to_owned(),
        content: Content::Bytes(text),
    };
    write(staging.path(), &path, store)?;
    readable_by_others(staging.path())?;
    staging_step("exchange the published folder")?;
    exchange(staging.path(), target).map_err(|e| StageError::io("publish", target, &e))?;
    staging_step("sync the parent of the published folder")?;
    sync(parent);
    for file in list.files.values() {
        // A hard link changed the object's ctime; its bytes are the same.
        store
            .stats()
            .trust(&store.object_path(&file.digest), file.digest);
    }
    for (path, file) in &list.files {
        store.stats().trust(&target.join(path), file.digest);
    }
    Ok(PublishOutcome::Written)
}

/// Moves published files that were changed by hand out of `target`, to a new folder beside it, and
/// tells which; `None` if there are none.
///
/// # Errors
/// The target holds foreign files; any I/O error, after which every file is here or there.
pub fn set_aside(target: &Path, store: &Store) -> Result<Option<PathBuf>, PublishError> {
    let changed = match inspect(target, store) {
        Err(PublishError::Tampered { files, .. }) => files,
        Err(error) => return Err(error),
        Ok(_) => return Ok(None),
    };
    let target = target
        .canonicalize()
        .map_err(|e| StageError::io("look at", target, &e))?;
    let aside = free_name(&target);
    for file in changed {
        let to = aside.join(&file);
        let folder = to.parent().unwrap_or(&aside);
        fs::create_dir_all(folder).map_err(|e| StageError::io("create folder", folder, &e))?;
        let from = target.join(&file);
        fs::rename(&from, &to).map_err(|e| StageError::io("move", &from, &e))?;
    }
    Ok(Some(aside))
}

/// `maps.modified-1`, or the first such name that nothing has.
fn free_name(target: &Path) -> PathBuf {
    let mut number = 1_u64;
    loop {
        let mut name = target.as_os_str().to_owned();
        name.push(format!(".modified-{number}"));
        let path = PathBuf::from(name);
        if fs::symlink_metadata(&path).is_err() {
            return path;
        }
        number += 1;
    }
}

pub(super) fn list_of(files: &[PublishedFile], store: &Store) -> Result<PublishedList, StageError> {
    let mut list = PublishedList {
        format: 1,
        files: BTreeMap::new(),
    };
    for file in files {
        let entry = match &file.content {
            Content::Bytes(bytes) => TreeFile {
                digest: Digest::of(bytes),
                size: bytes.len() as u64,
            },
            Content::Object(digest) => {
                let path = store.object_path(digest);
                let metadata =
                    fs::metadata(&path).map_err(|e| StageError::io("read object", &path, &e))?;
                TreeFile {
                    digest: *digest,
                    size: metadata.len(),
                }
            }
        };
        if list.files.insert(file.path.clone(), entry).is_some() {
            return Err(StageError::internal(format!(
                "`{}` would be published twice",
                file.path
            )));
        }
    }
    Ok(list)
}

/// What is published in `target` now; `None` when there is nothing.
fn inspect(target: &Path, store: &Store) -> Result<Option<PublishedList>, PublishError> {
    match fs::metadata(target) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StageError::io("look at", target, &e).into()),
        Ok(metadata) if !metadata.is_dir() => {
            return Err(PublishError::NotAFolder(target.to_owned()));
        }
        Ok(_) => {}
    }
    let present = walk_folder(target).map_err(StageError::from)?;
    let folder = target.to_owned();
    if present.is_empty() {
        return Ok(None);
    }
    let Some(list) = read_list(target) else {
        return Err(PublishError::Foreign {
            folder,
            files: present,
        });
    };
    let foreign: Vec<String> = present
        .iter()
        .filter(|path| !list.files.contains_key(*path) && *path != PUBLISHED)
        .cloned()
        .collect();
    if !foreign.is_empty() {
        return Err(PublishError::Foreign {
            folder,
            files: foreign,
        });
    }
    let tampered: Vec<String> = list
        .files
        .iter()
        .filter(|(path, file)| {
            let path = target.join(path);
            // What is gone can be published again without loss.
            let is_gone = fs::symlink_metadata(&path).is_err();
            !is_gone && store.stats().digest_of(&path).ok() != Some((file.digest, file.size))
        })
        .map(|(path, _)| path.clone())
        .collect();
    if !tampered.is_empty() {
        return Err(PublishError::Tampered {
            folder,
            files: tampered,
        });
    }
    let mut list = list;
    list.files.retain(|path, _| target.join(path).exists());
    Ok(Some(list))
}

fn write(folder: &Path, file: &PublishedFile, store: &Store) -> Result<(), StageError> {
    let path = folder.join(&file.path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|e| StageError::io("create folder", parent, &e))?;
    }
    match &file.content {
        Content::Bytes(bytes) => {
            fs::write(&path, bytes).map_err(|e| StageError::io("write", &path, &e))
        }
        Content::Object(digest) => materialise(&store.object_path(digest), &path)
            .map_err(|e| StageError::io("write", &path, &e)),
    }
}

/// Clones, links or copies an object.
fn materialise(object: &Path, path: &Path) -> io::Result<()> {
    if reflink_copy::reflink(object, path).is_ok() {
        return Ok(());
    }
    if fs::metadata(object)?.len() >= LINK_FROM && fs::hard_link(object, path).is_ok() {
        return Ok(());
    }
    let mut source = File::open(object)?;
    let mut copy = File::create(path)?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()
}

/// Temporary folders are private; a published one has the usual permissions.
fn readable_by_others(folder: &Path) -> Result<(), StageError> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
        .map_err(|e| StageError::io("set permissions of", folder, &e))
}

/// Puts `staging` in the place of `target`; afterwards `staging` holds what was there, if anything.
fn exchange(staging: &Path, target: &Path) -> io::Result<()> {
    if !target.exists() {
        return fs::rename(staging, target);
    }
    match renameat_with(CWD, staging, CWD, target, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // File systems without an atomic exchange: two renames, the old folder put back on failure.
        Err(_) => {
            let aside = staging.with_extension("old");
            fs::rename(target, &aside)?;
            if let Err(error) = fs::rename(staging, target) {
                fs::rename(&aside, target)?;
                return Err(error);
            }
            fs::rename(&aside, staging)
        }
    }
}

fn sync(folder: &Path) {
    // The rename is atomic whether or not the sync succeeds; only its survival of a power cut is not.
    if let Ok(folder) = File::open(folder) {
        drop(folder.sync_all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        (folder, store)
    }

    fn text(path: &str, content: &str) -> PublishedFile {
        PublishedFile {
            path: path.into(),
            content: Content::Bytes(content.into()),
        }
    }

    #[test]
    fn a_second_publication_replaces_exactly_what_the_first_wrote() {
        let (folder, store) = setup();
        let target = folder.path().join("results/maps");
        let object = store.put_bytes(b"weights").unwrap();
        let weights = PublishedFile {
            path: "w".into(),
            content: Content::Object(object),
        };
        publish(
            &target,
            vec![text("a/b", "1"), weights.clone()],
            vec![text("run", "1")],
            &store,
        )
        .unwrap();
        assert_eq!(fs::read(target.join("w")).unwrap(), b"weights");
        let again = publish(
            &target,
            vec![text("a/b", "1"), weights],
            vec![text("run", "2")],
            &store,
        )
        .unwrap();
        assert_eq!(again, PublishOutcome::UpToDate);
        publish(&target, vec![text("c", "2")], vec![], &store).unwrap();
        assert_eq!(walk_folder(&target).unwrap(), ["c", PUBLISHED]);
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn foreign_files_are_never_touched() {
        let (folder, store) = setup();
        let target = folder.path().join("maps");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("thesis.tex"), "mine").unwrap();
        let error = publish(&target, vec![text("a", "1")], vec![], &store).unwrap_err();
        assert!(matches!(error, PublishError::Foreign { .. }), "{error}");
        assert_eq!(walk_folder(&target).unwrap(), ["thesis.tex"]);
    }

    #[test]
    fn a_hand_edited_file_is_not_overwritten() {
        let (folder, store) = setup();
        let target = folder.path().join("maps");
        publish(&target, vec![text("a", "1")], vec![], &store).unwrap();
        fs::write(target.join("a"), "edited").unwrap();
        let error = publish(&target, vec![text("a", "2")], vec![], &store).unwrap_err();
        assert!(matches!(error, PublishError::Tampered { .. }), "{error}");
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "edited");
    }

    #[test]
    fn edited_files_are_set_aside_when_asked_and_never_lost() {
        let (folder, store) = setup();
        let target = folder.path().join("maps");
        let files = || vec![text("a", "1"), text("b/c", "2"), text("b/d", "3")];
        publish(&target, files(), vec![], &store).unwrap();
        assert_eq!(set_aside(&target, &store).unwrap(), None);
        for (number, edited) in [(1, "mine"), (2, "mine again")] {
            fs::write(target.join("b/c"), edited).unwrap();
            let aside = set_aside(&target, &store).unwrap().unwrap();
            assert!(aside.ends_with(format!("maps.modified-{number}")));
            assert_eq!(walk_folder(&aside).unwrap(), ["b/c"]);
            assert_eq!(fs::read_to_string(aside.join("b/c")).unwrap(), edited);
            publish(&target, files(), vec![], &store).unwrap();
            assert_eq!(fs::read_to_string(target.join("b/c")).unwrap(), "2");
        }
        fs::write(target.join("foreign"), "").unwrap();
        let error = set_aside(&target, &store).unwrap_err();
        assert!(matches!(error, PublishError::Foreign { .. }), "{error}");
    }
}
