//! Checkpoints: after each epoch, and where a training is asked to stop, everything that what follows
//! depends on.
//!
//! ```text
//! <scratch>/state.json                   how far the training is, and what it found; written last
//!           previous.json                the same of the checkpoint before
//!           weights-<mark>.safetensors   of both, and of each best epoch
//!           optimizer-<mark>.safetensors of both
//!           network-<k>/…                the same of each network, where parts have networks of their own
//! ```
//!
//! Each file appears by one rename, and a state names its files with their digests: a kill at any instant
//! leaves the checkpoint before or the new one. Files that neither state names are removed. Tensors are not
//! forced to the disk, which would take a third of the time of a short epoch: where the power fails, their
//! digest tells, and the training goes on from the checkpoint before, or begins again.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use engine::digest::Digesting;
use engine::store::write_atomically;
use engine::{Digest, StageError};
use maps::weights::{Weights, read_safetensors, save_safetensors};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::weights;

const STATE: &str = "state.json";
const PREVIOUS: &str = "previous.json";
/// What files are called until they are whole.
const UNFINISHED: &str = "unfinished";

/// The checkpoints of one training.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    folder: PathBuf,
}

/// A moment of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Number of the epoch, from 0.
    pub(crate) epoch: u32,
    /// Batches of it that are done; `None` at its end.
    pub(crate) batches: Option<usize>,
}

impl Mark {
    /// The end of an epoch.
    pub(crate) fn end_of(epoch: u32) -> Self {
        Self {
            epoch,
            batches: None,
        }
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.batches {
            None => write!(f, "{}", self.epoch),
            Some(batches) => write!(f, "{}+{batches}", self.epoch),
        }
    }
}

/// What a file of tensors holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Part {
    Weights,
    Optimizer,
}

impl Checkpoints {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The checkpoints of the network of a part, apart from those of others; or those of the only network.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn of_network(folder: &Path, network: Option<usize>) -> Result<Self, StageError> {
        let Some(network) = network else {
            return Ok(Self::new(folder));
        };
        let folder = folder.join(format!("network-{network}"));
        std::fs::create_dir_all(&folder)
            .map_err(|e| StageError::io("create scratch folder", &folder, &e))?;
        Ok(Self::new(&folder))
    }

    /// The states that are there and of this format, the last one first.
    pub(crate) fn states<S: DeserializeOwned>(&self) -> Vec<S> {
        let read = |name: &&str| {
            let text = std::fs::read(self.folder.join(name)).ok()?;
            serde_json::from_slice(&text).ok()
        };
        [STATE, PREVIOUS].iter().filter_map(read).collect()
    }

    /// Makes a moment the last one. Its tensors must be written.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn commit<S: Serialize>(&self, state: &S) -> Result<(), StageError> {
        let bytes = serde_json::to_vec(state).map_err(StageError::internal)?;
        let last = self.folder.join(STATE);
        if let Ok(before) = std::fs::read(&last) {
            self.write(PREVIOUS, &before)?;
        }
        self.write(STATE, &bytes)
    }

    /// Writes tensors of a moment; gives the digest of the file.
    ///
    /// # Errors
    /// A tensor is neither float32 nor int64, or the file cannot be written.
    pub(crate) fn save<'t>(
        &self,
        part: Part,
        mark: Mark,
        tensors: impl IntoIterator<Item = (String, &'t Tensor)>,
    ) -> Result<Digest, StageError> {
        let path = self.folder.join(file_name(part, mark));
        let unfinished = path.with_extension(UNFINISHED);
        let tensors = weights::named(tensors)?;
        let write = || {
            let mut file = Digesting::new(File::create(&unfinished)?);
            save_safetensors(&mut file, weights::borrowed(&tensors))?;
            std::fs::rename(&unfinished, &path)?;
            Ok(file.finish().0)
        };
        write().map_err(|e| StageError::io("write checkpoint", &path, &e))
    }

    /// Reads tensors of a moment.
    ///
    /// # Errors
    /// The file is missing, damaged, or has another digest than the given one.
    pub(crate) fn load(
        &self,
        part: Part,
        mark: Mark,
        digest: Option<Digest>,
    ) -> Result<Weights, StageError> {
        let path = self.folder.join(file_name(part, mark));
        let bytes = std::fs::read(&path).map_err(|e| StageError::io("read", &path, &e))?;
        let damaged = |why: &dyn std::fmt::Display| {
            StageError::new(format!("checkpoint `{}`: {why}", path.display()))
        };
        if digest.is_some_and(|digest| digest != Digest::of(&bytes)) {
            return Err(damaged(&"it is not what was written"));
        }
        read_safetensors(&bytes).map_err(|e| damaged(&e))
    }

    /// Removes every file but the states and the given ones.
    pub(crate) fn keep_only(&self, kept: &[(Part, Mark)]) {
        let names: BTreeSet<String> = kept
            .iter()
            .map(|&(part, mark)| file_name(part, mark))
            .chain([STATE, PREVIOUS].map(str::to_owned))
            .collect();
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !names.contains(&name) {
                // What cannot be removed only takes space until the action ends.
                std::fs::remove_file(entry.path()).unwrap_or_default();
            }
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StageError> {
        let path = self.folder.join(name);
        write_atomically(&path, bytes).map_err(|e| StageError::io("write checkpoint", &path, &e))
    }
}

fn file_name(part: Part, mark: Mark) -> String {
    match part {
        Part::Weights => format!("weights-{mark}.safetensors"),
        Part::Optimizer => format!("optimizer-{mark}.safetensors"),
    }
}
