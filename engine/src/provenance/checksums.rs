//! Both digests of every published file: BLAKE3, which names contents here, and SHA-256, which every
//! system can check.
//!
//! SHA-256 of large objects takes time, so that it is remembered in the store, by BLAKE3 digest.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::error::StageError;
use crate::publish::{Content, PublishedFile};
use crate::store::{Store, write_atomically};

/// The list that `sha256sum -c` checks in the published folder.
pub const SHA256_SUMS: &str = "provenance/manifest-sha256.txt";
/// The list that `b3sum -c` checks in the published folder.
pub const BLAKE3_SUMS: &str = "provenance/manifest-blake3.txt";

/// Where the store remembers SHA-256 by BLAKE3.
const CACHE: &str = "sha256.json";
/// Contents remembered at most; beyond that only those of the folder just published.
const REMEMBERED: usize = 100_000;
/// Bytes read at a time.
const BUFFER: usize = 1 << 20;

/// What identifies the content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSums {
    /// BLAKE3.
    pub blake3: Digest,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
}

impl FileSums {
    /// Those of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            blake3: Digest::of(bytes),
            sha256: hex(Sha256::new().chain_update(bytes)),
            size: bytes.len() as u64,
        }
    }

    /// Those of a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let (blake3, size) = Digest::of_file(path)?;
        Ok(Self {
            blake3,
            sha256: sha256_of_file(path)?,
            size,
        })
    }
}

/// The digests of files to publish, by path; contents of the store are read once in their life.
///
/// # Errors
/// An object cannot be read.
pub fn sums_of(
    files: &[PublishedFile],
    store: &Store,
) -> Result<BTreeMap<String, FileSums>, StageError> {
    let cache = store.root().join(CACHE);
    let known = remembered(&cache);
    let sums = files
        .par_iter()
        .map(|file| {
            let sums = match &file.content {
                Content::Bytes(bytes) => FileSums::of(bytes),
                Content::Object(digest) => of_object(*digest, &known, store)?,
            };
            Ok((file.path.clone(), sums))
        })
        .collect::<Result<BTreeMap<_, _>, StageError>>()?;
    let objects = files.iter().filter_map(|file| match &file.content {
        Content::Object(digest) => Some((*digest, sums[&file.path].sha256.clone())),
        Content::Bytes(_) => None,
    });
    remember(&cache, known, objects.collect());
    Ok(sums)
}

fn of_object(
    digest: Digest,
    known: &BTreeMap<Digest, String>,
    store: &Store,
) -> Result<FileSums, StageError> {
    let path = store.object_path(&digest);
    let read = |e: io::Error| StageError::io("read object", &path, &e);
    let sha256 = match known.get(&digest) {
        Some(sha256) => sha256.clone(),
        None => sha256_of_file(&path).map_err(read)?,
    };
    Ok(FileSums {
        blake3: digest,
        sha256,
        size: std::fs::metadata(&path).map_err(read)?.len(),
    })
}

fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(hasher));
        }
        hasher.update(&buffer[..read]);
    }
}

fn hex(hasher: Sha256) -> String {
    let mut text = String::with_capacity(64);
    for byte in hasher.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A cache that is missing, damaged or of another format is an empty one.
fn remembered(path: &Path) -> BTreeMap<Digest, String> {
    let read = || -> Option<BTreeMap<String, String>> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    };
    let is_sha256 =
        |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    read()
        .unwrap_or_default()
        .into_iter()
        .filter(|(_, sha256)| is_sha256(sha256))
        .filter_map(|(blake3, sha256)| Some((blake3.parse().ok()?, sha256)))
        .collect()
}

fn remember(path: &Path, known: BTreeMap<Digest, String>, new: BTreeMap<Digest, String>) {
    if new.keys().all(|digest| known.contains_key(digest)) {
        return;
    }
    let mut all = new;
    if all.len() + known.len() <= REMEMBERED {
        all.extend(known);
    }
    let text: BTreeMap<String, &String> = all.iter().map(|(b, s)| (b.to_string(), s)).collect();
    let written = serde_json::to_vec(&text)
        .map_err(io::Error::from)
        .and_then(|bytes| write_atomically(path, &bytes));
    if let Err(error) = written {
        tracing::debug!(%error, "SHA-256 digests not kept; they will be computed again");
    }
}

/// The two lists of checksums of a folder, for `sha256sum -c` and `b3sum -c` run inside it.
///
/// Neither lists itself, the other, or the list of published files, which holds the digests of both.
pub fn checksum_files(sums: &BTreeMap<String, FileSums>) -> [(String, Vec<u8>); 2] {
    let list = |digest: fn(&FileSums) -> String| {
        let mut text = String::new();
        for (path, sums) in sums {
            text.push_str(&line(&digest(sums), path));
        }
        text.into_bytes()
    };
    [
        (
            SHA256_SUMS.to_owned(),
            list(|sums: &FileSums| sums.sha256.clone()),
        ),
        (
            BLAKE3_SUMS.to_owned(),
            list(|sums: &FileSums| sums.blake3.to_string()),
        ),
    ]
}

/// A line of either list; both programs escape a name with a line break or backslash this way.
fn line(digest: &str, path: &str) -> String {
    if path.contains(['\\', '\n', '\r']) {
        let path = path.replace('\\', "\\\\");
        let path = path.replace('\n', "\\n").replace('\r', "\\r");
        return format!("\\{digest}  {path}\n");
    }
    format!("{digest}  {path}\n")
}
