//! A remote as a run uses it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::copy::{Pulled, Pushed, in_parallel, pull, push, text};
use super::{Remote, RemoteError};
use crate::digest::Digest;
use crate::key::ActionKey;
use crate::lock::Lock;
use crate::store::{FORMAT_FILE, Store, StoreError, expected_format};

/// The outputs that a lock names.
type Outputs = BTreeMap<String, Vec<Digest>>;

/// A remote whose store was found to be one, and what is known of its results already.
#[derive(Debug, Clone)]
pub struct Tier {
    remote: Arc<dyn Remote>,
    /// By action, from a lock file: a result with other outputs is not taken.
    locked: Arc<BTreeMap<ActionKey, Outputs>>,
    /// Whether it failed: then nobody waits for it again.
    failed: Arc<AtomicBool>,
}

impl Tier {
    /// Looks whether a store is there that this version reads.
    ///
    /// # Errors
    /// There is nothing or something else, or the remote cannot be reached.
    pub fn open(remote: Arc<dyn Remote>) -> Result<Self, RemoteError> {
        match Self::find(&*remote)? {
            true => Ok(Self::of(remote)),
            false => Err(RemoteError::NoStore {
                address: remote.address().to_owned(),
                problem: format!("it has no `{FORMAT_FILE}`"),
            }),
        }
    }

    /// The same for results that go there: where nothing is, a store is made.
    ///
    /// # Errors
    /// Those of [`open`](Self::open); nothing can be put there.
    pub fn open_or_create(remote: Arc<dyn Remote>) -> Result<Self, RemoteError> {
        if remote.is_read_only() {
            return Err(RemoteError::ReadOnly {
                address: remote.address().to_owned(),
            });
        }
        if !Self::find(&*remote)? {
            let io = StoreError::io("write", Path::new(FORMAT_FILE));
            let file = tempfile::NamedTempFile::new().and_then(|mut file| {
                file.write_all(expected_format().as_bytes())?;
                Ok(file)
            });
            remote.put(FORMAT_FILE, file.map_err(io)?.path())?;
        }
        Ok(Self::of(remote))
    }

    /// Whether a store is there.
    fn find(remote: &dyn Remote) -> Result<bool, RemoteError> {
        match text(remote, FORMAT_FILE, &|| false)? {
            None => Ok(false),
            Some(found) if found.trim_ascii() == expected_format().as_bytes() => Ok(true),
            Some(found) => {
                let found: String = String::from_utf8_lossy(&found).chars().take(80).collect();
                Err(RemoteError::NoStore {
                    address: remote.address().to_owned(),
                    problem: format!("its `{FORMAT_FILE}` is `{}`", found.trim()),
                })
            }
        }
    }

    fn of(remote: Arc<dyn Remote>) -> Self {
        Self {
            remote,
            locked: Arc::default(),
            failed: Arc::default(),
        }
    }

    /// The same, for results that a lock names: those must be as it says.
    #[must_use]
    pub fn bound_by(mut self, lock: &Lock) -> Self {
        let actions = lock.actions.values();
        let outputs = actions.map(|action| (action.key, action.outputs.clone()));
        self.locked = Arc::new(outputs.collect());
        self
    }

    /// The remote.
    pub fn remote(&self) -> &dyn Remote {
        &*self.remote
    }

    /// Copies a result here, if the remote has one that the lock allows, of this numerics class if one
    /// is given.
    ///
    /// # Errors
    /// Those of [`pull`](super::pull).
    pub fn pull(
        &self,
        store: &Store,
        key: &ActionKey,
        class: Option<&Value>,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Pulled>, RemoteError> {
        let address = self.remote.address();
        let accept = |record: &crate::store::ActionRecord| {
            let is_locked = self.locked.get(key).is_none_or(|locked| {
                let found = record.outputs.iter().map(|(port, artifacts)| {
                    let digests = artifacts.iter().map(|artifact| artifact.digest);
                    (port.clone(), digests.collect())
                });
                found.collect::<Outputs>() == *locked
            });
            if !is_locked {
                tracing::warn!(
                    "{address} has other outputs of action {} than the lock file: not taken",
                    key.short()
                );
            }
            let stored = record.numerics.as_ref().unwrap_or(&Value::Null);
            is_locked && class.is_none_or(|class| class == stored)
        };
        pull(&*self.remote, store, key, accept, stop)
    }

    /// The same during a run, which goes on without a remote that fails.
    pub(crate) fn try_pull(
        &self,
        store: &Store,
        key: &ActionKey,
        class: Option<&Value>,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Pulled> {
        if self.failed.load(Ordering::Relaxed) {
            return None;
        }
        match self.pull(store, key, class, stop) {
            Ok(found) => found,
            Err(RemoteError::Stopped) => None,
            // One file is wrong; others may be right.
            Err(error @ RemoteError::Damaged { .. }) => {
                tracing::warn!("{error}; computing it here");
                None
            }
            Err(error) => {
                if !self.failed.swap(true, Ordering::Relaxed) {
                    tracing::warn!("{error}; going on without it");
                }
                None
            }
        }
    }

    /// Copies results there, several at once; tells what became of each.
    ///
    /// # Errors
    /// Those of [`push`](super::push), of the first that fails.
    pub fn push(&self, store: &Store, keys: &[ActionKey]) -> Result<Vec<Pushed>, RemoteError> {
        in_parallel(keys, |key| push(&*self.remote, store, key))
    }
}
