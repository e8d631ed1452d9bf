//! Taking what a program left, if it is what was declared and nothing else.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use engine::{Context, StageError};

use super::CommandParams;
use super::place::Places;

/// Folders inside folders that are still taken.
const DEEPEST: usize = 100;

/// Moves the declared files and folders into the outputs.
///
/// # Errors
/// One is missing or without a file, holds something that is no regular file, or leads out of the
/// working folder.
pub(super) fn collect(
    places: &Places,
    params: &CommandParams,
    context: &Context,
) -> Result<(), StageError> {
    let root = places
        .folder()
        .canonicalize()
        .map_err(|e| StageError::io("look at", places.folder(), &e))?;
    let mut found = Vec::new();
    for (name, declared) in &params.outputs {
        let path = root.join(&declared.path);
        let shown = &declared.path;
        let metadata = fs::metadata(&path).map_err(|_| {
            StageError::new(format!("the program did not write `{shown}`"))
                .hint("its working folder is where relative paths lead; or use `{outputs.NAME}`")
        })?;
        let mut finding = Finding {
            root: &root,
            files: Vec::new(),
        };
        if metadata.is_dir() {
            finding.folder(&path, shown, "", 0)?;
        } else {
            let name = Path::new(shown).file_name().unwrap_or_default();
            finding.file(&path, shown, &name.to_string_lossy())?;
        }
        if finding.files.is_empty() {
            return Err(StageError::new(format!(
                "the program left no file in `{shown}`, which it declares as an output"
            )));
        }
        found.push((context.output(name)?, finding.files));
    }
    // A link may stand for a file that another output, or another place of this one, will take away.
    for copies in [true, false] {
        for (output, files) in &found {
            for file in files.iter().filter(|file| file.is_copied == copies) {
                file.take(&output.create_path(&file.inside)?)?;
            }
        }
    }
    Ok(())
}

/// A file that an output takes.
struct Found {
    path: PathBuf,
    /// Its path in the output.
    inside: String,
    /// Reached through a link, or with another name elsewhere that could change it later: only its
    /// content is taken.
    is_copied: bool,
}

impl Found {
    fn take(&self, target: &Path) -> Result<(), StageError> {
        let copy = || fs::copy(&self.path, target).map(drop);
        let taken = if self.is_copied {
            copy()
        } else {
            fs::rename(&self.path, target).or_else(|_| copy())
        };
        taken.map_err(|e| StageError::io("take", &self.path, &e))
    }
}

struct Finding<'a> {
    root: &'a Path,
    files: Vec<Found>,
}

impl Finding<'_> {
    fn folder(
        &mut self,
        folder: &Path,
        shown: &str,
        prefix: &str,
        depth: usize,
    ) -> Result<(), StageError> {
        self.real_path(folder, shown)?;
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
                self.folder(&path, &shown, &format!("{inside}/"), depth + 1)?;
            } else {
                self.file(&path, &shown, &inside)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, shown: &str, inside: &str) -> Result<(), StageError> {
        let real = self.real_path(path, shown)?;
        let metadata = fs::metadata(path).ok().filter(Metadata::is_file);
        let Some(metadata) = metadata else {
            return Err(StageError::new(format!(
                "`{shown}`, which the program wrote, is no regular file"
            )));
        };
        self.files.push(Found {
            is_copied: metadata.nlink() > 1 || real != path,
            path: real,
            inside: inside.to_owned(),
        });
        Ok(())
    }

    /// Where a path leads without links; refuses what leads out of the working folder.
    fn real_path(&self, path: &Path, shown: &str) -> Result<PathBuf, StageError> {
        match path.canonicalize() {
            Ok(real) if real.starts_with(self.root) => Ok(real),
            Ok(_) => Err(StageError::new(format!(
                "`{shown}`, which the program wrote, leads out of its working folder"
            ))),
            Err(_) => Err(StageError::new(format!(
                "`{shown}`, which the program wrote, is a link to nothing"
            ))),
        }
    }
}
