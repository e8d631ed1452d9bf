//! Taking what a program left, if it is what was declared and nothing else.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use engine::{Output, StageError};

use super::CommandOutput;
use super::place::Places;

/// Folders inside folders that are still taken.
const DEEPEST: usize = 100;

/// Moves a declared file or folder into an output.
///
/// # Errors
/// It is missing, holds something that is no regular file, or leads out of the working folder.
pub(super) fn collect(
    places: &Places,
    declared: &CommandOutput,
    output: &Output,
) -> Result<(), StageError> {
    let path = places.folder().join(&declared.path);
    let shown = &declared.path;
    let metadata = fs::metadata(&path).map_err(|_| {
        StageError::new(format!("the program did not write `{shown}`"))
            .hint("its working folder is where relative paths lead; or use `{outputs.NAME}`")
    })?;
    let root = places
        .folder()
        .canonicalize()
        .map_err(|e| StageError::io("look at", places.folder(), &e))?;
    if metadata.is_dir() {
        take_folder(&root, &path, shown, output, "", 0)
    } else {
        let name = Path::new(shown).file_name().unwrap_or_default();
        take_file(&root, &path, shown, output, &name.to_string_lossy())
    }
}

fn take_folder(
    root: &Path,
    folder: &Path,
    shown: &str,
    output: &Output,
    prefix: &str,
    depth: usize,
) -> Result<(), StageError> {
    is_inside(root, folder, shown)?;
    if depth > DEEPEST {
        return Err(StageError::new(format!("`{shown}` is nested too deeply")));
    }
    let entries = fs::read_dir(folder).map_err(|e| StageError::io("list", folder, &e))?;
    for entry in entries {
        let entry = entry.map_err(|e| StageError::io("list", folder, &e))?;
        let path = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(StageError::new(format!(
                "`{shown}` holds a file whose name is not Unicode"
            )));
        };
        let (shown, inside) = (format!("{shown}/{name}"), format!("{prefix}{name}"));
        if fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            take_folder(
                root,
                &path,
                &shown,
                output,
                &format!("{inside}/"),
                depth + 1,
            )?;
        } else {
            take_file(root, &path, &shown, output, &inside)?;
        }
    }
    Ok(())
}

fn take_file(
    root: &Path,
    path: &Path,
    shown: &str,
    output: &Output,
    inside: &str,
) -> Result<(), StageError> {
    is_inside(root, path, shown)?;
    if !fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return Err(StageError::new(format!(
            "`{shown}`, which the program wrote, is no regular file"
        )));
    }
    let target = output.create_path(inside)?;
    // A link inside of the folder stands for its file. A file that has another name elsewhere could be
    // changed by it later: only its content is taken.
    let is_shared = fs::metadata(path).is_ok_and(|metadata| metadata.nlink() > 1);
    let moved = if path.is_symlink() || is_shared {
        fs::copy(path, &target).map(drop)
    } else {
        fs::rename(path, &target).or_else(|_| fs::copy(path, &target).map(drop))
    };
    moved.map_err(|e| StageError::io("take", path, &e))
}

/// Refuses what leads out of the working folder through a symbolic link.
fn is_inside(root: &Path, path: &Path, shown: &str) -> Result<(), StageError> {
    match path.canonicalize() {
        Ok(real) if real.starts_with(root) => Ok(()),
        Ok(_) => Err(StageError::new(format!(
            "`{shown}`, which the program wrote, leads out of its working folder"
        ))),
        Err(_) => Err(StageError::new(format!(
            "`{shown}`, which the program wrote, is a link to nothing"
        ))),
    }
}
