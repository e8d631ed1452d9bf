//! A copy of a MAPS that may be shared: without participant IDs, clinical columns, images of
//! participants and places of the machine it was made on.
//!
//! ```text
//! files     what is in the MAPS        names    participant IDs and what stands for them
//! content   one file, redacted         records  provenance made to fit again
//! tables    columns of tables          package  a folder or a zip archive, whole or not at all
//! scan      what may not be left
//! ```
//!
//! Redacting is a list of what is known; that list may have a gap. The finished export is therefore
//! searched for every ID and for absolute paths, file names included, and is not written if any is left.

mod content;
mod error;
mod files;
mod names;
mod package;
mod records;
mod scan;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use engine::manifest::{Images, Participants, Redaction};
use serde::Serialize;

pub use error::ExportError;

use crate::validate::validate_content;
use crate::{CopyError, Maps};
use content::{Body, Redactor};
use names::Names;

/// A salt shorter than this could be guessed.
pub const LEAST_SALT: usize = 16;

/// What an export did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Files written.
    pub files: usize,
    /// Participants whose IDs were replaced.
    pub participants: usize,
    /// Images of participants that were left out.
    pub images_left_out: usize,
    /// Columns that were left out of some table, sorted.
    pub columns_left_out: BTreeSet<String>,
    /// Files of the folder that are no part of the MAPS, and were left out.
    pub foreign_left_out: Vec<String>,
}

/// Writes what `policy` lets be shared of a MAPS as `target`: a folder, or an archive if its name ends
/// with `.zip`.
///
/// `salt` is needed where participants are salted; the same salt gives the same IDs.
///
/// # Errors
/// The MAPS is not valid or was changed by hand, the target exists, an ID or absolute path would be left
/// in the export, any I/O error. Nothing is written then.
pub fn export(
    source: &Path,
    target: &Path,
    policy: &Redaction,
    salt: &[u8],
) -> Result<Exported, ExportError> {
    if std::fs::symlink_metadata(target).is_ok() {
        return Err(CopyError::Exists(target.to_owned()).into());
    }
    if policy.participants == Participants::Salted && salt.len() < LEAST_SALT {
        return Err(ExportError::ShortSalt(salt.len()));
    }
    let maps = Maps::open(source)?;
    let issues = validate_content(source);
    if !issues.is_empty() {
        return Err(ExportError::Invalid {
            folder: source.to_owned(),
            issues,
        });
    }
    let found = files::find(source)?;
    let ids = names::find(source, &found.paths)?;
    let names = match policy.participants {
        Participants::Salted => Names::salted(&ids, salt)?,
        Participants::Keep => Names::kept(),
    };
    let label = maps.parameters().label()?.map(str::to_owned);
    let mut redactor = Redactor::new(&names, policy, label);
    let mut bodies: BTreeMap<String, Body> = BTreeMap::new();
    let mut renamed = engine::provenance::Renamed::default();
    let mut images_left_out = 0;
    for old in &found.paths {
        if policy.images == Images::Drop && is_image_of_participant(old) {
            images_left_out += 1;
            continue;
        }
        let new = names.replace(old).into_owned();
        renamed.kept.insert(old.clone(), new.clone());
        let body = redactor.redact(source, old)?;
        if bodies.insert(new.clone(), body).is_some() {
            return Err(ExportError::Collision(new));
        }
    }
    let mut exported = Exported {
        files: 0,
        participants: names.len(),
        images_left_out,
        columns_left_out: redactor.into_columns_left_out(),
        foreign_left_out: found.foreign,
    };
    records::rebuild(source, &mut bodies, renamed, policy, &exported, &names)?;
    exported.files = bodies.len();
    scan::check(&bodies, &names)?;
    package::write(target, &bodies)?;
    Ok(exported)
}

/// Whether a file is an image, or another array, of one participant.
fn is_image_of_participant(path: &str) -> bool {
    const ARRAYS: [&str; 7] = [
        ".nii",
        ".nii.gz",
        ".pt",
        ".npy",
        ".npz",
        ".png",
        ".safetensors",
    ];
    let lower = path.to_ascii_lowercase();
    ARRAYS.iter().any(|end| lower.ends_with(end)) && names::tokens(path).next().is_some()
}

/// Where a file of the MAPS is.
fn place(source: &Path, path: &str) -> PathBuf {
    source.join(path)
}
