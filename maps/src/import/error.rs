//! Why a MAPS is not imported.

use std::io;
use std::path::{Path, PathBuf};

use crate::MapsError;

/// Why an import was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The MAPS or one of its files cannot be read.
    #[error("{}", .0.full_message())]
    Maps(Box<MapsError>),
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
    /// The place is taken.
    #[error("`{}` exists already", .0.display())]
    Exists(PathBuf),
    /// The target would change the source.
    #[error("`{}` is in the MAPS that is imported", .0.display())]
    Inside(PathBuf),
    /// There is no split with a model.
    #[error("`{}` has no split with a trained model", .0.display())]
    NothingTrained(PathBuf),
    /// A network or task that no `maps.json` can tell of.
    #[error("`{file}` describes {what}, expected {expected}")]
    Unknown {
        /// The file.
        file: String,
        /// What it describes.
        what: String,
        /// What can be imported.
        expected: &'static str,
    },
}

impl From<MapsError> for ImportError {
    fn from(error: MapsError) -> Self {
        Self::Maps(Box::new(error))
    }
}

impl ImportError {
    pub(super) fn io(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { act, path, source }
    }

    /// What the user can do.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Maps(error) => return error.hints(),
            Self::Exists(_) => "name another place, or remove it",
            Self::Inside(_) => "name a place outside: the source is only read",
            Self::NothingTrained(_) => "an unfinished training has nothing to import",
            Self::Unknown { .. } => {
                "a model of your own has to be trained again, with `Layers` or `weights`"
            }
            Self::Io { .. } => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}
