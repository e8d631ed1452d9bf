//! Writing an export: beside its place, and moved there when it is whole and valid.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::ExportError;
use super::content::Body;
use crate::CopyError;
use crate::validate::validate_content;

/// Writes the folder, or the archive if the name says so.
pub(super) fn write(target: &Path, bodies: &BTreeMap<String, Body>) -> Result<(), ExportError> {
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(ExportError::io("create folder", parent))?;
    let staging = tempfile::Builder::new()
        .prefix(".export-")
        .tempdir_in(parent)
        .map_err(ExportError::io("create a folder in", parent))?;
    let folder = staging.path().join("maps");
    for (path, body) in bodies {
        write_file(&folder.join(path), body)?;
    }
    let issues = validate_content(&folder);
    if !issues.is_empty() {
        return Err(ExportError::Broken(issues));
    }
    let is_archive = target
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("zip"));
    let whole = if is_archive {
        let archive = staging.path().join("maps.zip");
        let name = target.file_stem().and_then(|stem| stem.to_str());
        pack(&archive, name.unwrap_or("maps"), &folder, bodies)
            .map_err(ExportError::io("write", &archive))?;
        archive
    } else {
        folder
    };
    // A rename replaces an empty folder, or an archive that came meanwhile.
    if fs::symlink_metadata(target).is_ok() {
        return Err(CopyError::Exists(target.to_owned()).into());
    }
    fs::rename(&whole, target).map_err(ExportError::io("write", target))
}

fn write_file(path: &Path, body: &Body) -> Result<(), ExportError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(ExportError::io("create folder", parent))?;
    }
    match body {
        Body::Bytes(bytes) => fs::write(path, bytes).map_err(ExportError::io("write", path)),
        Body::Copy(file) => {
            fs::copy(file, path).map_err(ExportError::io("write", path))?;
            // Objects of a store are read-only; what is shared is the receiver's.
            fs::set_permissions(path, Permissions::from_mode(0o644))
                .map_err(ExportError::io("set permissions of", path))
        }
    }
}

/// Equal exports give equal archives: sorted, without times.
fn pack(
    archive: &Path,
    name: &str,
    folder: &Path,
    bodies: &BTreeMap<String, Body>,
) -> io::Result<()> {
    let mut writer = ZipWriter::new(File::create(archive)?);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    for path in bodies.keys() {
        let mut file = File::open(folder.join(path))?;
        let is_large = file.metadata()?.len() > u64::from(u32::MAX);
        writer.start_file(format!("{name}/{path}"), options.large_file(is_large))?;
        io::copy(&mut file, &mut writer)?;
    }
    writer.finish()?.sync_all()
}
