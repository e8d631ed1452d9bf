//! The lock file: what an experiment is, and what came out, as a text for version control.
//!
//! ```text
//! experiment.yaml ── run ──▶ experiment.yaml.lock      beside the manifest, meant for git
//!                            provenance/lock.json      the same bytes in the MAPS
//! ```
//!
//! A lock holds digests and names, never a time, path, host or user: equal results give equal bytes,
//! wherever they were computed. It is JSON with one line per input, action and metric, sorted by
//! name, so that changes read well and merge. What an action was made with (numerics class, tool) is
//! an attribute and not part of the result: it stays as it was while the results stay.

mod make;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use make::{input_trees, manifest_digest, published_digest, source_name};
pub use text::LockError;

use crate::digest::Digest;
use crate::key::{ActionKey, KeyDocument};

/// Version of the lock's format.
pub const LOCK_FORMAT: u32 = 1;

/// The published file that tells what was checked about leakage.
pub const CERTIFICATE: &str = "leakage.json";

/// What identifies a finished experiment.
#[derive(Debug, Clone)]
pub struct Lock {
    /// The experiment's name.
    pub experiment: String,
    /// Digest of the manifest as resolved: see [`manifest_digest`].
    pub manifest: Digest,
    /// The tool and the kind of machine that wrote this content first.
    pub made_with: BTreeMap<String, String>,
    /// External inputs by the manifest's names.
    pub inputs: BTreeMap<String, LockedInput>,
    /// Numerics classes by the short name that actions use.
    pub numerics: BTreeMap<String, Value>,
    /// Actions by name.
    pub actions: BTreeMap<String, LockedAction>,
    /// Published metrics, `group/split-0/…/metric`; one that is no number is NaN.
    pub metrics: BTreeMap<String, f64>,
    /// The published results, where the experiment publishes any.
    pub published: Option<LockedFiles>,
}

/// An external input: all files that any stage reads of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedInput {
    /// Digest of the tree of these files.
    pub digest: Digest,
    /// Their number.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The published results, without what tells about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedFiles {
    /// Digest of the tree of these files.
    pub digest: Digest,
    /// Their number.
    pub files: u64,
    /// Digest of the file [`CERTIFICATE`], where there is one.
    pub certificate: Option<Digest>,
}

/// One action.
#[derive(Debug, Clone, PartialEq)]
pub struct LockedAction {
    /// The key.
    pub key: ActionKey,
    /// The document that the key names: stage, version, parameters, inputs, seed, split.
    pub document: KeyDocument,
    /// What each input port was connected to: an input's name, or `action.port`.
    pub from: BTreeMap<String, String>,
    /// Digests of artifacts by output port: one, or one per split.
    pub outputs: BTreeMap<String, Vec<Digest>>,
    /// The class of hardware and libraries it was computed on, a name in [`Lock::numerics`].
    pub numerics: Option<String>,
}

impl Lock {
    /// Where the lock of a manifest is: `experiment.yaml.lock` beside `experiment.yaml`.
    pub fn path_of(manifest: &Path) -> PathBuf {
        let mut name = manifest.as_os_str().to_owned();
        name.push(".lock");
        PathBuf::from(name)
    }

    /// This lock with the attributes of an older one wherever the results are the same.
    ///
    /// An action with the same key and outputs keeps its numerics class, and a lock without any other
    /// difference keeps its tool: computing the same again, elsewhere or later, changes no byte.
    #[must_use]
    pub fn keeping_attributes_of(mut self, old: &Self) -> Self {
        for (name, action) in &mut self.actions {
            if let Some(before) = old.actions.get(name)
                && before.key == action.key
                && before.outputs == action.outputs
            {
                action.numerics.clone_from(&before.numerics);
            }
        }
        let mut classes = std::mem::take(&mut self.numerics);
        classes.extend(old.numerics.clone());
        let used = |name: &String| {
            let mut actions = self.actions.values();
            actions.any(|action| action.numerics.as_ref() == Some(name))
        };
        classes.retain(|name, _| used(name));
        self.numerics = classes;
        let made_with = std::mem::replace(&mut self.made_with, old.made_with.clone());
        if self.text() != old.text() {
            self.made_with = made_with;
        }
        self
    }

    /// The numerics class of an action.
    pub fn numerics_of(&self, action: &LockedAction) -> Option<&Value> {
        self.numerics.get(action.numerics.as_ref()?)
    }
}
