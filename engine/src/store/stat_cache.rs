//! Digests of files whose stat has not changed, so that a run without changes reads nothing.
//!
//! An entry is trusted only while device, inode, size, mtime and ctime are the same, and only if the
//! file was already older than the clock's granularity when it was hashed: a file written twice
//! within one tick would otherwise keep its first digest (git calls such entries racy).

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::write_atomically;
use crate::digest::Digest;

/// Assumed granularity of timestamps, in nanoseconds, for file systems that are not known better.
const COARSE_NS: i128 = 2_000_000_000;
/// Granularity of the usual local Linux file systems: one scheduler tick, with a margin.
const FINE_NS: i128 = 20_000_000;
/// `statfs` types of ext2/3/4, xfs, btrfs, tmpfs, overlayfs and zfs.
const FINE_TYPES: [u64; 6] = [
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0x0102_1994,
    0x794C_7630,
    0x2FC1_2FC1,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stat {
    device: u64,
    inode: u64,
    size: u64,
    mtime_ns: i128,
    ctime_ns: i128,
}

impl Stat {
    fn of(metadata: &Metadata) -> Self {
        let ns = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mtime_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Entry {
    stat: Stat,
    digest: Digest,
}

/// The cache. One per store, shared by all threads.
#[derive(Debug, Default)]
pub struct StatCache {
    entries: Mutex<BTreeMap<PathBuf, Entry>>,
    paranoid: std::sync::atomic::AtomicBool,
}

impl StatCache {
    /// Reads a saved cache; a missing or damaged one is an empty one.
    pub fn load(path: &Path) -> Self {
        let entries = fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Vec<(PathBuf, Entry)>>(&bytes).ok())
            .unwrap_or_default();
        Self {
            entries: Mutex::new(entries.into_iter().collect()),
            ..Self::default()
        }
    }

    /// From now on every file is read again.
    pub fn distrust(&self) {
        self.paranoid
            .store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Saves the cache, without entries of files that are gone.
    ///
    /// # Errors
    /// Any I/O error of writing the file.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let entries = self.lock().clone();
        let kept: Vec<_> = entries
            .into_iter()
            .filter(|(path, _)| path.exists())
            .collect();
        write_atomically(path, &serde_json::to_vec(&kept)?)
    }

    /// The digest and size of a file, from memory when its stat allows it.
    ///
    /// # Errors
    /// Any I/O error of looking at or reading the file.
    pub fn digest_of(&self, path: &Path) -> io::Result<(Digest, u64)> {
        let stat = Stat::of(&fs::metadata(path)?);
        let known = self.lock().get(path).copied();
        if let Some(entry) = known
            && entry.stat == stat
            && !self.paranoid.load(std::sync::atomic::Ordering::Relaxed)
        {
            return Ok((entry.digest, stat.size));
        }
        let started = now_ns();
        let (digest, size) = Digest::of_file(path)?;
        let unchanged = Stat::of(&fs::metadata(path)?) == stat;
        let settled = stat.mtime_ns.max(stat.ctime_ns) + granularity(path) < started;
        if unchanged && settled {
            self.lock().insert(path.to_owned(), Entry { stat, digest });
        } else {
            self.lock().remove(path);
        }
        Ok((digest, size))
    }

    /// Remembers a read-only file that this process has just made, or linked, knowing its digest.
    pub fn trust(&self, path: &Path, digest: Digest) {
        if let Ok(metadata) = fs::metadata(path) {
            self.lock().insert(
                path.to_owned(),
                Entry {
                    stat: Stat::of(&metadata),
                    digest,
                },
            );
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn granularity(path: &Path) -> i128 {
    match rustix::fs::statfs(path) {
        Ok(fs) if FINE_TYPES.contains(&u64::try_from(fs.f_type).unwrap_or(0)) => FINE_NS,
        _ => COARSE_NS,
    }
}

fn now_ns() -> i128 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(elapsed) => i128::try_from(elapsed.as_nanos()).unwrap_or(i128::MAX),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewrite_of_the_same_length_with_a_forged_mtime_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "one").unwrap();
        let cache = StatCache::default();
        cache.trust(&path, Digest::of(b"one"));
        let mtime = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "two").unwrap();
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(mtime)
            .unwrap();
        assert_eq!(cache.digest_of(&path).unwrap().0, Digest::of(b"two"));
    }

    #[test]
    fn a_file_just_written_is_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "one").unwrap();
        let cache = StatCache::default();
        cache.digest_of(&path).unwrap();
        assert!(cache.lock().is_empty());
    }
}
