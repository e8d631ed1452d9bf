//! Tests of whole folders: reading, assembling, checking.

mod checking;
mod importing;
mod malformed;
mod parts;
mod publishing;
mod reading;
mod recorded;
mod round_trips;

use std::fs;
use std::path::{Path, PathBuf};

/// A MAPS that ClinicaDL 1.6.1 wrote.
fn peer() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/maps/peer")
}

/// A MAPS that ClinicaDL 2.0.0 wrote.
fn peer_2_0() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/maps/peer_2_0")
}

fn copy_of_peer() -> tempfile::TempDir {
    copy_of(&peer())
}

fn copy_of(source: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy(source, folder.path());
    folder
}
