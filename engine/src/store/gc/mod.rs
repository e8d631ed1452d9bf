//! Collecting what no manifest needs any more.
//!
//! What a living root needs stays, with everything that it reaches. Nothing is collected while a run
//! uses the store; where the file system has no locks to tell, whatever is younger than a day stays.
//! Records go before objects: a collection that is interrupted leaves no record without its objects.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::live::{Live, measure};
use super::{Store, StoreError, durable};
use crate::digest::Digest;
use crate::key::ActionKey;

/// What is spared where no lock can tell whether a run goes on.
const WITHOUT_LOCKS: Duration = Duration::from_secs(24 * 3600);

/// What can be collected.
#[derive(Debug, Clone, Default)]
pub struct Garbage {
    /// Files and folders, in the order in which they may go.
    pub(super) paths: Vec<PathBuf>,
    /// What they hold.
    pub collected: Collected,
}

/// How much is, or would be, collected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Bytes.
    pub bytes: u64,
    /// Objects.
    pub objects: u64,
    /// Records of actions and items.
    pub records: u64,
    /// Folders of checkpoints.
    pub scratch: u64,
    /// Leftovers of unfinished writes, and of manifests that are gone.
    pub leftovers: u64,
}

impl Store {
    /// Finds what nothing needs, and deletes it if asked to.
    ///
    /// `keep` spares whatever was made or renewed within that time.
    ///
    /// # Errors
    /// A run is using the store; a file cannot be deleted.
    pub fn collect(&self, keep: Duration, delete: bool) -> Result<Collected, StoreError> {
        let root = self.root().to_owned();
        let exclusive = self
            .exclusively()
            .map_err(StoreError::io("collect", &root))?;
        let keep = match &exclusive {
            Some(_) => keep,
            None => keep.max(WITHOUT_LOCKS),
        };
        let garbage = self.garbage(SystemTime::now() - keep);
        if delete {
            for path in &garbage.paths {
                remove(path).map_err(StoreError::io("delete", path))?;
            }
        }
        Ok(garbage.collected)
    }

    /// What no living root reaches and is older than `oldest`.
    pub(super) fn garbage(&self, oldest: SystemTime) -> Garbage {
        let mut live = Live::default();
        let mut garbage = Garbage::default();
        for (root, renewed) in self.roots() {
            if root.is_alive() || renewed >= oldest {
                for key in &root.actions {
                    live.add(self, key);
                }
            } else {
                garbage.leftover(self.root_path(&root.manifest), oldest);
                let runs = crate::digest::Digest::of(root.manifest.as_os_str().as_encoded_bytes());
                garbage.leftover(self.root().join("runs").join(runs.short()), oldest);
            }
        }
        for (name, path) in sharded(&self.root().join("actions")) {
            let is_live = name
                .parse::<ActionKey>()
                .is_ok_and(|key| live.actions.contains(&key) || self.is_live_item(&live, &key));
            if !is_live && is_older(&path, oldest) {
                garbage.add(path, |found| &mut found.records);
            }
        }
        for (name, path) in sharded(&self.root().join("accounts")) {
            let key = name.parse::<ActionKey>();
            if !key.is_ok_and(|key| live.actions.contains(&key)) {
                garbage.leftover(path, oldest);
            }
        }
        for (name, path) in sharded(&self.root().join("objects")) {
            let is_live = name
                .parse::<Digest>()
                .is_ok_and(|digest| live.objects.contains(&digest));
            if !is_live && is_older(&path, oldest) {
                garbage.add(path, |found| &mut found.objects);
            }
        }
        for path in entries(&self.root().join("scratch")) {
            if is_older(&path, oldest) {
                garbage.add(path, |found| &mut found.scratch);
            }
        }
        for path in entries(&self.root().join("tmp")) {
            garbage.leftover(path, oldest);
        }
        for path in entries(&self.root().join("locks")) {
            if path.file_name().is_some_and(|name| name != "in-use") {
                garbage.leftover(path, oldest);
            }
        }
        garbage
    }

    /// Whether a record is that of an item whose file a living artifact has.
    fn is_live_item(&self, live: &Live, key: &ActionKey) -> bool {
        self.record(key).is_some_and(|record| {
            record.document["item"].is_object()
                && record
                    .outputs
                    .values()
                    .flatten()
                    .all(|artifact| live.objects.contains(&artifact.digest))
        })
    }
}

impl Garbage {
    fn add(&mut self, path: PathBuf, count: impl Fn(&mut Collected) -> &mut u64) {
        *count(&mut self.collected) += 1;
        self.collected.bytes += match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => measure(&path).0,
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        };
        self.paths.push(path);
    }

    fn leftover(&mut self, path: PathBuf, oldest: SystemTime) {
        if is_older(&path, oldest) {
            self.add(path, |found| &mut found.leftovers);
        }
    }
}

/// Names (shard and rest together) and paths of the files of a sharded folder.
pub(super) fn sharded(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for shard in entries(folder) {
        let Some(prefix) = shard.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        for path in entries(&shard) {
            if let Some(rest) = path.file_name().and_then(|name| name.to_str()) {
                found.push((format!("{prefix}{rest}"), path.clone()));
            }
        }
    }
    found
}

/// The entries of a folder, sorted.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = found.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn is_older(path: &Path, oldest: SystemTime) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified < oldest)
}

fn remove(path: &Path) -> std::io::Result<()> {
    durable::step("delete garbage")?;
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
    match removed {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
