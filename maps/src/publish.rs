//! Assembling a MAPS from the artifacts of a run.
//!
//! Every file of a model, of predictions, of attributions and of an ensemble has one place, given by
//! [`crate::layout`]; the files that belong to the MAPS as a whole are made from those of the splits.
//! Nothing is written here: the engine gets a list of paths and contents.
//!
//! # Determinism
//! The list is sorted by path and depends on the artifacts only, not on their order.

use std::collections::{BTreeMap, BTreeSet};

use engine::publish::{Content, FinishedArtifact, PublishedFile, Publisher};
use engine::{Digest, StageError};
use indexmap::IndexSet;
use serde_json::{Map, Value};

use crate::MapsError;
use crate::files::{GroupJson, LeakageJson, MapsJson, SessionsTable};
use crate::layout::{
    ENSEMBLE, ENVIRONMENT, GROUPS, INFORMATION_LOG, LEAKAGE, LEAKAGE_JSON, MAPS_JSON, TRAIN,
    TRAIN_VALIDATION, VALIDATION, ensemble_metrics_of, ensemble_of, metrics_table_of,
    published_path,
};

/// The artifact kinds that a MAPS is made of.
const KINDS: [&str; 4] = ["model", "predictions", "attributions", ENSEMBLE];
const MODEL: &str = "model";

/// Keys of `maps.json` that may differ from split to split.
const OF_A_SPLIT: [&str; 1] = ["split"];

/// Puts models, predictions, attributions and ensembles in the tree of a MAPS.
#[derive(Debug, Clone, Copy)]
pub struct MapsPublisher;

type Read<'a> = &'a dyn Fn(&Digest) -> Result<Vec<u8>, StageError>;

impl Publisher for MapsPublisher {
    fn layout(
        &self,
        artifacts: &[FinishedArtifact],
        read: Read<'_>,
    ) -> Result<Vec<PublishedFile>, StageError> {
        let mut artifacts: Vec<&FinishedArtifact> = artifacts
            .iter()
            .filter(|artifact| KINDS.contains(&artifact.kind.as_str()))
            .collect();
        artifacts.sort_by_key(|artifact| (split(artifact), &artifact.stage_name, &artifact.port));
        let mut assembly = Assembly::default();
        for artifact in &artifacts {
            assembly.add_artifact(artifact)?;
        }
        assembly.add_group_descriptions();
        assembly.add_certificate(read)?;
        let models: Vec<Model<'_>> = artifacts
            .iter()
            .filter(|artifact| artifact.kind == MODEL)
            .map(|artifact| Model { artifact, read })
            .collect();
        if let Some((first, others)) = models.split_first() {
            assembly.add_root(first, others)?;
        }
        Ok(assembly.into_files())
    }
}

fn split(artifact: &FinishedArtifact) -> usize {
    artifact.split.unwrap_or(0)
}

/// Names an artifact in messages.
fn origin(artifact: &FinishedArtifact) -> String {
    match artifact.split {
        Some(split) => format!("{} (split {split})", artifact.stage_name),
        None => artifact.stage_name.clone(),
    }
}

#[derive(Default)]
struct Assembly {
    files: BTreeMap<String, Placed>,
}

struct Placed {
    content: Content,
    digest: Digest,
    origin: String,
}

impl Assembly {
    fn add_artifact(&mut self, artifact: &FinishedArtifact) -> Result<(), MapsError> {
        for (path, file) in &artifact.tree.files {
            let is_of_whole = [MAPS_JSON, INFORMATION_LOG, TRAIN_VALIDATION];
            if artifact.kind == MODEL && is_of_whole.contains(&path.as_str()) {
                continue;
            }
            let path = match artifact.kind.as_str() {
                ENSEMBLE => path.clone(),
                _ => published_path(path, split(artifact)),
            };
            let placed = Placed {
                content: Content::Object(file.digest),
                digest: file.digest,
                origin: origin(artifact),
            };
            self.place(path, placed)?;
        }
        Ok(())
    }

    fn place(&mut self, path: String, placed: Placed) -> Result<(), MapsError> {
        match self.files.get(&path) {
            Some(first) if first.digest != placed.digest => Err(MapsError::Conflict {
                path,
                first: first.origin.clone(),
                second: placed.origin,
            }),
            Some(_) => Ok(()),
            None => {
                self.files.insert(path, placed);
                Ok(())
            }
        }
    }

    /// Adds bytes that no artifact has.
    fn write(&mut self, path: String, bytes: Vec<u8>) {
        let placed = Placed {
            digest: Digest::of(&bytes),
            content: Content::Bytes(bytes),
            origin: String::new(),
        };
        self.files.entry(path).or_insert(placed);
    }

    /// Every folder with the sessions of a data group tells where its images came from.
    fn add_group_descriptions(&mut self) {
        let folders: Vec<String> = self
            .files
            .keys()
            .filter(|path| path.starts_with(GROUPS))
            .filter_map(|path| Some(path.strip_suffix("/data.tsv")?.to_owned()))
            .collect();
        for folder in folders {
            self.write(
                format!("{folder}/{MAPS_JSON}"),
                GroupJson::default().to_bytes(),
            );
        }
    }

