//! Objects that become durable together, so that an action waits for the disk a few times whatever the
//! number of its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::durable::{self, Adopted};
use super::tree::{self, Tree, TreeFile};
use super::{Store, StoreError};
use crate::digest::Digest;

/// Bytes that may stay where they are for a while.
const SMALL: u64 = 64 << 10;

/// New objects of a [`Store`]. None of them is there before [`store`](Self::store).
#[derive(Debug)]
pub struct Batch<'a> {
    store: &'a Store,
    new: Vec<Adopted>,
    digests: BTreeSet<Digest>,
    /// Removed when dropped: files of this batch that were not stored.
    own: Vec<tempfile::TempPath>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            new: Vec::new(),
            digests: BTreeSet::new(),
            own: Vec::new(),
        }
    }

    /// Takes a file, which moves into the store unless its bytes are there, and tells its digest and
    /// size. A small one that is not needed stays for whoever removes its folder.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn file(&mut self, path: &Path) -> Result<(Digest, u64), StoreError> {
        let (digest, size) = Digest::of_file(path).map_err(StoreError::io("read", path))?;
        self.take(path, digest, size);
        Ok((digest, size))
    }

    /// The same with a file whose digest and size are known to whoever wrote it.
    ///
    /// # Errors
    /// The file cannot be read, or has another size.
    pub fn known_file(
        &mut self,
        path: &Path,
        digest: Digest,
        size: u64,
    ) -> Result<(Digest, u64), StoreError> {
        debug_assert_eq!(Digest::of_file(path).ok(), Some((digest, size)));
        let found = fs::metadata(path).map_err(StoreError::io("read", path))?;
        if found.len() != size {
            let bytes = found.len();
            let error = std::io::Error::other(format!("{bytes} bytes of {size} are there"));
            return Err(StoreError::io("write", path)(error));
        }
        self.take(path, digest, size);
        Ok((digest, size))
    }

    fn take(&mut self, path: &Path, digest: Digest, size: u64) {
        if self.is_new(&digest, size) {
            self.add(path.to_owned(), digest);
        } else if size > SMALL {
            drop(fs::remove_file(path));
        }
    }

    /// Takes bytes and tells their digest.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if self.is_new(&digest, bytes.len() as u64) {
            let tmp = self.store.root().join("tmp");
            let mut file = tempfile::Builder::new()
                .prefix("write-")
                .tempfile_in(&tmp)
                .map_err(StoreError::io("create a file in", &tmp))?;
            file.write_all(bytes)
                .map_err(StoreError::io("write", file.path()))?;
            let path = file.into_temp_path();
            self.add(path.to_path_buf(), digest);
            self.own.push(path);
        }
        Ok(digest)
    }

    /// Takes every file of a folder and the tree that names them.
    ///
    /// `placed` are files that are in the store already.
    ///
    /// # Errors
    /// Any I/O error, or a file whose name is not Unicode.
    pub fn folder(
        &mut self,
        folder: &Path,
        placed: &BTreeMap<String, (Digest, u64)>,
    ) -> Result<(Digest, Tree), StoreError> {
        let mut files: BTreeMap<String, TreeFile> = placed
            .iter()
            .map(|(path, &(digest, size))| (path.clone(), TreeFile { digest, size }))
            .collect();
        for path in tree::walk(folder)? {
            let (digest, size) = self.file(&folder.join(&path))?;
            files.insert(path, TreeFile { digest, size });
        }
        let tree = Tree { files };
        let digest = self.bytes(&tree.to_bytes())?;
        Ok((digest, tree))
    }

    /// Moves all of it into the store; when this returns, no crash undoes it.
    ///
    /// # Errors
    /// Any I/O error; some of the objects may be stored then, which harms nobody.
    pub fn store(self) -> Result<(), StoreError> {
        durable::adopt(&self.new).map_err(|(path, error)| StoreError::io("store", &path)(error))?;
        for (adopted, digest) in self.new.iter().map(|new| (&new.target, new.digest)) {
            self.store.stats.trust(adopted, digest);
        }
        Ok(())
    }

    fn is_new(&self, digest: &Digest, size: u64) -> bool {
        !self.digests.contains(digest) && !self.store.has_object(digest, size)
    }

    fn add(&mut self, path: PathBuf, digest: Digest) {
        let target = self.store.object_path(&digest);
        self.digests.insert(digest);
        self.new.push(Adopted {
            path,
            target,
            digest,
        });
    }
}
