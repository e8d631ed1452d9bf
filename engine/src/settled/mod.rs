//! What a run without changes found, so that the next one is done after looking at stats.
//!
//! Reading a manifest of thousands of stages, naming every action and looking each of them up takes
//! longer than anybody wants to wait to hear that nothing changed. A run that had nothing to do therefore
//! keeps what its answer depended on: the question itself, the text of the manifest and of what it
//! includes, the names and stats of every file that it read outside, and the stats of every record and
//! object that it found. While all of that is the same, so is the answer. Anything else, and anything
//! that cannot be told, is no answer, and the run goes the long way; that never reads this file.
//!
//! Stats are believed as those of the [`StatCache`](crate::store::StatCache) are: only of files that were
//! older than the run that looked at them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::time::SystemTime;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::exec::RunReport;
use crate::manifest::Manifest;
use crate::plan::{Plan, PlannedInput};
use crate::store::{
    Stat, Store, folder_of_manifest, folders_in, granularity, stored_at, walk_folder,
    write_atomically,
};

/// Changes with the format of the file.
const MAGIC: &[u8; 20] = b"clinicadl-settled-2\n";

/// What each verb prints.
pub type Answers = BTreeMap<String, String>;

/// Everything outside of the store that the answer depends on.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    /// What was asked.
    question: String,
    /// The manifest and what it includes, by content.
    sources: BTreeMap<PathBuf, Digest>,
    /// Where inputs and published folders really are.
    places: BTreeMap<PathBuf, PathBuf>,
    /// Every folder in them: what is added or removed changes its stat.
    folders: BTreeMap<PathBuf, Stat>,
    /// Files outside of the store.
    files: BTreeMap<PathBuf, Stat>,
    answers: Answers,
}

/// A file of the store: its folder there, its digits, its stat.
type Stored = (u8, Digest, Stat);

/// Folders of the store, as [`Stored`] knows them.
const FOLDERS: [&str; 2] = ["actions", "objects"];

/// The answers to the same question, by verb, if nothing has changed since.
pub fn recall(store: &Path, manifest: &Path, question: &str) -> Option<Answers> {
    let store = store.canonicalize().ok()?;
    let bytes = fs::read(file_of(&store, manifest)).ok()?;
    let (head, stored) = parse(&bytes)?;
    let is_same = |path: &Path, stat: &Stat| Stat::of_file(path).as_ref() == Some(stat);
    let is_same_folder = |path: &Path, stat: &Stat| Stat::of_folder(path).as_ref() == Some(stat);
    let holds = head.question == question
        && head
            .sources
            .iter()
            .all(|(path, digest)| fs::read(path).is_ok_and(|text| Digest::of(&text) == *digest))
        && head
            .places
            .iter()
            .all(|(path, place)| path.canonicalize().is_ok_and(|found| found == *place))
        && (head.folders.par_iter()).all(|(path, stat)| is_same_folder(path, stat))
        && (head.files.par_iter()).all(|(path, stat)| is_same(path, stat))
        && stored.par_iter().all(|(folder, digits, stat)| {
            let folder = FOLDERS.get(usize::from(*folder)).copied();
            folder.is_some_and(|folder| is_same(&stored_at(&store, folder, digits), stat))
        });
    holds.then_some(head.answers)
}

/// A run that found everything as it should be.
#[derive(Debug)]
pub struct Settled<'a> {
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// Its plan.
    pub plan: &'a Plan,
    /// What it reported: hits only.
    pub report: &'a RunReport,
    /// Where it looked them up.
    pub store: &'a Store,
    /// When it began, before anything was read.
    pub began: SystemTime,
    /// Further files that it found as they should be, such as the lock.
    pub files: Vec<PathBuf>,
    /// Folders that it found published.
    pub published: Vec<PathBuf>,
}

