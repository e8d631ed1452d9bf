//! A MAPS of ClinicaDL made one of this program.
//!
//! ```text
//! version_1  ClinicaDL 1.6.1 and before: the same files, old names    draft   files to be written
//! version_2  ClinicaDL 2.0: another layout                            network its networks
//! ```
//!
//! Everything that has a place here is carried, weights become safetensors too, and what has none is
//! told: in the result, and in `import.json` of the new folder. The source is only read.

mod draft;
mod error;
mod network;
mod version_1;
mod version_2;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::files::MapsJson;
use crate::folder::is_version_2;
use crate::layout::MAPS_JSON;
use crate::{CopyError, MapsError, MapsIssue, validate};
use draft::Draft;

pub use error::ImportError;

/// What does not map, in an imported MAPS.
pub const IMPORT_JSON: &str = "import.json";

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Which program wrote the source: `ClinicaDL 1.6` or `ClinicaDL 2.0`.
    pub from: String,
    /// Files written.
    pub files: usize,
    /// Models whose weights were written as safetensors too.
    pub models: usize,
    /// What was left out, or is not what it was.
    pub notes: Vec<Note>,
    /// What is wrong with the new MAPS: faults that the source had.
    pub issues: Vec<MapsIssue>,
}

/// Something that does not map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    /// The file or folder, relative to the source.
    pub path: String,
    /// A lower-case sentence without a full stop.
    pub message: String,
}

/// Makes `target`, which must not exist, of the MAPS in `source`.
///
/// `judge` tells what of the parameters this program cannot do: the networks are not known here.
///
/// ```
/// let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/maps/peer");
/// let folder = tempfile::tempdir()?;
/// let target = folder.path().join("maps");
/// let imported = maps::import::import(source.as_ref(), &target, &|_| Vec::new())?;
/// assert_eq!(imported.from, "ClinicaDL 1.6");
/// assert!(imported.issues.is_empty());
/// assert!(target.join("split-0/best-loss/model.safetensors").is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The source is no MAPS, its parameters or weights cannot be read, the target exists or is inside the
/// source, any I/O error. Nothing is written then.
pub fn import(
    source: &Path,
    target: &Path,
    judge: &dyn Fn(&MapsJson) -> Vec<String>,
) -> Result<Imported, ImportError> {
    if fs::symlink_metadata(target).is_ok() {
        return Err(CopyError::Exists(target.to_owned()).into());
    }
    if is_inside(target, source) {
        return Err(ImportError::Inside(target.to_owned()));
    }
    let mut draft = Draft::new(source);
    let (from, parameters) = if is_version_2(source) {
        ("ClinicaDL 2.0", version_2::fill(&mut draft)?)
    } else if source.join(MAPS_JSON).is_file() {
        ("ClinicaDL 1.6", version_1::fill(&mut draft)?)
    } else {
        return Err(MapsError::NotAMaps(source.to_owned()).into());
    };
    for message in judge(&parameters) {
        draft.note(MAPS_JSON, message);
    }
    draft.notes.sort();
    let notes = draft.notes.clone();
    let document = serde_json::json!({ "format": 1, "from": from, "notes": notes });
    draft.bytes(IMPORT_JSON, format!("{document:#}\n").into_bytes());
    let (files, models) = (draft.len(), draft.models);
    let staging = draft.stage(target)?;
    let folder = staging.path().join("maps");
    let issues = validate(&folder);
    // A rename replaces an empty folder that came meanwhile.
    if fs::symlink_metadata(target).is_ok() {
        return Err(CopyError::Exists(target.to_owned()).into());
    }
    fs::rename(&folder, target).map_err(ImportError::io("write", target))?;
    Ok(Imported {
        from: from.to_owned(),
        files,
        models,
        notes,
        issues,
    })
}

/// Whether a path would be below a folder.
fn is_inside(path: &Path, folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else {
        return false;
    };
    let known = path.ancestors().skip(1).find_map(|parent| {
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        parent.canonicalize().ok()
    });
    known.is_some_and(|parent: PathBuf| parent.starts_with(folder))
}
