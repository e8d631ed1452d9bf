//! Manifests of unknown origin: what they may not do before anyone has read them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::manifest::Manifest;

/// Why a manifest of unknown origin is refused; empty if it is not.
///
/// Its stages must be those of this program, and every file that it names, or that a folder it names
/// leads to through symbolic links, must be inside `project`. Nothing is read but names.
pub fn refusals(manifest: &Manifest, project: &Path) -> Vec<String> {
    let mut refused = Vec::new();
    for (name, stage) in &manifest.stages {
        if stage.stage.is_foreign() {
            let id = stage.stage.id();
            refused.push(format!("stage `{name}` runs a foreign program (`{id}`)"));
        }
    }
    let root = match project.canonicalize() {
        Ok(root) => root,
        Err(error) => {
            refused.push(format!("project folder `{}`: {error}", project.display()));
            return refused;
        }
    };
    for (name, written) in &manifest.inputs {
        let what = format!("input `{name}` (`{written}`)");
        inspect(&manifest.input_path(name), &what, &root, &mut refused);
    }
    for path in manifest
        .publications()
        .iter()
        .filter_map(|p| p.maps.clone())
    {
        let shown = match (manifest.publications(), &manifest.maps) {
            ([_], Some(written)) => written.clone(),
            _ => path.display().to_string(),
        };
        let what = format!("published folder `{shown}`");
        // A folder that does not exist yet is as far inside as the nearest one that does.
        let existing = path.ancestors().find(|folder| folder.exists());
        if is_written_outside(&path, existing, &root) {
            refused.push(format!("{what} leaves the project"));
        } else if path.exists() {
            inspect(&path, &what, &root, &mut refused);
        }
    }
    refused
}

fn is_written_outside(path: &Path, existing: Option<&Path>, root: &Path) -> bool {
    let Some(existing) = existing else {
        return true;
    };
    let rest = path.strip_prefix(existing).unwrap_or(path);
    let climbs = rest
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    climbs
        || !existing
            .canonicalize()
            .is_ok_and(|real| real.starts_with(root))
}

/// Follows a path and every link below it; one refusal is enough for each.
fn inspect(path: &Path, what: &str, root: &Path, refused: &mut Vec<String>) {
    let mut open: Vec<PathBuf> = vec![path.to_owned()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(path) = open.pop() {
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(error) => {
                refused.push(format!("{what}: `{}`: {error}", path.display()));
                return;
            }
        };
        if !real.starts_with(root) {
            let place = path.file_name().unwrap_or_default().to_string_lossy();
            refused.push(format!("{what} leaves the project at `{place}`"));
            return;
        }
        let Ok(metadata) = fs::metadata(&real) else {
            continue;
        };
        if metadata.is_dir() {
            // A link to a folder above would be followed for ever.
            if !seen.insert(real.clone()) {
                continue;
            }
            let entries = fs::read_dir(&real).into_iter().flatten().flatten();
            open.extend(entries.map(|entry| entry.path()));
        } else if !metadata.is_file() {
            refused.push(format!("{what}: `{}` is no ordinary file", path.display()));
            return;
        }
    }
}
