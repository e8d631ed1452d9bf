//! The manifest: an experiment as one file, with the fragments it includes.
//!
//! ```text
//! texts ─ yaml, toml ─▶ nodes with places ─ files ─▶ sections ─ params, matrix ─▶ cells
//!       ─ stage (defaults, schema) ─ connect ─▶ stages of a cell ─ cells, naming ─▶ Manifest
//! ```
//!
//! Every step collects issues instead of stopping, so that all problems of a manifest are shown at
//! once. There is no expression language and nothing in a manifest executes: checking one from an
//! unknown source is safe. Its size, nesting and expansion are limited, and it publishes inside of its
//! project only.

mod cells;
mod collect;
mod connect;
mod drawn;
mod editor;
mod files;
mod folder;
mod issue;
mod kinds;
mod matrix;
mod names;
mod naming;
mod node;
mod overrides;
mod params;
mod resolve;
mod schema;
mod search;
mod sharing;
mod source;
mod stage;
mod toml;
mod version;
mod wire;
mod yaml;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Map, Value};

pub use editor::manifest_schema;
pub use issue::{Issue, Issues, Severity, did_you_mean};
pub use overrides::Overrides;
pub use sharing::{Images, Participants, Redaction};
pub use wire::{Expectation, Goal, MANIFEST_FORMAT, MANIFEST_MINOR, Resources, duration};
pub use yaml::yaml_value;

use crate::registry::{AnyStage, Registry};
use crate::stage::Ports;
use crate::verify::VerifySettings;

/// A manifest whose every name, type and connection was checked.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The file it was read from.
    pub path: PathBuf,
    /// The text as read, for provenance.
    pub text: String,
    /// Every file it was read from, itself first, then fragments.
    pub sources: Vec<SourceText>,
    /// The experiment's name.
    pub name: String,
    /// The experiment's seed; that of the first cell of a matrix.
    pub seed: u64,
    /// External inputs: path as written, by name.
    pub inputs: IndexMap<String, String>,
    /// Stages by name, in order of the file: those of every cell of a matrix.
    pub stages: IndexMap<String, ResolvedStage>,
    /// The folder to publish, as written; that of the first cell of a matrix.
    pub maps: Option<String>,
    /// Bounds to verify, of every cell.
    pub expect: Vec<Expectation>,
    /// How to compare a second run.
    pub verify: VerifySettings,
    /// The params that were set on the command line.
    pub overrides: Vec<(String, Value)>,
    /// What may not be as it was meant.
    pub warnings: Vec<Issue>,
    /// How its cells are compared, which are trials of a search.
    pub search: Option<Search>,
    publications: Vec<Publication>,
}

/// How trials are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// `validation.loss`, as in bounds.
    pub metric: String,
    /// Whether it is better where it is less or greater; `None`: as the metric is.
    pub goal: Option<Goal>,
}

/// A file of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceText {
    /// Where it is, relative to the manifest's folder.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// What is published together: a cell of the matrix, or the whole experiment if there is no matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// `learning_rate=0.001, seed=1`; empty without a matrix.
    pub label: String,
    /// The params that the matrix gives to this cell.
    pub params: Map<String, Value>,
    /// The seed of this cell.
    pub seed: u64,
    /// Its stages: names in [`Manifest::stages`] by what the file calls them.
    pub stages: IndexMap<String, String>,
    /// Its bounds; their metrics name stages as the file does.
    pub expect: Vec<Expectation>,
    /// The folder to publish to.
    pub maps: Option<PathBuf>,
}

impl Publication {
    /// The label as a part of a path.
    pub fn mark(&self) -> String {
        folder::folder_name(&self.label)
    }
}

/// A stage of a manifest.
#[derive(Clone)]
pub struct ResolvedStage {
    /// What it does.
    pub stage: &'static dyn AnyStage,
    /// Parameters with every default.
    pub params: Value,
    /// The ports that these parameters give it.
    pub ports: Arc<Ports>,
    /// What is connected, by input port.
    pub inputs: IndexMap<String, Source>,
    /// The seed of its random draws.
    pub seed: u64,
    /// Whether it draws at all: only then is the seed in its key.
    pub is_seeded: bool,
    /// What it may use of the machine.
    pub resources: Resources,
    /// What to do when it fails or takes too long.
    pub patience: Patience,
    /// The splits to run, of a stage that runs once per split; `None` for all.
    pub splits: Option<Vec<usize>>,
}

