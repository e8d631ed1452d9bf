//! Where a manifest may publish: inside of its own project.
//!
//! A manifest of an unknown source must not choose where on a machine it writes. Its folder is relative
//! to the manifest and stays, `..` and links followed, inside of the project: the git working tree that
//! holds the manifest, or else the manifest's own folder. Who runs it may choose any other folder on the
//! command line.

use indexmap::IndexMap;
use std::path::{Component, Path, PathBuf};

use super::files::folder_of;

/// Why a folder is refused, and what to do.
pub(super) type Problem = (String, Option<String>);

/// The project of a manifest.
#[derive(Debug)]
pub(super) struct Project {
    /// The manifest's folder, for paths that are shown.
    folder: PathBuf,
    /// The same without links.
    real_folder: PathBuf,
    /// The project's root, without links.
    root: PathBuf,
    /// Existing folders without links, looked up once.
    real: IndexMap<PathBuf, Option<PathBuf>>,
}

impl Project {
    pub(super) fn of(manifest: &Path) -> Self {
        let folder = folder_of(manifest);
        let real_folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let root = real_folder
            .ancestors()
            .find(|ancestor| ancestor.join(".git").exists())
            .unwrap_or(&real_folder)
            .to_owned();
        Self {
            folder,
            real_folder,
            root,
            real: IndexMap::new(),
        }
    }

    /// The folder that `maps:` names.
    pub(super) fn publication(&mut self, maps: &str) -> Result<PathBuf, Problem> {
        let written = Path::new(maps);
        let on_request = "to publish elsewhere, name the folder yourself: `run --maps FOLDER`";
        let refuse = |why: &str| {
            let shown = super::node::shorten(maps);
            Err((format!("`{shown}` {why}"), Some(on_request.to_owned())))
        };
        if maps.is_empty() || maps.chars().any(char::is_control) {
            return refuse("is not the name of a folder");
        }
        if written.is_absolute() {
            return refuse("is not relative to the manifest");
        }
        let Some(real) = normal(&self.real_folder.join(written)) else {
            return refuse("leaves the file system");
        };
        if !real.starts_with(&self.root) {
            return refuse(&format!(
                "is outside of the project `{}`",
                self.shown_root()
            ));
        }
        if real == self.root || self.real_folder.starts_with(&real) {
            return refuse("holds the manifest itself, expected a folder of its own");
        }
        let inside = real.strip_prefix(&self.root).unwrap_or(&real);
        let reserved = [".git", ".clinicadl"];
        if inside
            .components()
            .any(|part| reserved.iter().any(|name| part.as_os_str() == *name))
        {
            return refuse("is inside of a folder that belongs to git or to the store");
        }
        match self.end_of_links(&real) {
            Some(end) if end.starts_with(&self.root) => {}
            Some(_) => return refuse("leads out of the project through a link"),
            None => return refuse("leads through a link to nothing"),
        }
        // Shown as written, where that stays the same folder.
        let shown = normal(written).filter(|path| !path.as_os_str().is_empty());
        Ok(shown.map_or(real, |path| self.folder.join(path)))
    }

    fn shown_root(&self) -> String {
        self.root.file_name().map_or_else(
            || self.root.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// Where a path leads once links are followed, as far as it exists; `None` if a link leads nowhere.
    fn end_of_links(&mut self, path: &Path) -> Option<PathBuf> {
        for ancestor in path.ancestors() {
            if let Some(known) = self.real.get(ancestor) {
                return known.clone();
            }
            if ancestor.symlink_metadata().is_ok() {
                let real = ancestor.canonicalize().ok();
                self.real.insert(ancestor.to_owned(), real.clone());
                return real;
            }
        }
        None
    }
}

/// A path without `.` and `..`; `None` if it goes above its start.
pub(super) fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    let mut depth = 0_usize;
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                depth = depth.checked_sub(1)?;
                normal.pop();
            }
            Component::Normal(_) => {
                depth += 1;
                normal.push(part);
            }
            Component::RootDir | Component::Prefix(_) => normal.push(part),
        }
    }
    Some(normal)
}

/// A label as the name of a folder.
pub(super) fn folder_name(label: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "._=,+-".contains(c);
    let mut name: String = label
        .replace(", ", ",")
        .chars()
        .map(|c| if safe(c) { c } else { '-' })
        .collect();
    if name.len() > 120 {
        let digest = crate::digest::Digest::of(label.as_bytes()).short();
        name.truncate(100);
        name = format!("{name}-{digest}");
    }
    name
}
