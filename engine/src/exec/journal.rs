//! What a run did, line by line as it happens: a run that was killed leaves a journal without an end.
//!
//! A run that has nothing to do writes none, so that the journal of the last work stays.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::event::Event;
use crate::digest::Digest;
use crate::manifest::Manifest;
use crate::provenance::timestamp;
use crate::store::Store;

/// The file with the journal of a manifest's last work.
pub fn journal_path(store: &Store, manifest: &Manifest) -> PathBuf {
    store.manifest_folder(manifest).join("journal.jsonl")
}

/// The file with the log of an action's last run.
pub fn log_path(store: &Store, manifest: &Manifest, action: &str) -> PathBuf {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut name: String = action
        .chars()
        .map(|c| if is_safe(c) { c } else { '_' })
        .take(80)
        .collect();
    if name != action {
        // Two names may look alike afterwards.
        let digest = Digest::of(action.as_bytes()).short();
        name = format!("{}-{digest}", name.trim_matches('_'));
    }
    store
        .manifest_folder(manifest)
        .join("logs")
        .join(format!("{name}.log"))
}

/// Writes the journal; created by the first line.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Option<File>,
}

impl Journal {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Adds what happened, if it is worth keeping.
    pub(super) fn note(&mut self, event: &Event) {
        let is_kept = matches!(
            event,
            Event::Started { .. }
                | Event::Waiting { .. }
                | Event::Turn { .. }
                | Event::Finished { .. }
                | Event::Pulled { .. }
                | Event::Failed { .. }
                | Event::Retrying { .. }
                | Event::Skipped { .. }
                | Event::Stopping
        );
        if !is_kept {
            return;
        }
        if self.file.is_none() {
            self.file = open(&self.path);
            self.line(json!({ "type": "run", "clinicadl": env!("CARGO_PKG_VERSION") }));
        }
        self.line(serde_json::to_value(event).unwrap_or_default());
    }

    /// Adds the end, if there is a journal.
    pub(super) fn end(mut self, counts: Value) {
        if self.file.is_some() {
            self.line(json!({ "type": "end", "counts": counts }));
        }
    }

    /// A journal that cannot be written is missed by nobody but its readers.
    fn line(&mut self, mut entry: Value) {
        entry["time"] = timestamp(SystemTime::now()).into();
        if let Some(file) = &mut self.file {
            drop(file.write_all(format!("{entry}\n").as_bytes()));
        }
    }
}

fn open(path: &Path) -> Option<File> {
    fs::create_dir_all(path.parent()?).ok()?;
    File::create(path).ok()
}
