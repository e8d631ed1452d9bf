//! Digests of files whose stat has not changed, so that a run without changes reads nothing.
//!
//! An entry is trusted only while device, inode, size, mtime and ctime are the same, and only if the
//! file was already older than the clock's granularity when it was hashed: a file written twice
//! within one tick would otherwise keep its first digest (git calls such entries racy). A clock that
//! was set back makes files look newer than now: they are never remembered.
//!
//! Paths take part as well, absolute ones: network file systems invent inodes and know seconds only.

mod file;

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, absolute};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Assumed granularity of timestamps, in nanoseconds, for file systems that are not known better.
const COARSE_NS: i64 = 2_000_000_000;
/// Granularity of the usual local Linux file systems: one scheduler tick, with a margin.
const FINE_NS: i64 = 20_000_000;
/// `statfs` types of ext2/3/4, xfs, btrfs, tmpfs, overlayfs and zfs.
const FINE_TYPES: [u64; 6] = [
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0x0102_1994,
    0x794C_7630,
    0x2FC1_2FC1,
];

/// What the file system tells of a file besides its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stat {
    device: u64,
    inode: u64,
    size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
}

impl Stat {
    /// Length of [`Stat::to_bytes`].
    pub(crate) const BYTES: usize = 5 * 8;

    /// That of a regular file, if there is one.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        metadata.is_file().then(|| Self::of(&metadata))
    }

    /// That of a folder, if there is one.
    pub(crate) fn of_folder(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        metadata.is_dir().then(|| Self::of(&metadata))
    }

    /// Whether the file was last changed so long before `instant`, by a clock that ticks every
    /// `granularity` nanoseconds, that each later change shows.
    pub(crate) fn is_older_than(&self, instant: SystemTime, granularity: i64) -> bool {
        let last = self.mtime_ns.max(self.ctime_ns);
        last.saturating_add(granularity) < ns_of(instant)
    }

    /// Five numbers, little-endian.
    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let times = [self.mtime_ns, self.ctime_ns].map(i64::cast_unsigned);
        let numbers = [self.device, self.inode, self.size, times[0], times[1]];
        let mut bytes = [0; Self::BYTES];
        for (place, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
            *place = number.to_le_bytes();
        }
        bytes
    }

    /// The inverse of [`Stat::to_bytes`].
    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let number = |at: usize| u64::from_le_bytes(bytes.as_chunks().0[at]);
        Self {
            device: number(0),
            inode: number(1),
            size: number(2),
            mtime_ns: number(3).cast_signed(),
            ctime_ns: number(4).cast_signed(),
        }
    }

    fn of(metadata: &Metadata) -> Self {
        let ns = |s: i64, ns: i64| s.saturating_mul(1_000_000_000).saturating_add(ns);
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
    /// The day, since 1970, on which it was last of use, give or take [`REFRESHED`].
    day: u32,
}

/// What stands for a path: short, and quick to compare.
type Name = [u8; 16];

type Entries = BTreeMap<Name, Entry>;

/// Days after which an entry that nobody asked for is dropped.
const KEPT: u32 = 90;
/// Days after which the day of an entry in use is written again.
const REFRESHED: u32 = 30;

/// # Errors
/// The current folder, from which a relative path starts, is gone.
fn name_of(path: &Path) -> io::Result<Name> {
    let digest = if path.is_absolute() {
        Digest::of(path.as_os_str().as_bytes())
    } else {
        Digest::of(absolute(path)?.as_os_str().as_bytes())
    };
    let mut name = Name::default();
    name.copy_from_slice(&digest.as_bytes()[..16]);
    Ok(name)
}

/// The cache. One per store, shared by all threads.
#[derive(Debug, Default)]
pub struct StatCache {
    entries: Mutex<Entries>,
    today: u32,
    paranoid: AtomicBool,
    changed: AtomicBool,
}

impl StatCache {
    /// Reads a saved cache; a missing or damaged one is an empty one.
    pub fn load(path: &Path) -> Self {
        Self {
            entries: Mutex::new(file::read(path)),
            today: today(),
            ..Self::default()
        }
    }

    /// From now on every file is read again.
    pub fn distrust(&self) {
        self.paranoid.store(true, Ordering::Relaxed);
    }

