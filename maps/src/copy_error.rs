//! What goes wrong where a MAPS is made of another one, by an import or an export.

use std::io;
use std::path::{Path, PathBuf};

use crate::MapsError;

/// Why files of a MAPS are not read, or not written to their new place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
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
}

impl CopyError {
    /// An error of what was being done on a path.
    pub(crate) fn io(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { act, path, source }
    }

    /// What the user can do.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Maps(error) => error.hints(),
            Self::Exists(_) => vec!["name another place, or remove it".to_owned()],
            Self::Io { .. } => Vec::new(),
        }
    }
}

impl From<MapsError> for CopyError {
    fn from(error: MapsError) -> Self {
        Self::Maps(Box::new(error))
    }
}
