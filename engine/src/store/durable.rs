//! File operations that survive a crash: what they made visible is whole.
//!
//! Every step that can fail passes [`step`], so that tests can make any of them fail, or end the
//! process there, and look at what is left.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::digest::Digest;

/// Says that the next thing is about to be done. In debug builds a test may have it fail:
/// `CLINICADL_FAULT=<n>:enospc|eio|abort` makes the n-th step of the process fail, or kills it there.
pub(crate) fn step(what: &'static str) -> io::Result<()> {
    #[cfg(debug_assertions)]
    faults::at(what)?;
    let _ = what;
    Ok(())
}

#[cfg(debug_assertions)]
mod faults {
    use std::io;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(u64, String)>> = OnceLock::new();
    static STEPS: AtomicU64 = AtomicU64::new(0);

    fn wanted() -> Option<(u64, String)> {
        let text = std::env::var("CLINICADL_FAULT").ok()?;
        let (number, kind) = text.split_once(':')?;
        Some((number.parse().ok()?, kind.to_owned()))
    }

    pub(super) fn at(what: &str) -> io::Result<()> {
        let Some((number, kind)) = WANTED.get_or_init(wanted) else {
            return Ok(());
        };
        if STEPS.fetch_add(1, Ordering::SeqCst) + 1 != *number {
            return Ok(());
        }
        tracing::warn!(what, kind, "a test injects a fault");
        match kind.as_str() {
            "abort" => std::process::abort(),
            "enospc" => Err(io::ErrorKind::StorageFull.into()),
            _ => Err(io::Error::other("injected fault")),
        }
    }
}

/// Writes a file so that any reader, and any crash, sees the old content or the new one.
///
/// The bytes go to a temporary file in the same folder, are synced, and are renamed over the target;
/// the folder is then synced so that the rename itself survives.
///
/// # Errors
/// Any I/O error; the target is then as it was.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_folders(folder)?;
    step("create a temporary file")?;
    let mode = if is_shared(folder) { 0o664 } else { 0o644 };
    let mut file = tempfile::Builder::new()
        .prefix(".write-")
        .tempfile_in(folder)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    step("write a temporary file")?;
    file.write_all(bytes)?;
    step("sync a temporary file")?;
    file.as_file().sync_all()?;
    step("rename a temporary file")?;
    file.persist(path).map_err(|e| e.error)?;
    sync_folder(folder)
}

/// A finished file and where it goes, on the same file system.
#[derive(Debug)]
pub(super) struct Adopted {
    pub(super) path: PathBuf,
    pub(super) target: PathBuf,
    pub(super) digest: Digest,
}

/// Makes finished files read-only objects.
///
/// All are synced at once: a disk writes them together, which one after the other it could not. The
/// error names the file that it is about.
pub(super) fn adopt(files: &[Adopted]) -> Result<(), (PathBuf, io::Error)> {
    let each = |act: fn(&Adopted) -> io::Result<()>| {
        files
            .iter()
            .try_for_each(|file| act(file).map_err(|error| (file.path.clone(), error)))
    };
    each(|_| step("sync a new object"))?;
    sync_objects(files)?;
    each(|file| {
        create_folders(folder_of(&file.target))?;
        step("rename a new object")?;
        fs::rename(&file.path, &file.target)
    })?;
    let folders: BTreeSet<&Path> = files.iter().map(|file| folder_of(&file.target)).collect();
    folders
        .into_iter()
        .try_for_each(|folder| sync_folder(folder).map_err(|error| (folder.to_owned(), error)))
}

/// Threads that wait for the disk, which costs them nothing else.
const WAITING: usize = 16;

fn sync_objects(files: &[Adopted]) -> Result<(), (PathBuf, io::Error)> {
    let sync = |files: &[Adopted]| {
        files.iter().try_for_each(|file| {
            sync_object(&file.path).map_err(|error| (file.path.clone(), error))
        })
    };
    let (first, rest) = files.split_at(files.len().div_ceil(WAITING));
    std::thread::scope(|scope| {
        let waiting: Vec<_> = rest
            .chunks(first.len().max(1))
            .map(|files| scope.spawn(move || sync(files)))
            .collect();
        let first = sync(first);
        // A panic of such a thread is one of the action.
        let others = waiting.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        others.fold(first, Result::and)
    })
}

fn sync_object(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    file.set_permissions(Permissions::from_mode(0o444))?;
    file.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Creates a folder and those above it. Below a folder that its group may write, all are: a store that
/// several users share stays writable for them, whatever their umask.
pub(crate) fn create_folders(path: &Path) -> io::Result<()> {
    if path.is_dir() || path.as_os_str().is_empty() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    create_folders(parent)?;
    step("create a folder")?;
    match fs::create_dir(path) {
        Ok(()) => {}
        // Another process was faster.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        Err(e) => return Err(e),
    }
    if is_shared(parent) {
        fs::set_permissions(path, Permissions::from_mode(0o2775))?;
    }
    Ok(())
}

/// Whether the group of a folder owns what is made in it, and may write there.
fn is_shared(folder: &Path) -> bool {
    const SETGID_AND_GROUP_WRITE: u32 = 0o2020;
    fs::metadata(folder)
        .is_ok_and(|metadata| metadata.mode() & SETGID_AND_GROUP_WRITE == SETGID_AND_GROUP_WRITE)
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    step("sync a folder")?;
    File::open(folder)?.sync_all()
}
