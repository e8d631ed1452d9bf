//! A running stage's whole world: its inputs, its private output folders, random streams, events.
//!
//! Nothing else is reachable: what a stage could read besides its inputs could change the result
//! without changing the key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::StageError;
use crate::exec::program::Behalf;
use crate::exec::{Log, Program, Stop, Usage};
use crate::items::{Item, ItemStore, Written};
use crate::plan::find_program;
use crate::profile::Phase;
use crate::seed::Stream;

/// What a stage may use of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// Threads it should keep busy, at least 1.
    pub cpus: usize,
    /// Graphics processors reserved for it.
    pub gpus: usize,
}

/// What a stage tells while it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum StageEvent {
    /// `done` of `total` units are finished.
    Progress {
        /// Finished units.
        done: u64,
        /// Units in all.
        total: u64,
        /// What is counted, with the numbers worth showing: `epoch, validation loss 0.31`.
        detail: String,
    },
    /// Something worth knowing.
    Info {
        /// The message.
        message: String,
    },
    /// Something that may need attention.
    Warning {
        /// The message.
        message: String,
    },
    /// Items reused from and added to the store.
    Items {
        /// Items found in the store.
        reused: u64,
        /// Items computed.
        computed: u64,
    },
    /// A part of its work is done; told where a profile is wanted.
    Phase(Phase),
}

/// Receives the events of one action.
pub type EventSink = Arc<dyn Fn(StageEvent) + Send + Sync>;

/// One file of an input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputFile {
    /// Where its bytes are.
    pub path: PathBuf,
    /// What to call it in messages: the user's own path, or `stage.port/file`.
    pub shown: String,
    /// Content digest.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// The artifact connected to an input port.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// The kind of artifact.
    pub kind: String,
    /// Digest of the whole.
    pub digest: Digest,
    /// What to call it in messages.
    pub shown: String,
    /// Files by `/`-separated path relative to the root of the input.
    pub files: BTreeMap<String, InputFile>,
}

impl Input {
    /// The file at a relative path, if there is one.
    pub fn file(&self, path: &str) -> Option<&InputFile> {
        self.files.get(path)
    }

    /// The file at a relative path.
    ///
    /// # Errors
    /// There is none.
    pub fn require(&self, path: &str) -> Result<&InputFile, StageError> {
        self.file(path)
            .ok_or_else(|| StageError::new(format!("`{}` has no file `{path}`", self.shown)))
    }

    /// The only file of an input that is one file, such as a table.
    ///
    /// # Errors
    /// The input holds no file or several.
    pub fn only_file(&self) -> Result<&InputFile, StageError> {
        let mut files = self.files.values();
        match (files.next(), files.next()) {
            (Some(file), None) => Ok(file),
            _ => {
                let count = self.files.len();
                let message = format!("`{}` holds {count} files, expected exactly one", self.shown);
                Err(StageError::new(message))
            }
        }
    }
}

/// A private folder that becomes an artifact when the stage succeeds.
#[derive(Debug)]
pub struct Output {
    pub(crate) kind: String,
    pub(crate) folder: PathBuf,
    pub(crate) placed: Mutex<BTreeMap<String, (Digest, u64)>>,
}

impl Output {
    /// The folder to write files into. It exists and starts empty.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file at a `/`-separated relative path, creating folders as needed.
    ///
    /// # Errors
    /// Any I/O error, naming the file.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<(), StageError> {
        let target = self.create_path(path)?;
        std::fs::write(&target, bytes).map_err(|e| StageError::io("write", &target, &e))
    }

    /// The absolute path for a new file at `path`, its folders created.
    ///
    /// # Errors
    /// Any I/O error, naming the folder.
    pub fn create_path(&self, path: &str) -> Result<PathBuf, StageError> {
        let target = self.folder.join(path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)
                .map_err(|e| StageError::io("create folder", parent, &e))?;
        }
        Ok(target)
    }

    /// Adds a file of a cached item under `path`, without copying it.
    pub fn place(&self, path: &str, item: &Item) {
        self.placed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path.to_owned(), (item.digest, item.size));
    }
}

/// The world of one running action.
pub struct Context {
    pub(crate) inputs: BTreeMap<String, Input>,
    pub(crate) outputs: BTreeMap<String, Output>,
    pub(crate) split: Option<usize>,
    pub(crate) stream: Stream,
    pub(crate) slots: Slots,
    pub(crate) scratch: PathBuf,
    pub(crate) items: ItemStore,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) stop: Stop,
    pub(crate) log: Arc<Log>,
    pub(crate) usage: Arc<Mutex<Usage>>,
    pub(crate) guard: Option<PathBuf>,
    pub(crate) events: EventSink,
}

