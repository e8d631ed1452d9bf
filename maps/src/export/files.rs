//! The files of a MAPS.

use std::fs;
use std::path::Path;

use engine::Digest;
use engine::provenance::{BLAKE3_SUMS, SHA256_SUMS};
use engine::publish::{PUBLISHED, PublishedList};

use super::ExportError;
use super::place;

/// What an export is made of.
pub(super) struct Found {
    /// Paths relative to the MAPS, sorted, without the lists that are made anew.
    pub(super) paths: Vec<String>,
    /// Files that were not published.
    pub(super) foreign: Vec<String>,
}

/// Lists a MAPS: what was published, and is unchanged, where that is known; else everything.
pub(super) fn find(source: &Path) -> Result<Found, ExportError> {
    let mut paths = Vec::new();
    walk(source, "", &mut paths)?;
    paths.sort();
    let is_made_anew = |path: &str| [BLAKE3_SUMS, SHA256_SUMS, PUBLISHED].contains(&path);
    let list = match fs::read(place(source, PUBLISHED)) {
        Ok(bytes) => serde_json::from_slice::<PublishedList>(&bytes).ok(),
        Err(_) => None,
    };
    let Some(list) = list else {
        paths.retain(|path| !is_made_anew(path));
        return Ok(Found {
            paths,
            foreign: Vec::new(),
        });
    };
    for (path, published) in &list.files {
        let now = Digest::of_file(&place(source, path));
        if !now.is_ok_and(|(digest, _)| digest == published.digest) {
            return Err(ExportError::Changed(path.clone()));
        }
    }
    let (mut paths, foreign): (Vec<_>, Vec<_>) = paths
        .into_iter()
        .filter(|path| path != PUBLISHED)
        .partition(|path| list.files.contains_key(path));
    paths.retain(|path| !is_made_anew(path));
    Ok(Found { paths, foreign })
}

fn walk(root: &Path, folder: &str, found: &mut Vec<String>) -> Result<(), ExportError> {
    let path = place(root, folder);
    for entry in fs::read_dir(&path).map_err(ExportError::io("list", &path))? {
        let entry = entry.map_err(ExportError::io("list", &path))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(ExportError::Name(entry.path().display().to_string()));
        };
        let relative = match folder {
            "" => name.to_owned(),
            _ => format!("{folder}/{name}"),
        };
        let kind = entry
            .file_type()
            .map_err(ExportError::io("look at", &path))?;
        if kind.is_symlink() {
            return Err(ExportError::Link(relative));
        } else if kind.is_dir() {
            walk(root, &relative, found)?;
        } else {
            found.push(relative);
        }
    }
    Ok(())
}
