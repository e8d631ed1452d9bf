//! One action's result, copied from a remote or to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::{Limited, Remote, RemoteError, damaged};
use crate::digest::Digest;
use crate::key::ActionKey;
use crate::store::{ActionRecord, Store, Tree, name_of};

/// Files that are moved at the same time.
const AT_ONCE: usize = 8;
/// Bytes of a record, a tree or an account: those of the largest cohorts are far below.
const LARGEST_TEXT: u64 = 256 << 20;

/// What [`pull`] did.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulled {
    /// The record, which is stored here now.
    pub record: ActionRecord,
    /// Bytes of objects that came.
    pub bytes: u64,
}

/// What [`push`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The remote has it now: so many bytes of objects went.
    New {
        /// Bytes.
        bytes: u64,
    },
    /// The remote had it.
    Same,
    /// The remote has another result of the same action, which stays.
    Other,
    /// It is not in the store here, or not whole.
    Missing,
}

/// Copies an action's result to the store here; `None` if the remote has none.
///
/// `accept` says of a record that is what it says whether it is wanted: if not, nothing of it comes.
///
/// # Errors
/// What arrives is not what it is called, cannot be transferred or cannot be stored.
pub fn pull(
    remote: &dyn Remote,
    store: &Store,
    key: &ActionKey,
    accept: impl FnOnce(&ActionRecord) -> bool,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Pulled>, RemoteError> {
    let Some(record) = record_of(remote, key, stop)? else {
        return Ok(None);
    };
    if !accept(&record) {
        return Ok(None);
    }
    let mut batch = store.batch();
    let mut wanted: BTreeMap<Digest, u64> = BTreeMap::new();
    for artifact in record.outputs.values().flatten() {
        let tree = match store.tree(&artifact.digest) {
            Some(tree) => (*tree).clone(),
            None => {
                let path = name_of("objects", &artifact.digest);
                let bytes = text(remote, &path, stop)?.ok_or_else(|| missing(remote, &path))?;
                let is_right = Digest::of(&bytes) == artifact.digest;
                let tree = is_right.then(|| Tree::from_bytes(&bytes)).flatten();
                let tree = tree.ok_or_else(|| damaged(remote, &path))?;
                batch.bytes(&bytes)?;
                tree
            }
        };
        let files = tree.files.values().map(|file| (file.digest, file.size));
        wanted.extend(files.filter(|(digest, size)| !store.has_object(digest, *size)));
    }
    let folder = store.temporary_folder()?;
    let wanted: Vec<(Digest, u64)> = wanted.into_iter().collect();
    in_parallel(&wanted, |(digest, size)| {
        let path = folder.path().join(digest.to_string());
        download(remote, &name_of("objects", digest), &path, *size, stop)
    })?;
    for (digest, size) in &wanted {
        let taken = batch.file(&folder.path().join(digest.to_string()))?;
        if taken != (*digest, *size) {
            return Err(damaged(remote, &name_of("objects", digest)));
        }
    }
    batch.store()?;
    pull_account(remote, store, key, stop);
    store.put_record(&record)?;
    let bytes = wanted.iter().map(|(_, size)| size).sum();
    Ok(Some(Pulled { record, bytes }))
}

/// Copies what a remote lacks of an action's result, unless it has another one.
///
/// # Errors
/// It cannot be transferred, or nothing can be put there.
pub fn push(remote: &dyn Remote, store: &Store, key: &ActionKey) -> Result<Pushed, RemoteError> {
    let Some(record) = store.record(key) else {
        return Ok(Pushed::Missing);
    };
    let is_there = match record_of(remote, key, &|| false) {
        Ok(Some(theirs)) if theirs.outputs != record.outputs => return Ok(Pushed::Other),
        Ok(theirs) => theirs.is_some(),
        // A damaged one is replaced.
        Err(RemoteError::Damaged { .. }) => false,
        Err(error) => return Err(error),
    };
    let mut objects: BTreeSet<(Digest, Option<u64>)> = BTreeSet::new();
    for artifact in record.outputs.values().flatten() {
        let Some(tree) = store.whole_tree(&artifact.digest) else {
            return Ok(Pushed::Missing);
        };
        objects.insert((artifact.digest, None));
        objects.extend(tree.files.values().map(|f| (f.digest, Some(f.size))));
    }
    let objects: Vec<_> = objects.into_iter().collect();
    let sent = in_parallel(&objects, |(digest, size)| {
        let path = name_of("objects", digest);
        let here = store.object_path(digest);
        let size = match size {
            Some(size) => *size,
            None => size_of(&here),
        };
        if remote.size(&path)? == Some(size) {
            return Ok(None);
        }
        remote.put(&path, &here)?;
        Ok(Some(size))
    })?;
    let sent: Vec<u64> = sent.into_iter().flatten().collect();
    if is_there && sent.is_empty() {
        return Ok(Pushed::Same);
    }
    let account = name_of("accounts", &key.digits());
    let here = store.root().join(&account);
    if here.is_file() {
        remote.put(&account, &here)?;
    }
    let name = name_of("actions", &key.digits());
    remote.put(&name, &store.root().join(&name))?;
    Ok(Pushed::New {
        bytes: sent.into_iter().sum(),
    })
}

/// A remote's record of an action, if it is undamaged and tells of this action.
fn record_of(
    remote: &dyn Remote,
    key: &ActionKey,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Option<ActionRecord>, RemoteError> {
    let path = name_of("actions", &key.digits());
    let Some(bytes) = text(remote, &path, stop)? else {
        return Ok(None);
    };
    let is_right = |record: &ActionRecord| {
        record.key == *key && ActionKey::of_document(&record.document) == *key
    };
    match ActionRecord::from_bytes(&bytes).filter(is_right) {
        Some(record) => Ok(Some(record)),
        None => Err(damaged(remote, &path)),
    }
}

/// When and where the result was computed is history: it comes if it can.
fn pull_account(
    remote: &dyn Remote,
    store: &Store,
    key: &ActionKey,
    stop: &(dyn Fn() -> bool + Sync),
) {
    let name = name_of("accounts", &key.digits());
    let here = store.root().join(&name);
    if here.exists() {
        return;
    }
    let kept = text(remote, &name, stop)
        .ok()
        .flatten()
        .filter(|bytes| serde_json::from_slice::<Value>(bytes).is_ok())
        .map(|bytes| crate::store::write_atomically(&here, &bytes));
    if let Some(Err(error)) = kept {
        tracing::debug!(%error, "the account of an action was not kept");
    }
}

/// The bytes of a small file.
pub(super) fn text(
    remote: &dyn Remote,
    path: &str,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Vec<u8>>, RemoteError> {
    let mut to = Limited::new(Vec::new(), LARGEST_TEXT, stop);
    Ok(to.take(remote, path)?.then_some(to.to))
}

fn download(
    remote: &dyn Remote,
    path: &str,
    here: &Path,
    size: u64,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<(), RemoteError> {
    let to = File::create(here).map_err(crate::store::StoreError::io("create", here))?;
    match Limited::new(to, size, stop).take(remote, path)? {
        true => Ok(()),
        false => Err(missing(remote, path)),
    }
}

fn missing(remote: &dyn Remote, path: &str) -> RemoteError {
    RemoteError::Damaged {
        path: path.to_owned(),
        address: remote.address().to_owned(),
        problem: "is missing, though a record names it".to_owned(),
    }
}

fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Does something for each of several things, a few at once, until one fails.
pub(super) fn in_parallel<T: Sync, R: Send>(
    all: &[T],
    act: impl Fn(&T) -> Result<R, RemoteError> + Sync,
) -> Result<Vec<R>, RemoteError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((i, thing)) = {
            let i = next.fetch_add(1, Ordering::Relaxed);
            all.get(i).map(|thing| (i, thing))
        } {
            match act(thing) {
                Ok(result) => done.push((i, result)),
                Err(error) => {
                    next.store(all.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(done)
    };
    let mut done = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE.min(all.len()))
            .map(|_| scope.spawn(work))
            .collect();
        let mut done = Vec::with_capacity(all.len());
        for thread in threads {
            match thread.join() {
                Ok(results) => done.extend(results?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok::<_, RemoteError>(done)
    })?;
    done.sort_unstable_by_key(|(i, _)| *i);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