impl Settled<'_> {
    /// Keeps the answers to a question for [`recall`].
    ///
    /// Nothing is kept of a run that depends on what cannot be looked at (programs, variables), or on
    /// files so young that their stat does not tell of a change.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, question: &str, answers: Answers) -> io::Result<()> {
        let Some((head, stored)) = self.seen(question, answers) else {
            return Ok(());
        };
        let path = file_of(self.store.root(), &self.manifest.path);
        write_atomically(&path, &to_bytes(&head, &stored)?)
    }

    fn seen(&self, question: &str, answers: Answers) -> Option<(Head, Vec<Stored>)> {
        let actions = self.plan.order().iter().map(|&id| self.plan.action(id));
        if actions
            .clone()
            .any(|action| !action.surroundings.is_empty())
        {
            return None;
        }
        let mut head = Head {
            question: question.to_owned(),
            sources: BTreeMap::new(),
            places: BTreeMap::new(),
            folders: BTreeMap::new(),
            files: BTreeMap::new(),
            answers,
        };
        for source in &self.manifest.sources {
            let digest = Digest::of(source.text.as_bytes());
            let path = self.manifest.folder().join(&source.path);
            head.sources.insert(absolute(path).ok()?, digest);
        }
        let mut files: BTreeSet<PathBuf> = self.files.iter().cloned().collect();
        for action in actions {
            for input in action.inputs.values() {
                if let PlannedInput::External(input) = input {
                    files.extend(input.files.values().map(|file| file.path.clone()));
                }
            }
        }
        let inputs = self.manifest.inputs.keys();
        let inputs: Vec<PathBuf> = inputs.map(|name| self.manifest.input_path(name)).collect();
        for path in inputs.iter().chain(&self.published) {
            let place = path.canonicalize().ok()?;
            let granularity = granularity(&place);
            for folder in folders_in(&place)? {
                let stat = Stat::of_folder(&folder)?;
                let stat = Some(stat).filter(|stat| stat.is_older_than(self.began, granularity))?;
                head.folders.insert(folder, stat);
            }
            head.places.insert(absolute(path).ok()?, place);
        }
        for path in &self.published {
            files.extend(walk_folder(path).ok()?.iter().map(|name| path.join(name)));
        }
        for path in files {
            let stat = self.settled(&path, granularity(&path))?;
            head.files.insert(absolute(path).ok()?, stat);
        }
        Some((head, self.stored()?))
    }

    /// Every record and object of the run.
    fn stored(&self) -> Option<Vec<Stored>> {
        let mut all: BTreeSet<(u8, Digest)> = BTreeSet::new();
        for action in &self.report.actions {
            let record = action.record.as_ref()?;
            all.insert((0, record.key.digits()));
            for artifact in record.outputs.values().flatten() {
                let tree = self.store.tree(&artifact.digest)?;
                all.insert((1, artifact.digest));
                all.extend(tree.files.values().map(|file| (1, file.digest)));
            }
        }
        let granularity = granularity(self.store.root());
        let all: Vec<_> = all.into_iter().collect();
        all.into_par_iter()
            .map(|(folder, digits)| {
                let path = stored_at(self.store.root(), FOLDERS[usize::from(folder)], &digits);
                Some((folder, digits, self.settled(&path, granularity)?))
            })
            .collect()
    }

    /// The stat of a file that has not changed since long before the run looked at it.
    fn settled(&self, path: &Path, granularity: i64) -> Option<Stat> {
        Stat::of_file(path).filter(|stat| stat.is_older_than(self.began, granularity))
    }
}

fn file_of(store: &Path, manifest: &Path) -> PathBuf {
    folder_of_manifest(store, manifest).join("settled")
}

fn to_bytes(head: &Head, stored: &[Stored]) -> io::Result<Vec<u8>> {
    let head = serde_json::to_vec(head)?;
    let mut body = (head.len() as u64).to_le_bytes().to_vec();
    body.extend(head);
    for (folder, digits, stat) in stored {
        body.push(*folder);
        body.extend(digits.as_bytes());
        body.extend(stat.to_bytes());
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend(Digest::of(&body).as_bytes());
    bytes.extend(body);
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Option<(Head, Vec<Stored>)> {
    const ENTRY: usize = 1 + 32 + Stat::BYTES;
    let (seal, body) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<32>()?;
    if Digest::of(body).as_bytes() != seal {
        return None;
    }
    let (length, rest) = body.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (head, rest) = rest.split_at_checked(length)?;
    let (entries, rest) = rest.as_chunks::<ENTRY>();
    let entry = |entry: &[u8; ENTRY]| -> Option<Stored> {
        let (folder, rest) = entry.split_first()?;
        let (digits, stat) = rest.split_first_chunk()?;
        let stat = Stat::from_bytes(stat.first_chunk()?);
        Some((*folder, Digest::from_bytes(*digits), stat))
    };
    let stored = entries.iter().map(entry).collect::<Option<_>>()?;
    rest.is_empty()
        .then_some((serde_json::from_slice(head).ok()?, stored))
}

#[cfg(test)]
mod tests;
