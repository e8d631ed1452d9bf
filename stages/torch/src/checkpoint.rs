//! Checkpoints: after each epoch, everything that the following epochs depend on.
//!
//! ```text
//! <scratch>/state.json                    the finished epochs and what they found; written last
//!           weights-<epoch>.safetensors   of the last epoch, and of each best one
//!           optimizer-<epoch>.safetensors of the last epoch
//! ```
//!
//! Each file appears by one rename, and `state.json` names the epoch of the others: a crash at any
//! instant leaves the previous checkpoint or the new one. Files that it does not name are removed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use engine::StageError;
use engine::store::write_atomically;
use maps::weights::{Weights, read_safetensors, write_safetensors};
use serde::Serialize;
use serde::de::DeserializeOwned;

const STATE: &str = "state.json";

/// The checkpoints of one training.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    folder: PathBuf,
}

/// What a file of tensors holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// The state written last, if there is one of this format.
    ///
    /// A damaged file counts as none: the training then starts again.
    pub(crate) fn state<S: DeserializeOwned>(&self) -> Option<S> {
        let text = std::fs::read(self.folder.join(STATE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Makes an epoch the last one. Its tensors must be written.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn commit<S: Serialize>(&self, state: &S) -> Result<(), StageError> {
        let bytes = serde_json::to_vec(state).map_err(StageError::internal)?;
        self.write(STATE, &bytes)
    }

    /// Writes tensors of an epoch.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn save(&self, part: Part, epoch: u32, tensors: &Weights) -> Result<(), StageError> {
        let bytes = write_safetensors(tensors).map_err(StageError::internal)?;
        self.write(&file_name(part, epoch), &bytes)
    }

    /// Reads tensors of an epoch.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub(crate) fn load(&self, part: Part, epoch: u32) -> Result<Weights, StageError> {
        let path = self.folder.join(file_name(part, epoch));
        let bytes = std::fs::read(&path).map_err(|e| StageError::io("read", &path, &e))?;
        read_safetensors(&bytes)
            .map_err(|e| StageError::new(format!("checkpoint `{}`: {e}", path.display())))
    }

    /// Removes every file but the state and the given ones.
    pub(crate) fn keep_only(&self, kept: &[(Part, u32)]) {
        let names: BTreeSet<String> = kept
            .iter()
            .map(|&(part, epoch)| file_name(part, epoch))
            .chain([STATE.to_owned()])
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

fn file_name(part: Part, epoch: u32) -> String {
    match part {
        Part::Weights => format!("weights-{epoch}.safetensors"),
        Part::Optimizer => format!("optimizer-{epoch}.safetensors"),
    }
}
