//! The saved cache: a header, a digest of the rest, and entries of fixed length.
//!
//! A hundred thousand entries are read in a few milliseconds. Whatever does not fit is an empty cache.

use std::io;
use std::path::Path;

use super::{Entries, Entry, Name, Stat};
use crate::digest::Digest;
use crate::store::write_atomically;

const MAGIC: &[u8; 16] = b"clinicadl-stat-3";

/// Bytes of an entry: its name, the stat, the digest, the day.
const ENTRY: usize = size_of::<Name>() + Stat::BYTES + 32 + 4;

pub(super) fn read(path: &Path) -> Entries {
    let bytes = std::fs::read(path).unwrap_or_default();
    parse(&bytes).unwrap_or_default()
}

pub(super) fn write(path: &Path, entries: &Entries) -> io::Result<()> {
    let mut body = Vec::with_capacity(entries.len() * ENTRY);
    for (name, Entry { stat, digest, day }) in entries {
        body.extend(name);
        body.extend(stat.to_bytes());
        body.extend(digest.as_bytes());
        body.extend(day.to_le_bytes());
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend(Digest::of(&body).as_bytes());
    bytes.extend(body);
    write_atomically(path, &bytes)
}

/// The entries of a file; `None` if anything about it is wrong.
pub(super) fn parse(bytes: &[u8]) -> Option<Entries> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (digest, body) = rest.split_first_chunk::<32>()?;
    if Digest::of(body).as_bytes() != digest {
        return None;
    }
    let (entries, rest) = body.as_chunks::<ENTRY>();
    if !rest.is_empty() {
        return None;
    }
    entries.iter().map(|entry| parse_entry(entry)).collect()
}

fn parse_entry(entry: &[u8]) -> Option<(Name, Entry)> {
    let (name, rest) = entry.split_first_chunk()?;
    let (stat, rest) = rest.split_first_chunk()?;
    let (digest, rest) = rest.split_first_chunk()?;
    let (day, _) = rest.split_first_chunk()?;
    let entry = Entry {
        stat: Stat::from_bytes(stat),
        digest: Digest::from_bytes(*digest),
        day: u32::from_le_bytes(*day),
    };
    Some((*name, entry))
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
            prop_assert_eq!(parse(&sealed).is_some(), bytes.len() % ENTRY == 0);
        }
    }
}
