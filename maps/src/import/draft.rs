//! The files of a new MAPS before they are written.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{ImportError, Note};
use crate::MapsError;
use crate::folder::read;
use crate::weights::{Checkpoint, WeightsError, read_pth, write_safetensors};

/// What a new file holds.
enum Body {
    Bytes(Vec<u8>),
    /// What this file holds.
    Copy(PathBuf),
}

/// Files to be written, by their path, and what was noticed.
pub(super) struct Draft {
    source: PathBuf,
    files: BTreeMap<String, Body>,
    pub(super) notes: Vec<Note>,
    /// Models that were converted.
    pub(super) models: usize,
}

impl Draft {
    pub(super) fn new(source: &Path) -> Self {
        Self {
            source: source.to_owned(),
            files: BTreeMap::new(),
            notes: Vec::new(),
            models: 0,
        }
    }

    pub(super) fn source(&self) -> &Path {
        &self.source
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Tells of something in the source.
    pub(super) fn note(&mut self, path: &str, message: impl Into<String>) {
        self.notes.push(Note {
            path: path.to_owned(),
            message: message.into(),
        });
    }

    /// Adds a file of these bytes.
    pub(super) fn bytes(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.insert(path.to_owned(), Body::Bytes(bytes));
    }

    /// Adds a file of the source.
    pub(super) fn copy(&mut self, from: &str, to: &str) {
        let from = self.source.join(from);
        self.files.insert(to.to_owned(), Body::Copy(from));
    }

    /// Reads a file of the source.
    pub(super) fn read<T>(
        &self,
        path: &str,
        parse: impl FnOnce(&[u8], &str) -> Result<T, MapsError>,
    ) -> Result<T, MapsError> {
        let file = self.source.join(path);
        parse(&read(&file)?, &file.display().to_string())
    }

    /// Reads weights of the source.
    pub(super) fn weights(&self, path: &str) -> Result<Checkpoint, MapsError> {
        self.read(path, |bytes, file| read_pth(bytes).map_err(wrong(file)))
    }

    /// Adds weights as safetensors.
    pub(super) fn safetensors(&mut self, path: &str, model: &Checkpoint) -> Result<(), MapsError> {
        let bytes = write_safetensors(&model.model).map_err(wrong(path))?;
        self.bytes(path, bytes);
        self.models += 1;
        Ok(())
    }

    /// The names in a folder of the source, sorted; none if it is not there.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.source.join(folder));
        let names = entries.into_iter().flatten();
        let mut names: Vec<String> = names
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.source.join(path).exists()
    }

    /// Writes everything into a folder beside `target`.
    pub(super) fn stage(&self, target: &Path) -> Result<tempfile::TempDir, ImportError> {
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(ImportError::io("create folder", parent))?;
        let staging = tempfile::Builder::new()
            .prefix(".import-")
            .tempdir_in(parent)
            .map_err(ImportError::io("create a folder in", parent))?;
        let folder = staging.path().join("maps");
        for (path, body) in &self.files {
            write(&folder.join(path), body)?;
        }
        Ok(staging)
    }
}

fn wrong(file: &str) -> impl FnOnce(WeightsError) -> MapsError {
    let file = file.to_owned();
    move |source| MapsError::Weights { file, source }
}

fn write(path: &Path, body: &Body) -> Result<(), ImportError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(ImportError::io("create folder", parent))?;
    }
    match body {
        Body::Bytes(bytes) => fs::write(path, bytes).map_err(ImportError::io("write", path)),
        Body::Copy(file) => {
            fs::copy(file, path).map_err(ImportError::io("copy", file))?;
            fs::set_permissions(path, Permissions::from_mode(0o644))
                .map_err(ImportError::io("set permissions of", path))
        }
    }
}
