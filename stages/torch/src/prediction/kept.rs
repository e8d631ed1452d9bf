//! What is found, segment by segment, in the scratch folder: a prediction that was killed goes on behind
//! the last segment that is there.
//!
//! ```text
//! <scratch>/segment-<k>.json   what models said of its images; written when its files are
//!           files/…            files of images, as they will be in the output
//! ```

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use engine::store::write_atomically;
use engine::{Digest, Output, StageError};
use serde::{Deserialize, Serialize};

use crate::exact::Exact;
use crate::tasks::Said;

/// Of another program version nothing is read: it is told apart by this number.
const FORMAT: u32 = 1;

/// What was found in a segment.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    format: u32,
    /// By model, then turn, then place in it.
    pub(super) said: Vec<Vec<Vec<Words>>>,
    /// By model, then network: the sum of the losses of all batches so far.
    pub(super) losses: Vec<Vec<Exact>>,
    /// By model: images that were put together, by their number, with their measures.
    pub(super) images: Vec<Vec<(usize, Words)>>,
    /// Files that were written: they are not synced, so that their content tells whether they are whole.
    pub(super) files: Vec<Written>,
}

/// A file that was written, by its path in the output.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Written {
    path: String,
    digest: Digest,
}

/// What a network said, bit for bit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Words {
    Class(usize, Vec<Exact>),
    Number(Exact),
    Measures([Exact; 6]),
}

impl From<&Said> for Words {
    fn from(said: &Said) -> Self {
        match said {
            Said::Class {
                predicted,
                probabilities,
            } => Self::Class(
                *predicted,
                probabilities.iter().copied().map(Exact).collect(),
            ),
            Said::Number(number) => Self::Number(Exact(*number)),
            Said::Measures(measures) => Self::Measures(measures.map(Exact)),
        }
    }
}

impl From<Words> for Said {
    fn from(words: Words) -> Self {
        match words {
            Words::Class(predicted, probabilities) => Self::Class {
                predicted,
                probabilities: probabilities.into_iter().map(|number| number.0).collect(),
            },
            Words::Number(number) => Self::Number(number.0),
            Words::Measures(measures) => Self::Measures(measures.map(|number| number.0)),
        }
    }
}

impl Kept {
    /// Nothing yet, of so many models with so many networks each, and the sums of losses before.
    pub(super) fn of(turns: usize, losses: Vec<Vec<Exact>>) -> Self {
        let models = losses.len();
        Self {
            format: FORMAT,
            said: (0..models)
                .map(|_| (0..turns).map(|_| Vec::new()).collect())
                .collect(),
            losses,
            images: (0..models).map(|_| Vec::new()).collect(),
            files: Vec::new(),
        }
    }
}

/// The scratch folder of a prediction.
#[derive(Debug, Clone)]
pub(super) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// What was found in a segment, if it was finished and all of its files are whole.
    pub(super) fn read(&self, segment: usize) -> Option<Kept> {
        let bytes = std::fs::read(self.segment(segment)).ok()?;
        let kept: Kept = serde_json::from_slice(&bytes).ok()?;
        let is_whole = |file: &Written| {
            let bytes = std::fs::read(self.file(&file.path));
            bytes.is_ok_and(|bytes| Digest::of(&bytes) == file.digest)
        };
        (kept.format == FORMAT && kept.files.iter().all(is_whole)).then_some(kept)
    }

    /// Keeps what was found in a segment, whose files are written.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn keep(&self, segment: usize, kept: &Kept) -> Result<(), StageError> {
        let bytes = serde_json::to_vec(kept).map_err(StageError::internal)?;
        let path = self.segment(segment);
        write_atomically(&path, &bytes).map_err(|e| StageError::io("write", &path, &e))
    }

    /// Writes a file of the output.
    ///
    /// # Errors
    /// Any I/O error, naming the file.
    pub(super) fn write(&self, path: &str, bytes: &[u8]) -> Result<Written, StageError> {
        let target = self.file(path);
        let failed = |e: std::io::Error| StageError::io("write", &target, &e);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        // One that is there may be linked into the store.
        match std::fs::remove_file(&target) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed(e)),
            _ => std::fs::write(&target, bytes).map_err(failed)?,
        }
        Ok(Written {
            path: path.to_owned(),
            digest: Digest::of(bytes),
        })
    }

    /// Puts files of segments into the output. They stay here too until the result is stored, so that
    /// nothing is lost where that is interrupted.
    ///
    /// # Errors
    /// Any I/O error, naming the file.
    pub(super) fn put(&self, files: &[Written], output: &Output) -> Result<(), StageError> {
        for Written { path, .. } in files {
            let (source, target) = (self.file(path), output.create_path(path)?);
            // A file system may have no links.
            if std::fs::hard_link(&source, &target).is_err() {
                std::fs::copy(&source, &target)
                    .map_err(|e| StageError::io("write", &target, &e))?;
            }
        }
        Ok(())
    }

    fn segment(&self, segment: usize) -> PathBuf {
        self.folder.join(format!("segment-{segment}.json"))
    }

    fn file(&self, path: &str) -> PathBuf {
        self.folder.join("files").join(path)
    }
}