impl Context {
    /// The artifact connected to a required input port.
    ///
    /// # Errors
    /// The port is optional and nothing is connected, or the stage does not declare it.
    pub fn input(&self, port: &str) -> Result<&Input, StageError> {
        self.inputs
            .get(port)
            .ok_or_else(|| StageError::new(format!("nothing is connected to input `{port}`")))
    }

    /// The artifact connected to an optional input port.
    pub fn optional_input(&self, port: &str) -> Option<&Input> {
        self.inputs.get(port)
    }

    /// The private folder of an output port.
    ///
    /// # Errors
    /// The stage does not declare this output.
    pub fn output(&self, port: &str) -> Result<&Output, StageError> {
        self.outputs
            .get(port)
            .ok_or_else(|| StageError::internal(format!("output `{port}` is not declared")))
    }

    /// The split this action works on; `None` for a stage that runs once.
    pub fn split(&self) -> Option<usize> {
        self.split
    }

    /// The random stream of this action: already specific to seed, stage and split.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// What may be used of the machine.
    pub fn slots(&self) -> Slots {
        self.slots
    }

    /// A folder that survives an interruption of this very action, for checkpoints.
    ///
    /// It belongs to the action key: whatever is found there was written by the same computation.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn scratch(&self) -> Result<&Path, StageError> {
        std::fs::create_dir_all(&self.scratch)
            .map_err(|e| StageError::io("create scratch folder", &self.scratch, &e))?;
        Ok(&self.scratch)
    }

    /// Looks an item up in the store, or computes it; see [`crate::items`].
    ///
    /// `identity` names the computation (a canonical document with versions and parameters) and
    /// `input` the content it is made from. `compute` writes the item's bytes to the path it is given, and
    /// may tell their digest.
    ///
    /// # Errors
    /// Those of `compute`, and of writing to the store.
    pub fn item<W: Into<Written>>(
        &self,
        identity: &serde_json::Value,
        input: Digest,
        compute: impl FnOnce(&Path) -> Result<W, StageError>,
    ) -> Result<Item, StageError> {
        self.items.get_or_compute(identity, input, compute)
    }

    /// Where the bytes of an item are.
    pub fn item_path(&self, item: &Item) -> PathBuf {
        self.items.path(item)
    }

    /// Whether the run was interrupted.
    pub fn is_cancelled(&self) -> bool {
        self.stop.is_asked()
    }

    /// Leaves the stage with `?` when the run was interrupted. To be called once per unit of work.
    ///
    /// # Errors
    /// The run was interrupted.
    pub fn check_cancelled(&self) -> Result<(), StageError> {
        if self.is_cancelled() {
            Err(StageError::cancelled())
        } else {
            Ok(())
        }
    }

    /// The value of an environment variable, for the environment of a foreign process. A stage that
    /// passes one on declares it among its needs, so that its value is in the key.
    pub fn variable(&self, name: &str) -> Option<std::ffi::OsString> {
        std::env::var_os(name)
    }

    /// The file of a program: the one whose content is in the key, for a stage that declares it among
    /// its needs.
    ///
    /// # Errors
    /// It is neither on PATH nor an executable file.
    pub fn program(&self, name: &str) -> Result<PathBuf, StageError> {
        find_program(name)
            .ok_or_else(|| StageError::environment(format!("program `{name}` is not on PATH")))
    }

    /// Runs a foreign program until it ends; what it says goes to the log of this action.
    ///
    /// Everything that it started ends with it. It is terminated when the action is stopped, and killed
    /// when it holds more memory than the stage declares or when the engine is gone.
    ///
    /// # Errors
    /// It cannot be started, was stopped, held too much memory, or ended with another code than 0.
    pub fn run_program(&self, program: &Program) -> Result<(), StageError> {
        program.run(&Behalf {
            guard: self.guard.as_deref(),
            folder: self.scratch()?,
            stop: &self.stop,
            memory_limit: self.memory_limit,
            log: &self.log,
            usage: &self.usage,
        })
    }

    /// Tells how far the stage is.
    pub fn progress(&self, done: usize, total: usize, detail: impl Into<String>) {
        (self.events)(StageEvent::Progress {
            done: done as u64,
            total: total as u64,
            detail: detail.into(),
        });
    }

    /// Tells something worth knowing.
    pub fn info(&self, message: impl Into<String>) {
        (self.events)(StageEvent::Info {
            message: message.into(),
        });
    }

    /// Tells something that may need attention.
    pub fn warn(&self, message: impl Into<String>) {
        (self.events)(StageEvent::Warning {
            message: message.into(),
        });
    }
}
