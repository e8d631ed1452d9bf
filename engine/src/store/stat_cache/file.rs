//! The saved cache: a header, a digest of the rest, and entries of fixed fields with their path.
//!
//! Ten thousand entries are read in a few milliseconds. Whatever does not fit is an empty cache.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Entries, Entry, Stat};
use crate::digest::Digest;
use crate::store::write_atomically;

const MAGIC: &[u8; 16] = b"clinicadl-stat-2";

pub(super) fn read(path: &Path) -> Entries {
    let bytes = std::fs::read(path).unwrap_or_default();
    parse(&bytes).unwrap_or_default()
}

pub(super) fn write(path: &Path, entries: &Entries) -> io::Result<()> {
    let mut body = Vec::with_capacity(entries.len() * 200);
    for (path, Entry { stat, digest, .. }) in entries {
        let path = path.as_os_str().as_bytes();
        let Ok(length) = u32::try_from(path.len()) else {
            continue;
        };
        for field in [stat.device, stat.inode, stat.size] {
            body.extend(field.to_le_bytes());
        }
        body.extend(stat.mtime_ns.to_le_bytes());
        body.extend(stat.ctime_ns.to_le_bytes());
        body.extend(digest.as_bytes());
        body.extend(length.to_le_bytes());
        body.extend(path);
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend(Digest::of(&body).as_bytes());
    bytes.extend(body);
    write_atomically(path, &bytes)
}

/// The entries of a file; `None` if anything about it is wrong.
pub(super) fn parse(bytes: &[u8]) -> Option<Entries> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (digest, mut rest) = rest.split_first_chunk::<32>()?;
    if Digest::of(rest).as_bytes() != digest {
        return None;
    }
    let mut entries = Entries::new();
    while !rest.is_empty() {
        let mut number = || -> Option<u64> {
            let (field, after) = rest.split_first_chunk::<8>()?;
            rest = after;
            Some(u64::from_le_bytes(*field))
        };
        let (device, inode, size) = (number()?, number()?, number()?);
        let mut time = || -> Option<i128> {
            let (field, after) = rest.split_first_chunk::<16>()?;
            rest = after;
            Some(i128::from_le_bytes(*field))
        };
        let (mtime_ns, ctime_ns) = (time()?, time()?);
        let (digest, after) = rest.split_first_chunk::<32>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (path, after) = after.split_at_checked(length)?;
        rest = after;
        let entry = Entry {
            stat: Stat {
                device,
                inode,
                size,
                mtime_ns,
                ctime_ns,
            },
            digest: Digest::from_bytes(*digest),
            used: false,
        };
        entries.insert(PathBuf::from(OsStr::from_bytes(path)), entry);
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_cache_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse(&bytes);
            let mut sealed = MAGIC.to_vec();
            sealed.extend(Digest::of(&bytes).as_bytes());
            sealed.extend(&bytes);
            parse(&sealed);
        }
    }
}
