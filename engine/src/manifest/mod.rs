//! The manifest: an experiment as one file.
//!
//! ```text
//! text ── source (YAML, TOML) ──▶ value + spans ── schema ──▶ wire ── resolve ──▶ Manifest
//! ```
//!
//! Every step collects issues instead of stopping, so that all problems of a manifest are shown at
//! once. There is no expression language and nothing in a manifest executes: checking one from an
//! unknown source is safe.

mod issue;
mod resolve;
mod schema;
mod sharing;
mod source;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;

pub(crate) use issue::did_you_mean;
pub use issue::{Issue, Issues};
pub use schema::manifest_schema;
pub use sharing::{Images, Participants, Redaction};
pub use source::yaml_value;
pub use wire::{Expectation, MANIFEST_FORMAT, Resources, duration};

use crate::registry::{AnyStage, Registry};
use crate::verify::VerifySettings;

/// A manifest whose every name, type and connection was checked.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The file it was read from.
    pub path: PathBuf,
    /// The text as read, for provenance.
    pub text: String,
    /// The experiment's name.
    pub name: String,
    /// The experiment's seed.
    pub seed: u64,
    /// External inputs: path as written, by name.
    pub inputs: IndexMap<String, String>,
    /// Stages by name, in order of the file.
    pub stages: IndexMap<String, ResolvedStage>,
    /// The folder to publish, as written.
    pub maps: Option<String>,
    /// Bounds to verify.
    pub expect: Vec<Expectation>,
    /// How to compare a second run.
    pub verify: VerifySettings,
}

/// A stage of a manifest.
#[derive(Clone)]
pub struct ResolvedStage {
    /// What it does.
    pub stage: &'static dyn AnyStage,
    /// Parameters with every default.
    pub params: Value,
    /// What is connected, by input port.
    pub inputs: IndexMap<String, Source>,
    /// The seed of its random draws.
    pub seed: u64,
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
        let text = std::fs::read_to_string(path).map_err(|e| Issues::unreadable(path, &e))?;
        Self::parse(path, text, registry)
    }

    /// Checks a manifest's text; `path` tells the format by its extension and roots relative paths.
    ///
    /// # Errors
    /// Every problem found, in order of the file.
    pub fn parse(path: &Path, text: String, registry: Registry) -> Result<Self, Issues> {
        let document = source::parse(path, &text)?;
        resolve::resolve(path, text, document, registry)
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

    /// The folder to publish.
    pub fn maps_path(&self) -> Option<PathBuf> {
        self.maps.as_ref().map(|maps| self.folder().join(maps))
    }
}

#[cfg(test)]
mod tests;
