//! Trees: the content of an artifact as relative paths with digests.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::digest::Digest;
use crate::key::canonical;

/// The files of an artifact by `/`-separated relative path, sorted by the bytes of the path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// Digest and size of each file.
    pub files: BTreeMap<String, TreeFile>,
}

/// One file of a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeFile {
    /// Content digest.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

impl Tree {
    /// The canonical bytes, whose digest is the digest of the artifact.
    ///
    /// # Panics
    /// Never: every field has a JSON form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let value = serde_json::to_value(self).expect("a tree has string keys only");
        canonical(&value).into_bytes()
    }

    /// Reads canonical bytes; `None` for anything else, or a path that would leave the tree.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let tree: Self = serde_json::from_slice(bytes).ok()?;
        tree.files
            .keys()
            .all(|path| is_relative(path))
            .then_some(tree)
    }

    /// The digest of the artifact.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// Bytes of all files together.
    pub fn size(&self) -> u64 {
        self.files.values().map(|file| file.size).sum()
    }
}

/// Whether a `/`-separated path stays below the folder it is relative to.
pub(crate) fn is_relative(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Folders inside folders that are still listed.
const DEEPEST: usize = 100;

/// Every file below `folder` as a sorted relative path; symbolic links are followed.
pub(crate) fn walk(folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    descend(folder, "", &mut found)?;
    found.sort();
    Ok(found)
}

fn descend(folder: &Path, prefix: &str, found: &mut Vec<String>) -> Result<(), StoreError> {
    // A link to a folder above would never end; real trees are never this deep.
    if prefix.bytes().filter(|&byte| byte == b'/').count() > DEEPEST {
        let error = io::Error::other("folders are nested too deeply; does a link lead back up?");
        return Err(StoreError::io("list", folder)(error));
    }
    let entries = fs::read_dir(folder).map_err(StoreError::io("list", folder))?;
    for entry in entries {
        let entry = entry.map_err(StoreError::io("list", folder))?;
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            let error = io::Error::new(io::ErrorKind::InvalidData, "file name is not Unicode");
            return Err(StoreError::io("list", &path)(error));
        };
        let relative = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        };
        // What the folder itself tells saves a look at every file; links have to be followed.
        let is_folder = match entry.file_type() {
            Ok(kind) if !kind.is_symlink() => kind.is_dir(),
            _ => fs::metadata(&path)
                .map_err(StoreError::io("look at", &path))?
                .is_dir(),
        };
        if is_folder {
            descend(&path, &relative, found)?;
        } else {
            found.push(relative);
        }
    }
    Ok(())
}

/// A folder and every folder below it, links followed; nothing for a file, and `None` for what cannot
/// be listed.
pub(crate) fn folders_in(path: &Path) -> Option<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![(path.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        if depth > DEEPEST {
            return None;
        }
        if !fs::metadata(&folder).ok()?.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).ok()? {
            let entry = entry.ok()?;
            if !entry.file_type().ok()?.is_file() {
                open.push((entry.path(), depth + 1));
            }
        }
        found.push(folder);
    }
    Some(found)
}
