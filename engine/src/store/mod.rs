//! The content-addressed store of results.
//!
//! ```text
//! .clinicadl/
//!   FORMAT                     {"format":1,"hash":"blake3"}; another format is refused, never migrated
//!   objects/ab/<62 digits>     bytes of files and of artifact trees, read-only
//!   actions/ab/<62 digits>     records of finished actions and items, each with its own digest
//!   scratch/<action key>/      checkpoints of unfinished actions
//!   locks/<action key>         held by the process that computes the action
//!   tmp/                       unfinished writes; a crash leaves its litter here only
//!   runs/<manifest digest>/    what the last run of a manifest did: its keys, journal and logs, and
//!                              what the last one without changes looked at
//!   roots/<manifest digest>    what a manifest needs: never collected while the manifest is there
//!   accounts/ab/<62 digits>    when and where an action was computed: history, which no result needs
//!   quarantine/                what was found damaged
//!   stat-cache                 digests of files whose stat has not changed
//!   sha256.json                SHA-256 of published objects
//! ```
//!
//! A result becomes visible by one rename, that of its record; its objects were renamed into place
//! and synced before. A process killed at any instant therefore loses unfinished work only, and what
//! the store holds is either whole or noticed: objects are re-hashed when their stat changed, records
//! carry a digest of themselves. Absolute paths are never stored.

mod batch;
mod check;
pub(crate) mod durable;
mod find;
mod gc;
mod live;
mod record;
mod roots;
mod stat_cache;
mod tree;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

pub use batch::Batch;
pub use check::Damage;
pub use durable::write_atomically;
pub(crate) use find::folder_of_manifest;
pub use gc::{Collected, Garbage};
pub use live::{RootUsage, Usage};
pub use record::{ActionRecord, Artifact};
pub use roots::{InUse, Root};
pub use stat_cache::StatCache;
pub(crate) use stat_cache::{Stat, granularity};
pub use tree::{Tree, TreeFile};
pub(crate) use tree::{folders_in, is_relative, walk as walk_folder};

use crate::digest::Digest;
use crate::error::{FailureKind, StageError, classify};
use crate::key::ActionKey;

/// Version of the layout above.
pub const STORE_FORMAT: u32 = 1;

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("failed to {act} `{}`: {source}", path.display())]
    Io {
        /// What was being done.
        act: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The store was written by another version.
    #[error("store `{}` has format {found}, this version reads format {STORE_FORMAT}", path.display())]
    Format {
        /// The store.
        path: PathBuf,
        /// The format found.
        found: String,
    },
}

impl StoreError {
    pub(crate) fn io(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { act, path, source }
    }
}

impl From<StoreError> for StageError {
    fn from(error: StoreError) -> Self {
        let (kind, hint) = match &error {
            StoreError::Io { source, .. } => classify(source),
            StoreError::Format { .. } => (FailureKind::Environment, None),
        };
        let wrapped = Self {
            kind,
            message: error.to_string(),
            hints: Vec::new(),
        };
        match hint {
            Some(hint) => wrapped.hint(hint),
            None => wrapped,
        }
    }
}

/// The file of the stat cache.
const STAT_CACHE: &str = "stat-cache";

/// The file that tells a store's format.
pub(crate) const FORMAT_FILE: &str = "FORMAT";

pub(crate) fn expected_format() -> String {
    json!({ "format": STORE_FORMAT, "hash": "blake3" }).to_string()
}

/// A store on disk. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Store {
    root: Arc<PathBuf>,
    stats: Arc<StatCache>,
    /// Trees that were read, which never change.
    trees: Arc<Mutex<BTreeMap<Digest, Arc<Tree>>>>,
    /// Emptied folders that are removed later.
    emptied: Arc<Mutex<Vec<tempfile::TempDir>>>,
}