    /// What was checked about leakage, of all splits and data groups; and how often each group was used.
    fn add_certificate(&mut self, read: Read<'_>) -> Result<(), StageError> {
        let mut checked = Map::new();
        let mut allowed = Map::new();
        let mut models: BTreeMap<String, u64> = BTreeMap::new();
        // A model has a table of parts and one of images.
        let mut counted = BTreeSet::new();
        let mut joined = BTreeSet::new();
        for (path, placed) in &self.files {
            if let Some((split, metric, group)) = metrics_table_of(path)
                && ![TRAIN, VALIDATION].contains(&group)
                && counted.insert((split, metric, group))
            {
                *models.entry(group.to_owned()).or_default() += 1;
            }
            if let Some((name, metric, group)) = ensemble_metrics_of(path)
                && joined.insert((name, metric, group))
            {
                *models.entry(group.to_owned()).or_default() += 1;
            }
            let inside = ensemble_of(path).or_else(|| path.split_once('/'));
            let folder = inside.and_then(|(_, inside)| inside.split_once('/'));
            let is_certificate =
                folder.is_some_and(|(folder, _)| folder == LEAKAGE) && path.ends_with(".json");
            let Content::Object(digest) = &placed.content else {
                continue;
            };
            if !is_certificate {
                continue;
            }
            let document: Value = serde_json::from_slice(&read(digest)?)
                .map_err(|e| StageError::internal(format!("`{path}` is no JSON: {e}")))?;
            if document["allowed"]
                .as_array()
                .is_some_and(|list| !list.is_empty())
            {
                allowed.insert(path.clone(), document["allowed"].clone());
            }
            checked.insert(path.clone(), document);
        }
        if checked.is_empty() {
            return Ok(());
        }
        let certificate = LeakageJson {
            allowed,
            models_tested_on: models,
            checked,
        };
        self.write(LEAKAGE_JSON.to_owned(), certificate.to_bytes());
        Ok(())
    }

    /// Adds the files of the MAPS as a whole, `first` being the model of the lowest split.
    fn add_root(&mut self, first: &Model<'_>, others: &[Model<'_>]) -> Result<(), StageError> {
        let parameters = first.maps_json()?;
        let mut sessions = IndexSet::new();
        sessions.extend(first.sessions()?);
        for other in others {
            agree((first, &parameters), (other, &other.maps_json()?))?;
            sessions.extend(other.sessions()?);
        }
        let sessions = SessionsTable {
            rows: sessions.into_iter().collect(),
        };
        // A model does not know how many others there are.
        let splits = others
            .iter()
            .chain([first])
            .filter_map(|model| model.artifact.split);
        let count = splits.max().map_or(1, |last| last + 1);
        let parameters = parameters.with_splits(count);
        self.write(MAPS_JSON.to_owned(), parameters.to_bytes());
        self.write(TRAIN_VALIDATION.to_owned(), sessions.to_bytes());
        if let Some(file) = first.artifact.tree.files.get(INFORMATION_LOG) {
            self.write(INFORMATION_LOG.to_owned(), (first.read)(&file.digest)?);
        }
        let version = concat!("clinicadl==", env!("CARGO_PKG_VERSION"), "\n");
        self.write(ENVIRONMENT.to_owned(), version.into());
        Ok(())
    }

    fn into_files(self) -> Vec<PublishedFile> {
        let files = self.files.into_iter();
        files
            .map(|(path, placed)| PublishedFile {
                path,
                content: placed.content,
            })
            .collect()
    }
}

/// The model of one split.
struct Model<'a> {
    artifact: &'a FinishedArtifact,
    read: Read<'a>,
}

impl Model<'_> {
    fn maps_json(&self) -> Result<MapsJson, StageError> {
        let (bytes, file) = self.file(MAPS_JSON)?;
        Ok(MapsJson::read(&bytes, &file)?)
    }

    fn sessions(&self) -> Result<Vec<crate::files::Session>, StageError> {
        let (bytes, file) = self.file(TRAIN_VALIDATION)?;
        Ok(SessionsTable::read(&bytes, &file)?.rows)
    }

    /// The bytes of a file, and its name for messages.
    fn file(&self, path: &str) -> Result<(Vec<u8>, String), StageError> {
        let origin = origin(self.artifact);
        let file = self.artifact.tree.files.get(path).ok_or_else(|| {
            StageError::internal(format!("the model of `{origin}` has no file `{path}`"))
        })?;
        Ok(((self.read)(&file.digest)?, format!("{path} of {origin}")))
    }
}

/// Checks that two models were asked to do the same.
fn agree(
    (first, left): (&Model<'_>, &MapsJson),
    (second, right): (&Model<'_>, &MapsJson),
) -> Result<(), MapsError> {
    let keys: IndexSet<&String> = left.fields().keys().chain(right.fields().keys()).collect();
    let differs = |key: &&&String| {
        !OF_A_SPLIT.contains(&key.as_str()) && left.fields().get(**key) != right.fields().get(**key)
    };
    let Some(key) = keys.iter().find(differs) else {
        return Ok(());
    };
    let show = |fields: &MapsJson| {
        fields
            .fields()
            .get(*key)
            .map_or_else(String::new, Value::to_string)
    };
    Err(MapsError::Disagreement {
        key: (*key).clone(),
        first: origin(first.artifact),
        left: show(left),
        second: origin(second.artifact),
        right: show(right),
    })
}
