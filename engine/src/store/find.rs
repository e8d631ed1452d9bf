//! Finding what belongs to a manifest, and a record by the first digits of its key, as people quote it.

use std::fs;
use std::path::{Path, PathBuf};

use super::{ActionRecord, Store};
use crate::digest::Digest;
use crate::key::ActionKey;
use crate::manifest::Manifest;

/// Fewer digits than this name too much by accident.
const LEAST_DIGITS: usize = 4;

/// Where a store keeps what it knows of the manifest with this path.
pub(crate) fn folder_of_manifest(root: &Path, manifest: &Path) -> PathBuf {
    let path = manifest.canonicalize();
    let path = path.as_deref().unwrap_or(manifest);
    let digest = Digest::of(path.as_os_str().as_encoded_bytes());
    root.join("runs").join(digest.short())
}

impl Store {
    /// The folder for what runs of a manifest leave: told apart by the manifest's place.
    pub fn manifest_folder(&self, manifest: &Manifest) -> PathBuf {
        folder_of_manifest(self.root(), &manifest.path)
    }

    /// The only undamaged record whose key starts with these hexadecimal digits.
    pub fn record_starting_with(&self, digits: &str) -> Option<ActionRecord> {
        if digits.len() < LEAST_DIGITS || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let digits = digits.to_ascii_lowercase();
        let (shard, rest) = digits.split_at(2);
        let folder = self.root().join("actions").join(shard);
        let mut found = fs::read_dir(folder)
            .ok()?
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with(rest));
        let name = found.next()?;
        if found.next().is_some() {
            return None;
        }
        let key: ActionKey = format!("{shard}{name}").parse().ok()?;
        self.record(&key)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_found_by_the_first_digits_of_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let document = json!({ "a": 1 });
        let key = ActionKey::of_document(&document);
        let record = ActionRecord::new(key, document, [].into());
        store.put_record(&record).unwrap();
        let found = store.record_starting_with(&key.short().to_uppercase());
        assert_eq!(found.map(|record| record.key), Some(key));
        for nothing in ["", "zzzz", "../..", &"0".repeat(70)] {
            assert!(store.record_starting_with(nothing).is_none(), "{nothing}");
        }
    }
}