impl Store {
    /// Opens a store, creating it if the folder does not exist.
    ///
    /// # Errors
    /// The folder cannot be created or written, or holds a store of another format.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        for folder in ["objects", "actions", "scratch", "locks", "tmp", "runs"] {
            let path = root.join(folder);
            durable::create_folders(&path).map_err(StoreError::io("create store folder", &path))?;
        }
        let format = root.join(FORMAT_FILE);
        if !format.exists() {
            write_atomically(&format, expected_format().as_bytes())
                .map_err(StoreError::io("write", &format))?;
        }
        Self::open_for_reading(root)
    }

    /// Opens a store that exists, without writing anything: it may belong to somebody else, or be on a
    /// file system that is read-only.
    ///
    /// # Errors
    /// There is no store, or one of another format.
    pub fn open_for_reading(root: &Path) -> Result<Self, StoreError> {
        let root = root
            .canonicalize()
            .map_err(StoreError::io("open store", root))?;
        let format = root.join(FORMAT_FILE);
        let found = fs::read_to_string(&format).map_err(StoreError::io("read", &format))?;
        if found.trim() != expected_format() {
            return Err(StoreError::Format {
                path: root,
                found: found.trim().to_owned(),
            });
        }
        let stats = Arc::new(StatCache::load(&root.join(STAT_CACHE)));
        Ok(Self {
            root: Arc::new(root),
            stats,
            trees: Arc::default(),
            emptied: Arc::default(),
        })
    }

    /// The folder of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The cache of file digests.
    pub fn stats(&self) -> &StatCache {
        &self.stats
    }

    /// Where an object is, or would be.
    pub fn object_path(&self, digest: &Digest) -> PathBuf {
        stored_at(&self.root, "objects", digest)
    }

    /// Whether an object of this size is stored and its bytes still fit its digest.
    ///
    /// A damaged object is removed, so that the action that made it runs again.
    pub fn has_object(&self, digest: &Digest, size: u64) -> bool {
        let path = self.object_path(digest);
        match self.stats.digest_of(&path) {
            Ok((found, found_size)) if found == *digest && found_size == size => true,
            Ok(_) => {
                tracing::warn!(object = %digest, "stored object is damaged; it will be made again");
                // What cannot be removed is still never used: the check above fails again.
                drop(fs::remove_file(&path));
                false
            }
            Err(_) => false,
        }
    }

    /// A folder for unfinished writes, on the file system of the store, removed when dropped.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn temporary_folder(&self) -> Result<tempfile::TempDir, StoreError> {
        let tmp = self.root.join("tmp");
        tempfile::Builder::new()
            .prefix("write-")
            .tempdir_in(&tmp)
            .map_err(StoreError::io("create a folder in", &tmp))
    }

    /// Removes an emptied temporary folder, at the latest with the store.
    ///
    /// ext4 looks at every inode that was freed within the last seconds before it gives out a new one:
    /// thousands of small actions that each remove their folders would wait for that more than for the
    /// disk.
    pub(crate) fn remove_later(&self, folder: tempfile::TempDir) {
        const MOST: usize = 4096;
        let mut emptied = self.emptied.lock().unwrap_or_else(PoisonError::into_inner);
        if emptied.len() == MOST {
            emptied.clear();
        }
        emptied.push(folder);
    }

    /// Where the folder is, or would be, that survives interruptions of an action.
    pub fn scratch(&self, key: &ActionKey) -> PathBuf {
        self.root.join("scratch").join(key.to_string())
    }

    /// Forgets an action's scratch folder once its result is stored.
    pub fn remove_scratch(&self, key: &ActionKey) {
        // Litter costs space, never correctness: the folder belongs to one key.
        drop(fs::remove_dir_all(self.scratch(key)));
    }

    /// The file whose lock means that an action is being computed.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn lock_file(&self, key: &ActionKey) -> Result<File, StoreError> {
        let path = self.root.join("locks").join(key.to_string());
        File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(StoreError::io("open lock", &path))
    }

    /// New objects, which become durable together.
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(self)
    }

    /// Stores bytes and tells their digest.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let mut batch = self.batch();
        let digest = batch.bytes(bytes)?;
        batch.store()?;
        Ok(digest)
    }

    /// The tree with this digest, if it and all its files are stored and undamaged.
    pub fn whole_tree(&self, digest: &Digest) -> Option<Arc<Tree>> {
        let tree = self.tree(digest)?;
        tree.files
            .values()
            .all(|file| self.has_object(&file.digest, file.size))
            .then_some(tree)
    }

    /// Trusts the files of an artifact that a worker of this process has just stored, without reading
    /// them again.
    pub(crate) fn trust_artifact(&self, digest: &Digest) {
        self.stats.trust(&self.object_path(digest), *digest);
        if let Some(tree) = self.tree(digest) {
            for file in tree.files.values() {
                self.stats
                    .trust(&self.object_path(&file.digest), file.digest);
            }
        }
    }

    /// The tree with this digest, without looking at its files.
    pub fn tree(&self, digest: &Digest) -> Option<Arc<Tree>> {
        let trees = || self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = trees().get(digest) {
            return Some(known.clone());
        }
        let bytes = fs::read(self.object_path(digest)).ok()?;
        let tree = (Digest::of(&bytes) == *digest).then(|| Tree::from_bytes(&bytes))??;
        let tree = Arc::new(tree);
        trees().insert(*digest, tree.clone());
        Some(tree)
    }

    /// The record of an action, if there is one and it is undamaged.
    pub fn record(&self, key: &ActionKey) -> Option<ActionRecord> {
        let bytes = fs::read(self.record_path(key)).ok()?;
        let record = ActionRecord::from_bytes(&bytes)?;
        (record.key == *key).then_some(record)
    }

    /// Whether an action's result is stored and undamaged.
    pub fn is_whole(&self, key: &ActionKey) -> bool {
        self.record(key).is_some_and(|record| {
            let mut artifacts = record.outputs.values().flatten();
            artifacts.all(|artifact| self.whole_tree(&artifact.digest).is_some())
        })
    }

    /// Publishes an action's result: from here on the action is a hit.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn put_record(&self, record: &ActionRecord) -> Result<(), StoreError> {
        let path = self.record_path(&record.key);
        write_atomically(&path, &record.to_bytes()).map_err(StoreError::io("write record", &path))
    }

    /// Keeps the stat cache for the next run. A failure costs time, not correctness.
    pub fn save_stats(&self) {
        if let Err(error) = self.stats.save(&self.root.join(STAT_CACHE)) {
            tracing::debug!(%error, "stat cache not saved");
        }
    }

    fn record_path(&self, key: &ActionKey) -> PathBuf {
        stored_at(&self.root, "actions", &key.digits())
    }
}

/// Where a store keeps what is called by these digits.
pub(crate) fn stored_at(root: &Path, folder: &str, digits: &Digest) -> PathBuf {
    let name = name_of(folder, digits);
    let mut path = PathBuf::with_capacity(root.as_os_str().len() + name.len() + 1);
    path.push(root);
    path.push(name);
    path
}

/// The same relative to the store.
pub(crate) fn name_of(folder: &str, digits: &Digest) -> String {
    let digits = digits.to_string();
    let (shard, rest) = digits.split_at(2);
    [folder, shard, rest].join("/")
}

#[cfg(test)]
mod tests;
