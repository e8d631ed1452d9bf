//! Digests of files whose stat has not changed, so that a run without changes reads nothing.
//!
//! An entry is trusted only while device, inode, size, mtime and ctime are the same, and only if the
//! file was already older than the clock's granularity when it was hashed: a file written twice
//! within one tick would otherwise keep its first digest (git calls such entries racy). A clock that
//! was set back makes files look newer than now: they are never remembered.

mod file;

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    stat: Stat,
    digest: Digest,
    /// Whether this process has asked for it.
    used: bool,
}

type Entries = BTreeMap<PathBuf, Entry>;

/// The cache. One per store, shared by all threads.
#[derive(Debug, Default)]
pub struct StatCache {
    entries: Mutex<Entries>,
    paranoid: AtomicBool,
    changed: AtomicBool,
}

impl StatCache {
    /// Reads a saved cache; a missing or damaged one is an empty one.
    pub fn load(path: &Path) -> Self {
        Self {
            entries: Mutex::new(file::read(path)),
            ..Self::default()
        }
    }

    /// From now on every file is read again.
    pub fn distrust(&self) {
        self.paranoid.store(true, Ordering::Relaxed);
    }

    /// Saves the cache if it changed, together with what other processes have saved since, without
    /// entries of files that are gone.
    ///
    /// # Errors
    /// Any I/O error of writing the file.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        if !self.changed.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let mut all = file::read(path);
        all.extend(
            self.lock()
                .iter()
                .map(|(path, entry)| (path.clone(), *entry)),
        );
        all.retain(|path, entry| entry.used || path.exists());
        file::write(path, &all)
    }

    /// The digest and size of a file, from memory when its stat allows it.
    ///
    /// # Errors
    /// Any I/O error of looking at or reading the file, or something that is no regular file.
    pub fn digest_of(&self, path: &Path) -> io::Result<(Digest, u64)> {
        let metadata = fs::metadata(path)?;
        // Reading a pipe or a device might never end.
        if !metadata.is_file() {
            let message = "expected a regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let stat = Stat::of(&metadata);
        if !self.paranoid.load(Ordering::Relaxed)
            && let Some(entry) = self.lock().get_mut(path)
            && entry.stat == stat
        {
            entry.used = true;
            return Ok((entry.digest, stat.size));
        }
        let started = now_ns();
        let (digest, size) = Digest::of_file(path)?;
        let unchanged = Stat::of(&fs::metadata(path)?) == stat;
        let settled = stat.mtime_ns.max(stat.ctime_ns) + granularity(path) < started;
        self.changed.store(true, Ordering::Relaxed);
        if unchanged && settled {
            self.insert(path, stat, digest);
        } else {
            self.lock().remove(path);
        }
        Ok((digest, size))
    }

    /// Remembers a read-only file that this process has just made, or linked, knowing its digest.
    pub fn trust(&self, path: &Path, digest: Digest) {
        if let Ok(metadata) = fs::metadata(path) {
            self.changed.store(true, Ordering::Relaxed);
            self.insert(path, Stat::of(&metadata), digest);
        }
    }

    fn insert(&self, path: &Path, stat: Stat, digest: Digest) {
        let entry = Entry {
            stat,
            digest,
            used: true,
        };
        self.lock().insert(path.to_owned(), entry);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
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
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(mtime).unwrap();
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

    #[test]
    fn a_file_from_the_future_is_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "one").unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        // What a clock that was set back makes of every file.
        let future = SystemTime::now() + std::time::Duration::from_secs(3600);
        file.set_modified(future).unwrap();
        let cache = StatCache::default();
        cache.digest_of(&path).unwrap();
        assert!(cache.lock().is_empty());
    }

    #[test]
    fn two_processes_keep_what_both_learned() {
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join("cache");
        let [a, b] = ["a", "b"].map(|name| {
            let path = folder.path().join(name);
            fs::write(&path, name).unwrap();
            path
        });
        let (first, second) = (StatCache::load(&saved), StatCache::load(&saved));
        first.trust(&a, Digest::of(b"a"));
        second.trust(&b, Digest::of(b"b"));
        first.save(&saved).unwrap();
        second.save(&saved).unwrap();
        assert_eq!(StatCache::load(&saved).lock().len(), 2);
        fs::remove_file(&a).unwrap();
        let third = StatCache::load(&saved);
        third.trust(&b, Digest::of(b"b"));
        third.save(&saved).unwrap();
        assert_eq!(StatCache::load(&saved).lock().len(), 1);
    }

    #[test]
    fn a_pipe_is_refused_and_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let error = StatCache::default().digest_of(&path).unwrap_err();
        assert_eq!(error.to_string(), "expected a regular file");
    }
}
