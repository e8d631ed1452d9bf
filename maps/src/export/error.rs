//! Why a MAPS is not exported.

use std::io;
use std::path::{Path, PathBuf};

use crate::{CopyError, MapsError, MapsIssue};

/// Why an export was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The MAPS has faults, which its export would have too.
    #[error("`{}` is not a valid MAPS: {}", folder.display(), first(issues))]
    Invalid {
        /// The MAPS.
        folder: PathBuf,
        /// What is wrong with it.
        issues: Vec<MapsIssue>,
    },
    /// A file is not what was published.
    #[error("`{0}` was changed or removed after it was published")]
    Changed(String),
    /// A link, whose content is somewhere else.
    #[error("`{0}` is a symbolic link, expected a file or folder")]
    Link(String),
    /// A name that is not Unicode.
    #[error("`{0}` has a name that is not Unicode")]
    Name(String),
    /// A salt that could be guessed.
    #[error("the salt has {0} bytes, expected at least {least}", least = super::LEAST_SALT)]
    ShortSalt(usize),
    /// An ID that cannot be told from other words.
    #[error(
        "`{file}` names participant `{id}`, expected `sub-` and letters or digits: other IDs cannot be \
         found and replaced reliably"
    )]
    Participant {
        /// The file.
        file: String,
        /// The ID.
        id: String,
    },
    /// Two files or participants would get one name.
    #[error("two files or participants would both be called `{0}`")]
    Collision(String),
    /// Something that may not be shared is left.
    #[error("`{file}` would still hold {what}")]
    Leak {
        /// The file, as named in the export.
        file: String,
        /// What is left.
        what: String,
    },
    /// A bug: the export of a valid MAPS is none.
    #[error("the export would not be a valid MAPS: {}", first(.0))]
    Broken(Vec<MapsIssue>),
}

impl From<MapsError> for ExportError {
    fn from(error: MapsError) -> Self {
        Self::Copy(error.into())
    }
}

impl ExportError {
    pub(super) fn io(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let of_copy = CopyError::io(act, path);
        |source| of_copy(source).into()
    }

    /// What the user can do.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Copy(error) => return error.hints(),
            Self::Changed(_) => "run the experiment again to publish it anew",
            Self::Leak { .. } => {
                "nothing was written; leave the file out of the MAPS or change the manifest, then \
                 publish again"
            }
            Self::ShortSalt(_) => "`--new-salt FILE` writes a good one",
            Self::Participant { .. } => {
                "participants: keep, in a policy file, shares the IDs as they are"
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

fn first(issues: &[MapsIssue]) -> String {
    match issues {
        [] => "no reason known".to_owned(),
        [only] => only.to_string(),
        [first, others @ ..] => format!("{first}, and {} more", others.len()),
    }
}
