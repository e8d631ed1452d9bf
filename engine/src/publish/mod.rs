//! Publishing: the folder that people read, assembled from the store and swapped in whole.
//!
//! What was published is listed in `provenance/published.json` inside the folder. A folder without
//! that list, or with files that are not on it, holds somebody else's work: it is never touched.
//! A listed file whose bytes changed since is not overwritten silently either.

mod swap;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::error::StageError;
use crate::store::{Store, Tree};

pub use swap::{publish, set_aside};

/// Where the list of published files is, relative to the folder.
pub const PUBLISHED: &str = "provenance/published.json";

/// Whether a published file is a result, and not an account of how results were made.
pub fn is_result(path: &str) -> bool {
    !path.starts_with("provenance/") && path != "ro-crate-metadata.json"
}

/// An artifact that a publisher may put into the folder.
#[derive(Debug, Clone)]
pub struct FinishedArtifact {
    /// The stage's name in the manifest.
    pub stage_name: String,
    /// The stage's ID.
    pub stage_id: String,
    /// The output port.
    pub port: String,
    /// Kind of artifact.
    pub kind: String,
    /// The split.
    pub split: Option<usize>,
    /// The stage's resolved parameters.
    pub params: Value,
    /// Its files.
    pub tree: Tree,
}

/// The content of a published file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An object of the store.
    Object(Digest),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// A file to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFile {
    /// `/`-separated path relative to the published folder.
    pub path: String,
    /// Its content.
    pub content: Content,
}

/// Decides where artifacts go; the engine does the writing.
pub trait Publisher: Sync {
    /// The files of the folder. `read` gives the bytes of an object.
    ///
    /// # Errors
    /// Artifacts that cannot be put side by side.
    fn layout(
        &self,
        artifacts: &[FinishedArtifact],
        read: &dyn Fn(&Digest) -> Result<Vec<u8>, StageError>,
    ) -> Result<Vec<PublishedFile>, StageError>;
}

/// The list of files of a published folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedList {
    /// Version of this list.
    pub format: u32,
    /// Digest and size by path, this list excepted.
    pub files: BTreeMap<String, crate::store::TreeFile>,
}

/// What publishing did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublishOutcome {
    /// The folder already had exactly these files.
    UpToDate,
    /// The folder was written.
    Written,
}

/// Why a folder was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The folder holds files that were not published by this program.
    #[error("`{}` holds files that were not published here: {}", folder.display(), some(files))]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// Their paths.
        files: Vec<String>,
    },
    /// Published files were changed or removed by hand.
    #[error("published files in `{}` were changed by hand: {}", folder.display(), some(files))]
    Tampered {
        /// The folder.
        folder: PathBuf,
        /// Their paths.
        files: Vec<String>,
    },
    /// The target is a file.
    #[error("`{}` is a file, expected a folder or nothing", .0.display())]
    NotAFolder(PathBuf),
    /// Anything else.
    #[error(transparent)]
    Stage(#[from] StageError),
}

impl PublishError {
    /// What the user can do.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Foreign { .. } => vec![
                "name another folder with `maps:`, or move these files away; \
                 nothing was changed"
                    .to_owned(),
            ],
            Self::Tampered { folder, .. } => vec![format!(
                "`clinicadl run --restore` moves them to a folder beside `{}` and publishes what was \
                 computed; nothing was changed",
                folder.display()
            )],
            Self::NotAFolder(_) => vec!["name another folder with `maps:`".to_owned()],
            Self::Stage(error) => error.hints.clone(),
        }
    }
}

fn some(files: &[String]) -> String {
    let shown: Vec<String> = files
        .iter()
        .take(5)
        .map(|file| format!("`{file}`"))
        .collect();
    match files.len() {
        n if n > 5 => format!("{} and {} more", shown.join(", "), n - 5),
        _ => shown.join(", "),
    }
}

/// Reads the list of what was published in a folder.
pub(crate) fn read_list(folder: &Path) -> Option<PublishedList> {
    let bytes = std::fs::read(folder.join(PUBLISHED)).ok()?;
    serde_json::from_slice::<PublishedList>(&bytes)
        .ok()
        .filter(|list| list.format == 1)
}

/// The list of files that are to be published.
///
/// # Errors
/// An object is not in the store, or two files have one path.
pub fn list(files: &[PublishedFile], store: &Store) -> Result<PublishedList, StageError> {
    swap::list_of(files, store)
}

/// Bytes of an object, for publishers.
///
/// # Errors
/// The object cannot be read.
pub fn read_object(store: &Store, digest: &Digest) -> Result<Vec<u8>, StageError> {
    let path = store.object_path(digest);
    std::fs::read(&path).map_err(|e| StageError::io("read", &path, &e))
}
