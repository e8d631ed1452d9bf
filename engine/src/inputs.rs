//! What is read from outside: folders and files named by a manifest, hashed by content.
//!
//! Only the files that a stage selects are hashed and visible to it. Modification times, names of
//! parent folders and links play no part: moving a dataset is no change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::context::{Input, InputFile};
use crate::digest::Digest;
use crate::error::StageError;
use crate::store::{StatCache, Tree, TreeFile, walk_folder};

/// The relative path under which an input that is one file appears.
pub const ONLY_FILE: &str = "content";

/// Reads an external file or folder as an input of `kind`.
///
/// `shown` is what to call it in messages. Of a folder, files for which `selects` holds are hashed,
/// in parallel; of a file, its content under the name [`ONLY_FILE`].
///
/// # Errors
/// The path does not exist, or something below it cannot be read.
pub fn read_external(
    path: &Path,
    kind: &str,
    shown: &str,
    selects: &(dyn Fn(&str) -> bool + Sync),
    stats: &StatCache,
) -> Result<Input, StageError> {
    Listing::of(path)?.read(kind, shown, selects, stats)
}

/// The names of the files of an external file or folder, nothing read yet.
#[derive(Debug)]
pub struct Listing {
    path: PathBuf,
    /// Relative paths; `None` for a file.
    names: Option<Vec<String>>,
}

impl Listing {
    /// Lists a folder, or finds a file.
    ///
    /// # Errors
    /// The path does not exist, or a folder below it cannot be read.
    pub fn of(path: &Path) -> Result<Self, StageError> {
        let metadata = std::fs::metadata(path).map_err(|e| {
            let error = StageError::io("open", path, &e);
            if path.is_symlink() {
                error.hint("it is a symbolic link to nothing")
            } else {
                error
            }
        })?;
        let names = if metadata.is_dir() {
            let mut names = walk_folder(path)?;
            names.retain(|name| !is_clutter(name));
            Some(names)
        } else {
            None
        };
        // One name for each file, wherever the engine is started: what is known of it stays known.
        let path = path
            .canonicalize()
            .map_err(|e| StageError::io("open", path, &e))?;
        Ok(Self { path, names })
    }

    /// Hashes the selected files; see [`read_external`].
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(
        &self,
        kind: &str,
        shown: &str,
        selects: &(dyn Fn(&str) -> bool + Sync),
        stats: &StatCache,
    ) -> Result<Input, StageError> {
        let read = |name: &str, path: PathBuf, shown: String| {
            let (digest, size) = stats
                .digest_of(&path)
                .map_err(|e| StageError::io("read", &path, &e))?;
            let file = InputFile {
                path,
                shown,
                digest,
                size,
            };
            Ok::<_, StageError>((name.to_owned(), file))
        };
        let files = match &self.names {
            None => [read(ONLY_FILE, self.path.clone(), shown.to_owned())?].into(),
            Some(names) => names
                .par_iter()
                .filter(|name| selects(name))
                .map(|name| read(name, self.path.join(name), format!("{shown}/{name}")))
                .collect::<Result<BTreeMap<_, _>, StageError>>()?,
        };
        Ok(input_of(kind, shown, files))
    }
}

/// An input made of these files.
pub fn input_of(kind: &str, shown: &str, files: BTreeMap<String, InputFile>) -> Input {
    let mut input = Input {
        kind: kind.to_owned(),
        digest: Digest::of(b""),
        shown: shown.to_owned(),
        files,
    };
    input.digest = tree_of(&input).digest();
    input
}

/// The content of an input as a tree, whose digest is the input's.
pub fn tree_of(input: &Input) -> Tree {
    Tree {
        files: input
            .files
            .iter()
            .map(|(name, file)| {
                (
                    name.clone(),
                    TreeFile {
                        digest: file.digest,
                        size: file.size,
                    },
                )
            })
            .collect(),
    }
}

/// The splits that an external folder holds: the numbers of its folders `split-<i>`, sorted.
pub fn splits_of(input: &Input) -> Vec<usize> {
    let mut splits: Vec<usize> = input
        .files
        .keys()
        .filter_map(|name| split_number(name))
        .collect();
    splits.sort_unstable();
    splits.dedup();
    splits
}

/// What an action for `split` sees of an external folder: the files below `split-<split>/` without
/// that prefix, and those outside any split folder.
pub fn split_view(input: &Input, split: usize) -> Input {
    let prefix = format!("split-{split}/");
    let files = input
        .files
        .iter()
        .filter_map(|(name, file)| match name.strip_prefix(&prefix) {
            Some(inside) => Some((inside.to_owned(), file.clone())),
            None if split_number(name).is_none() => Some((name.clone(), file.clone())),
            None => None,
        })
        .collect();
    input_of(
        &input.kind,
        &format!("{} (split {split})", input.shown),
        files,
    )
}

fn split_number(name: &str) -> Option<usize> {
    name.strip_prefix("split-")?.split_once('/')?.0.parse().ok()
}

/// Files that operating systems and version control leave in any folder.
fn is_clutter(name: &str) -> bool {
    name.split('/')
        .any(|part| part == ".DS_Store" || part == ".git" || part.starts_with("._"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    fn read(path: &Path) -> Input {
        let selects = |name: &str| !name.ends_with(".log");
        read_external(path, "maps", "in", &selects, &StatCache::default()).unwrap()
    }

    #[test]
    fn a_moved_folder_with_clutter_and_unselected_files_has_the_same_digest() {
        let first = folder(&[("a/x", "1"), ("b", "2")]);
        let second = folder(&[
            ("a/x", "1"),
            ("b", "2"),
            ("c.log", "3"),
            (".DS_Store", ""),
            ("a/._x", ""),
        ]);
        assert_eq!(read(first.path()).digest, read(second.path()).digest);
        fs::rename(second.path().join("b"), second.path().join("c")).unwrap();
        assert_ne!(read(first.path()).digest, read(second.path()).digest);
    }

    #[test]
    fn a_split_sees_its_own_files_and_the_shared_ones() {
        let folder = folder(&[
            ("maps.json", "{}"),
            ("split-0/w", "0"),
            ("split-2/w", "2"),
            ("splitter", ""),
        ]);
        let input = read(folder.path());
        assert_eq!(splits_of(&input), [0, 2]);
        let view = split_view(&input, 2);
        assert_eq!(
            view.files.keys().collect::<Vec<_>>(),
            ["maps.json", "splitter", "w"]
        );
        assert_eq!(fs::read_to_string(&view.files["w"].path).unwrap(), "2");
    }

    #[test]
    fn a_missing_path_is_named() {
        let nowhere = Path::new("/nowhere/at/all");
        let error = read_external(nowhere, "t", "x", &|_| true, &StatCache::default()).unwrap_err();
        assert!(error.message.contains("/nowhere/at/all"), "{error}");
    }
}
