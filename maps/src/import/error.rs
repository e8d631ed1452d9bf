//! Why a MAPS is not imported.

use std::io;
use std::path::{Path, PathBuf};

use crate::{CopyError, MapsError};

/// Why an import was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Copy(#[from] CopyError),
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
        Self::Copy(error.into())
    }
}

impl ImportError {
    pub(super) fn io(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let of_copy = CopyError::io(act, path);
        |source| of_copy(source).into()
    }

    /// What the user can do.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Copy(error) => return error.hints(),
            Self::Inside(_) => "name a place outside: the source is only read",
            Self::NothingTrained(_) => "an unfinished training has nothing to import",
            Self::Unknown { .. } => {
                "a model of your own has to be trained again, with `Layers` or `weights`"
            }
        };
        vec![hint.to_owned()]
    }
}