    /// Saves the cache if it changed, together with what other processes have saved since, without
    /// entries that have long been of no use.
    ///
    /// # Errors
    /// Any I/O error of writing the file.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        if !self.changed.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let mut all = file::read(path);
        all.extend(self.lock().iter().map(|(name, entry)| (*name, *entry)));
        all.retain(|_, entry| entry.day.saturating_add(KEPT) >= self.today);
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
        let name = name_of(path)?;
        if !self.paranoid.load(Ordering::Relaxed)
            && let Some(entry) = self.lock().get_mut(&name)
            && entry.stat == stat
        {
            if entry.day.saturating_add(REFRESHED) < self.today {
                entry.day = self.today;
                self.changed.store(true, Ordering::Relaxed);
            }
            return Ok((entry.digest, stat.size));
        }
        let started = SystemTime::now();
        let (digest, size) = Digest::of_file(path)?;
        let unchanged = Stat::of(&fs::metadata(path)?) == stat;
        let settled = stat.is_older_than(started, granularity(path));
        self.changed.store(true, Ordering::Relaxed);
        if unchanged && settled {
            self.insert(name, stat, digest);
        } else {
            self.lock().remove(&name);
        }
        Ok((digest, size))
    }

    /// Remembers a read-only file that this process has just made, or linked, knowing its digest.
    pub fn trust(&self, path: &Path, digest: Digest) {
        if let Ok(metadata) = fs::metadata(path)
            && let Ok(name) = name_of(path)
        {
            self.changed.store(true, Ordering::Relaxed);
            self.insert(name, Stat::of(&metadata), digest);
        }
    }

    fn insert(&self, name: Name, stat: Stat, digest: Digest) {
        let entry = Entry {
            stat,
            digest,
            day: self.today,
        };
        self.lock().insert(name, entry);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The granularity, in nanoseconds, of the timestamps of the file system that holds a path.
pub(crate) fn granularity(path: &Path) -> i64 {
    match rustix::fs::statfs(path) {
        Ok(fs) if FINE_TYPES.contains(&u64::try_from(fs.f_type).unwrap_or(0)) => FINE_NS,
        _ => COARSE_NS,
    }
}

fn ns_of(instant: SystemTime) -> i64 {
    match instant.duration_since(UNIX_EPOCH) {
        Ok(elapsed) => i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX),
        Err(_) => 0,
    }
}

fn today() -> u32 {
    u32::try_from(ns_of(SystemTime::now()) / (24 * 3600 * 1_000_000_000)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

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

    fn two_files(folder: &Path) -> [PathBuf; 2] {
        ["a", "b"].map(|name| {
            let path = folder.join(name);
            fs::write(&path, name).unwrap();
            path
        })
    }

    #[test]
    fn two_processes_keep_what_both_learned() {
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join("cache");
        let [a, b] = two_files(folder.path());
        let (first, second) = (StatCache::load(&saved), StatCache::load(&saved));
        first.trust(&a, Digest::of(b"a"));
        second.trust(&b, Digest::of(b"b"));
        first.save(&saved).unwrap();
        second.save(&saved).unwrap();
        assert_eq!(StatCache::load(&saved).lock().len(), 2);
    }

    #[test]
    fn what_was_long_of_no_use_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join("cache");
        let [a, b] = two_files(folder.path());
        let first = StatCache::load(&saved);
        first.trust(&a, Digest::of(b"a"));
        first.trust(&b, Digest::of(b"b"));
        first.save(&saved).unwrap();
        let later = |days: u32, used: &[&PathBuf]| {
            let mut cache = StatCache::load(&saved);
            cache.today += days;
            for path in used {
                cache.digest_of(path).unwrap();
            }
            cache.save(&saved).unwrap();
            StatCache::load(&saved).lock().len()
        };
        assert_eq!(later(REFRESHED, &[&a]), 2);
        assert_eq!(later(60, &[&a]), 2, "one was used, the other not for long");
        assert_eq!(later(60 + KEPT, &[&a]), 1);
    }

    #[test]
    fn a_file_is_known_however_its_path_is_written() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "one").unwrap();
        let relative = Path::new(folder.path().file_name().unwrap()).join("f");
        let cache = StatCache::default();
        cache.trust(&relative, Digest::of(b"two"));
        let absolute = path.canonicalize().unwrap();
        assert_eq!(cache.digest_of(&absolute).unwrap().0, Digest::of(b"two"));
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
