//! What is needed, and how much of the store each manifest holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Root, Store};
use crate::digest::Digest;
use crate::key::ActionKey;

/// What a set of actions reaches.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) actions: BTreeSet<ActionKey>,
    pub(super) objects: BTreeSet<Digest>,
}

impl Live {
    /// Adds an action with its artifacts and the lists of files that it read.
    pub(super) fn add(&mut self, store: &Store, key: &ActionKey) {
        let Some(record) = store.record(key) else {
            return;
        };
        if !self.actions.insert(*key) {
            return;
        }
        for artifact in record.outputs.values().flatten() {
            // Its list may be known already as an input of another action, its files not.
            self.objects.insert(artifact.digest);
            if let Some(tree) = store.tree(&artifact.digest) {
                self.objects
                    .extend(tree.files.values().map(|file| file.digest));
            }
        }
        let inputs = record.document["inputs"].as_object();
        let digests = inputs
            .into_iter()
            .flatten()
            .filter_map(|(_, input)| input["digest"].as_str()?.parse::<Digest>().ok());
        self.objects.extend(digests);
    }

    pub(super) fn of(store: &Store, root: &Root) -> Self {
        let mut live = Self::default();
        for key in &root.actions {
            live.add(store, key);
        }
        live
    }
}

/// How much is where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Bytes and number of objects.
    pub objects: (u64, u64),
    /// Bytes and number of records of actions and items.
    pub records: (u64, u64),
    /// Bytes and number of files of checkpoints.
    pub scratch: (u64, u64),
    /// Bytes and number of unfinished files.
    pub unfinished: (u64, u64),
    /// Bytes and number of journals, logs and accounts of runs.
    pub runs: (u64, u64),
    /// Bytes and number of damaged files.
    pub quarantine: (u64, u64),
    /// By manifest.
    pub roots: Vec<RootUsage>,
}

/// What one manifest holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RootUsage {
    /// The manifest.
    pub manifest: PathBuf,
    /// Whether anything is left of it.
    pub alive: bool,
    /// Bytes of all objects that it needs.
    pub bytes: u64,
    /// Bytes of those that no other manifest needs.
    pub alone: u64,
}

impl Store {
    /// Measures the store.
    pub fn usage(&self) -> Usage {
        let under = |folder: &str| measure(&self.root().join(folder));
        let reached: Vec<(Root, Live)> = self
            .roots()
            .into_iter()
            .map(|(root, _)| {
                let live = Live::of(self, &root);
                (root, live)
            })
            .collect();
        let mut holders: BTreeMap<Digest, usize> = BTreeMap::new();
        for digest in reached.iter().flat_map(|(_, live)| &live.objects) {
            *holders.entry(*digest).or_default() += 1;
        }
        let size = |digest: &&Digest| fs::metadata(self.object_path(digest)).map_or(0, |m| m.len());
        let mut roots: Vec<RootUsage> = reached
            .iter()
            .map(|(root, live)| RootUsage {
                manifest: root.manifest.clone(),
                alive: root.is_alive(),
                bytes: live.objects.iter().map(|digest| size(&digest)).sum(),
                alone: live
                    .objects
                    .iter()
                    .filter(|digest| holders[digest] == 1)
                    .map(|digest| size(&digest))
                    .sum(),
            })
            .collect();
        roots.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.manifest.cmp(&b.manifest)));
        Usage {
            objects: under("objects"),
            records: under("actions"),
            scratch: under("scratch"),
            unfinished: under("tmp"),
            runs: under("runs"),
            quarantine: under("quarantine"),
            roots,
        }
    }
}

/// Bytes and number of files below a folder.
pub(super) fn measure(folder: &Path) -> (u64, u64) {
    let mut total = (0, 0);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let found = if metadata.is_dir() {
            measure(&entry.path())
        } else {
            (metadata.len(), 1)
        };
        total.0 += found.0;
        total.1 += found.1;
    }
    total
}
