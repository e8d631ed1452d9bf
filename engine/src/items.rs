//! Items: the cache of stages that map over images.
//!
//! A stage over a thousand images asks for each image's result by identity and input digest.
//! Adding one image then computes one. An item is a single file in the object store, found through a
//! record of its own; it goes into an output by [`crate::context::Output::place`] without a copy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::digest::Digest;
use crate::error::StageError;
use crate::key::ActionKey;
use crate::store::{ActionRecord, Artifact, Store};

/// A file in the object store that an item's computation produced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Content digest.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// What a computation tells of the file that it wrote.
#[derive(Debug, Clone, Copy)]
pub enum Written {
    /// Nothing: the file is read once more.
    Unknown,
    /// Digest and size, which it took while it wrote.
    Known(Digest, u64),
}

impl From<()> for Written {
    fn from((): ()) -> Self {
        Self::Unknown
    }
}

/// The items of one action, and how many were reused.
#[derive(Debug, Clone)]
pub struct ItemStore {
    store: Store,
    reused: Arc<AtomicU64>,
    computed: Arc<AtomicU64>,
    busy: Arc<Busy>,
    processors: Arc<Processors>,
}

/// How many items may be computed at once. One that only waits for the disk is not counted, so that
/// the processors have work meanwhile.
#[derive(Debug)]
struct Processors {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Processors {
    /// Waits for a free one; it is taken until what is returned is dropped.
    fn take(&self) -> Taken<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            let woken = self.freed.wait(free);
            free = woken.unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Taken(self)
    }
}

struct Taken<'a>(&'a Processors);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// The items that are being computed: equal content is computed by one thread, others wait for it.
#[derive(Debug, Default)]
struct Busy {
    keys: Mutex<BTreeSet<ActionKey>>,
    finished: Condvar,
}

impl Busy {
    /// Waits until nobody computes the item; it is busy until what is returned is dropped.
    fn enter(&self, key: ActionKey) -> Turn<'_> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        while !keys.insert(key) {
            let woken = self.finished.wait(keys);
            keys = woken.unwrap_or_else(PoisonError::into_inner);
        }
        Turn { busy: self, key }
    }
}

struct Turn<'a> {
    busy: &'a Busy,
    key: ActionKey,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let keys = self.busy.keys.lock();
        keys.unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
        self.busy.finished.notify_all();
    }
}

/// The output port name under which an item's record holds its file.
const PORT: &str = "item";

impl ItemStore {
    /// Items in `store`, nothing counted yet; at most `processors` of them, at least 1, are computed at
    /// once.
    pub fn new(store: Store, processors: usize) -> Self {
        let processors = Processors {
            free: Mutex::new(processors.max(1)),
            freed: Condvar::new(),
        };
        Self {
            store,
            processors: Arc::new(processors),
            reused: Arc::default(),
            computed: Arc::default(),
            busy: Arc::default(),
        }
    }

    /// Items found in the store and items computed so far.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.reused.load(Ordering::Relaxed),
            self.computed.load(Ordering::Relaxed),
        )
    }

    /// Where an item's bytes are.
    pub fn path(&self, item: &Item) -> PathBuf {
        self.store.object_path(&item.digest)
    }

    /// Finds the item, or computes and keeps it. `compute` must not ask for items itself: it would wait
    /// for the processor that it has.
    ///
    /// # Errors
    /// Those of `compute`, and of writing to the store.
    pub fn get_or_compute<W: Into<Written>>(
        &self,
        identity: &Value,
        input: Digest,
        compute: impl FnOnce(&Path) -> Result<W, StageError>,
    ) -> Result<Item, StageError> {
        let document = json!({ "item": identity, "input": input });
        let key = ActionKey::of_document(&document);
        let _turn = self.busy.enter(key);
        if let Some(item) = self.find(&key) {
            self.reused.fetch_add(1, Ordering::Relaxed);
            return Ok(item);
        }
        let folder = self.store.temporary_folder().map_err(StageError::from)?;
        let path = folder.path().join("item");
        let mut batch = self.store.batch();
        let processor = self.processors.take();
        let written = compute(&path)?.into();
        let (digest, size) = match written {
            Written::Unknown => batch.file(&path),
            Written::Known(digest, size) => batch.known_file(&path, digest, size),
        }
        .map_err(StageError::from)?;
        drop(processor);
        batch.store().map_err(StageError::from)?;
        let item = Item { digest, size };
        let artifact = Artifact {
            kind: PORT.to_owned(),
            digest,
            size,
        };
        let record = ActionRecord::new(key, document, [(PORT.to_owned(), vec![artifact])].into());
        self.store.put_record(&record).map_err(StageError::from)?;
        self.computed.fetch_add(1, Ordering::Relaxed);
        Ok(item)
    }

    fn find(&self, key: &ActionKey) -> Option<Item> {
        let record = self.store.record(key)?;
        let artifact = record.outputs.get(PORT)?.first()?;
        let item = Item {
            digest: artifact.digest,
            size: artifact.size,
        };
        self.store
            .has_object(&item.digest, item.size)
            .then_some(item)
    }
}