impl std::fmt::Debug for ResolvedStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResolvedStage")
            .field("stage", &self.stage.id())
            .field("params", &self.params)
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}

/// How long to wait for a stage's actions, and how often to try. Never changes a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    /// How many more times to try when the machine fails an action.
    pub retries: u32,
    /// Time after which an action is stopped and counts as failed.
    pub timeout: Option<Duration>,
}

/// What an input port reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A name under `inputs:` of the manifest.
    External {
        /// The name.
        name: String,
        /// The kind that the port asks for.
        kind: String,
    },
    /// An output port of another stage.
    Stage {
        /// The stage's name in the manifest.
        stage: String,
        /// Its output port.
        port: String,
    },
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// Every problem found, in order of the file.
    pub fn load(path: &Path, registry: Registry) -> Result<Self, Issues> {
        Self::load_with(path, registry, &Overrides::default())
    }

    /// Reads and checks a manifest, some of whose params are set from outside.
    ///
    /// # Errors
    /// Every problem found, in order of the file.
    pub fn load_with(
        path: &Path,
        registry: Registry,
        overrides: &Overrides,
    ) -> Result<Self, Issues> {
        let text = source::read(path).map_err(|e| Issues::unreadable(path, &e))?;
        resolve::resolve(path, text, registry, overrides)
    }

    /// Checks a manifest's text; `path` tells the format by its extension and roots relative paths.
    ///
    /// # Errors
    /// Every problem found, in order of the file.
    pub fn parse(path: &Path, text: String, registry: Registry) -> Result<Self, Issues> {
        resolve::resolve(path, text, registry, &Overrides::default())
    }

    /// The folder against which relative paths are meant.
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// The path of a name under `inputs:`.
    pub fn input_path(&self, name: &str) -> PathBuf {
        self.folder()
            .join(self.inputs.get(name).map_or("", String::as_str))
    }

    /// What is published: one folder for each cell of the matrix, one in all without a matrix.
    pub fn publications(&self) -> &[Publication] {
        &self.publications
    }

    /// Whether a stage belongs to some trials of a search and not to all: it may fail.
    pub fn is_of_some_trials(&self, stage: &str) -> bool {
        let has_it = |trial: &Publication| trial.stages.values().any(|name| name == stage);
        self.search.is_some() && !self.publications.iter().all(has_it)
    }

    /// The experiment with those cells only that a condition holds for; its stages stay.
    #[must_use]
    pub fn with_cells(&self, is_kept: impl Fn(&Publication) -> bool) -> Self {
        let mut part = self.clone();
        part.publications.retain(is_kept);
        part
    }

    /// The folder to publish; the first of them, of a manifest with a matrix.
    pub fn maps_path(&self) -> Option<PathBuf> {
        self.publications.first()?.maps.clone()
    }

    /// The names of the stages that a person means by `name`: one stage, or those of every cell that
    /// the file calls so.
    pub fn stages_called(&self, name: &str) -> Vec<String> {
        if self.stages.contains_key(name) {
            return vec![name.to_owned()];
        }
        let mut found: Vec<String> = Vec::new();
        for publication in &self.publications {
            found.extend(publication.stages.get(name).cloned());
        }
        found.sort();
        found.dedup();
        found
    }

    /// The experiment of one cell by itself: its stages, seed, bounds and folder.
    #[must_use]
    pub fn of(&self, publication: &Publication) -> Self {
        let stages = publication.stages.values().filter_map(|name| {
            let stage = self.stages.get(name)?;
            Some((name.clone(), stage.clone()))
        });
        Self {
            path: self.path.clone(),
            text: self.text.clone(),
            sources: self.sources.clone(),
            name: self.name.clone(),
            seed: publication.seed,
            inputs: self.inputs.clone(),
            stages: stages.collect(),
            maps: self.maps.clone(),
            expect: publication.expect.clone(),
            verify: self.verify.clone(),
            overrides: self.overrides.clone(),
            warnings: self.warnings.clone(),
            search: self.search.clone(),
            publications: vec![publication.clone()],
        }
    }
}

#[cfg(test)]
mod tests;
