//! What the last run of a manifest did: what reasons are compared with.
//!
//! It is read only when a reason has to be found and written only when it changed: a run without
//! changes touches neither.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use crate::digest::Digest;
use crate::key::{KeyDocument, Keyed};
use crate::manifest::Manifest;
use crate::store::{Store, write_atomically};

/// Digits of the digest that heads the file.
const HEAD: usize = 64;

/// Key documents by action name.
type Actions = BTreeMap<String, KeyDocument>;

/// The account of the last run, and of the one that goes on.
///
/// The file is one line with a digest of names and keys, so that a run can tell that nothing changed,
/// then the documents as JSON.
#[derive(Debug)]
pub struct LastRun {
    path: PathBuf,
    before: OnceCell<Actions>,
    now: BTreeMap<String, Keyed>,
}

impl LastRun {
    /// The account of a manifest. What cannot be read is not known.
    pub fn of(store: &Store, manifest: &Manifest) -> Self {
        Self {
            path: store.manifest_folder(manifest).join("last.json"),
            before: OnceCell::new(),
            now: BTreeMap::new(),
        }
    }

    /// What an action was in the last run.
    pub fn get(&self, action: &str) -> Option<&KeyDocument> {
        self.before.get_or_init(|| self.read()).get(action)
    }

    /// Notes what an action is in this run.
    pub(crate) fn note(&mut self, action: String, keyed: &Keyed) {
        self.now.insert(action, keyed.clone());
    }

    fn read(&self) -> Actions {
        let text = fs::read(&self.path).unwrap_or_default();
        let documents = text.get(HEAD..).unwrap_or_default();
        serde_json::from_slice(documents).unwrap_or_default()
    }

    /// Keeps what was noted for the next run; actions that this run did not reach stay as they were.
    ///
    /// # Errors
    /// Any I/O error.
    pub(crate) fn save(mut self) -> io::Result<()> {
        let names: Vec<_> = self.now.iter().map(|(name, k)| (name, k.key)).collect();
        let head = Digest::of(&serde_json::to_vec(&names)?).to_string();
        if self.now.is_empty() || self.head().is_ok_and(|before| before == head.as_bytes()) {
            return Ok(());
        }
        let mut actions = match self.before.take() {
            Some(read) => read,
            None => self.read(),
        };
        let now = std::mem::take(&mut self.now).into_iter();
        actions.extend(now.map(|(name, keyed)| (name, keyed.document)));
        let mut text = head.into_bytes();
        text.push(b'\n');
        serde_json::to_writer(&mut text, &actions)?;
        write_atomically(&self.path, &text)
    }

    fn head(&self) -> io::Result<[u8; HEAD]> {
        let mut head = [0; HEAD];
        fs::File::open(&self.path)?.read_exact(&mut head)?;
        Ok(head)
    }
}
