//! Roots: what a manifest needs of the store, and whether it still exists.
//!
//! A run writes one root per manifest. It is alive while the manifest, its lock file or a MAPS that it
//! published is there; what a living root needs is never collected.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Store, write_atomically};
use crate::key::ActionKey;
use crate::publish::PUBLISHED;

/// What one manifest needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// The manifest.
    pub manifest: PathBuf,
    /// Its lock file.
    pub lock: PathBuf,
    /// The folders that it published.
    pub maps: BTreeSet<PathBuf>,
    /// Every action of its last complete run.
    pub actions: BTreeSet<ActionKey>,
}

impl Root {
    /// Whether anything is left of what it is a root for.
    pub fn is_alive(&self) -> bool {
        let is_published = |maps: &PathBuf| maps.join(PUBLISHED).is_file();
        self.manifest.is_file() || self.lock.is_file() || self.maps.iter().any(is_published)
    }
}

/// Keeps the store from being collected while a run uses it; freed by the system with the process.
#[derive(Debug)]
pub struct InUse {
    _file: Option<File>,
}

impl Store {
    /// Writes or renews the root of a manifest.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn keep(&self, root: &Root) -> io::Result<()> {
        let path = self.root_path(&root.manifest);
        let text = serde_json::to_vec(root)?;
        if fs::read(&path).is_ok_and(|before| before == text) {
            return Ok(());
        }
        write_atomically(&path, &text)
    }

    /// What any manifest needs of which something is left.
    pub fn needed(&self) -> BTreeSet<ActionKey> {
        let roots = self.roots().into_iter().map(|(root, _)| root);
        let alive = roots.filter(Root::is_alive);
        alive.flat_map(|root| root.actions).collect()
    }

    /// Every root, with the time of its last change. What cannot be read is no root.
    pub(super) fn roots(&self) -> Vec<(Root, SystemTime)> {
        let entries = fs::read_dir(self.root().join("roots"));
        entries
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let root = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
                Some((root, entry.metadata().ok()?.modified().ok()?))
            })
            .collect()
    }

    pub(super) fn root_path(&self, manifest: &Path) -> PathBuf {
        let digest = crate::digest::Digest::of(manifest.as_os_str().as_encoded_bytes());
        self.root().join("roots").join(digest.short())
    }

    /// Says that a run uses the store. A store that cannot be written, or is on a file system without
    /// locks, is used all the same: collecting then spares what is young.
    pub fn in_use(&self) -> InUse {
        let file = self.use_lock().ok();
        InUse {
            _file: file.filter(|file| file.lock_shared().is_ok()),
        }
    }

    /// The lock that says that nobody else uses the store: `Ok(None)` where there are no locks.
    ///
    /// # Errors
    /// A run is using it; or the lock cannot be opened.
    pub(super) fn exclusively(&self) -> io::Result<Option<File>> {
        let file = self.use_lock()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }

    fn use_lock(&self) -> io::Result<File> {
        let path = self.root().join("locks").join("in-use");
        File::options().create(true).append(true).open(path)
    }
}
