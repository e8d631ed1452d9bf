//! Looking at everything that is stored, as a doubter would.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::gc::sharded;
use super::{ActionRecord, Store, StoreError, durable};
use crate::digest::Digest;
use crate::key::ActionKey;

/// Something that is not what its name says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The file, relative to the store.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
}

impl Store {
    /// Reads every object and every record, trusting nothing that was remembered: how many were looked
    /// at, and what is damaged. Damaged files are moved to `quarantine/`, so that no run meets them.
    ///
    /// # Errors
    /// A damaged file cannot be moved.
    pub fn check(&self) -> Result<(usize, Vec<Damage>), StoreError> {
        // What an interrupted write left is garbage, not damage.
        let finished = |folder: &str| {
            let mut found = sharded(&self.root().join(folder));
            found.retain(|(name, _)| !name.contains(".write-"));
            found
        };
        let (objects, records) = (finished("objects"), finished("actions"));
        let looked_at = objects.len() + records.len();
        let mut damaged: Vec<(PathBuf, String)> = objects
            .into_par_iter()
            .filter_map(|(name, path)| Some((path.clone(), wrong_object(&name, &path)?)))
            .collect();
        for (path, _) in &damaged {
            self.quarantine(path)?;
        }
        // Records are looked at when objects that lie are gone.
        let wrong: Vec<(PathBuf, String)> = records
            .into_par_iter()
            .filter_map(|(name, path)| Some((path.clone(), self.wrong_record(&name, &path)?)))
            .collect();
        for (path, _) in &wrong {
            self.quarantine(path)?;
        }
        damaged.extend(wrong);
        damaged.sort();
        let found = damaged.into_iter().map(|(path, problem)| Damage {
            path: path.strip_prefix(self.root()).unwrap_or(&path).to_owned(),
            problem,
        });
        Ok((looked_at, found.collect()))
    }

    fn wrong_record(&self, name: &str, path: &Path) -> Option<String> {
        let Ok(key) = name.parse::<ActionKey>() else {
            return Some("is no record".to_owned());
        };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) => return Some(e.to_string()),
        };
        let Some(record) = ActionRecord::from_bytes(&bytes) else {
            return Some("the record does not fit its seal".to_owned());
        };
        if record.key != key || ActionKey::of_document(&record.document) != key {
            return Some("the record belongs to another action".to_owned());
        }
        let is_item = record.document["item"].is_object();
        for (port, artifact) in record
            .outputs
            .iter()
            .flat_map(|(port, list)| list.iter().map(move |artifact| (port, artifact)))
        {
            let is_whole = if is_item {
                self.object_path(&artifact.digest).is_file()
            } else {
                self.tree(&artifact.digest).is_some_and(|tree| {
                    let mut files = tree.files.values();
                    files.all(|file| self.object_path(&file.digest).is_file())
                })
            };
            if !is_whole {
                return Some(format!("objects of output `{port}` are missing"));
            }
        }
        None
    }

    fn quarantine(&self, path: &Path) -> Result<(), StoreError> {
        let folder = self.root().join("quarantine");
        let name = path.strip_prefix(self.root()).unwrap_or(path);
        let name = name.to_string_lossy().replace('/', "-");
        durable::create_folders(&folder)
            .and_then(|()| fs::rename(path, folder.join(name)))
            .map_err(StoreError::io("put away", path))
    }
}

fn wrong_object(name: &str, path: &Path) -> Option<String> {
    let Ok(digest) = name.parse::<Digest>() else {
        return Some("is no object".to_owned());
    };
    match Digest::of_file(path) {
        Ok((found, _)) if found == digest => None,
        Ok((found, size)) => Some(format!(
            "its {size} bytes have the digest {}, not that of its name",
            found.short()
        )),
        Err(e) => Some(e.to_string()),
    }
}
