//! One action, executed: from its specification to stored outputs.
//!
//! The same function runs on a thread of the engine and in a worker process; what it needs is in the
//! specification, so that an action can be handed to another process as a file.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::log::Log;
use super::stop::Stop;
use super::usage::Usage;
use crate::context::{Context, EventSink, Input, Output, Slots, StageEvent};
use crate::digest::Digest;
use crate::error::StageError;
use crate::items::ItemStore;
use crate::key::ActionKey;
use crate::profile::recorded;
use crate::registry::Registry;
use crate::seed::Stream;
use crate::store::{Artifact, Batch, Store};

/// Everything an action needs to run anywhere with access to the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActionSpec {
    /// The name shown to people: `train (split 0)`.
    pub name: String,
    /// The key under which the result will be recorded.
    pub key: ActionKey,
    /// Stage ID.
    pub stage: String,
    /// Resolved parameters.
    pub params: Value,
    /// Inputs by port.
    pub inputs: BTreeMap<String, Input>,
    /// Outputs by port.
    pub outputs: BTreeMap<String, OutputSpec>,
    /// The split, for a stage that runs once per split.
    pub split: Option<usize>,
    /// The experiment's seed.
    pub seed: u64,
    /// What it may use of the machine.
    pub slots: Slots,
    /// Bytes of memory that a process of it may hold.
    #[serde(default)]
    pub memory_limit: Option<u64>,
    /// Tell where its time goes.
    #[serde(default)]
    pub profile: bool,
    /// The store's folder.
    pub store: PathBuf,
}

/// Who listens to a running action, and who may stop it.
pub struct Surroundings {
    /// Receives what the stage tells.
    pub events: EventSink,
    /// Ends the action.
    pub stop: Stop,
    /// Takes what its processes say.
    pub log: Arc<Log>,
    /// What its processes used.
    pub usage: Arc<Mutex<Usage>>,
    /// The program that starts foreign ones and ends them with the engine; none in tests.
    pub guard: Option<PathBuf>,
}

/// An output of an action.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OutputSpec {
    /// Kind of artifact.
    pub kind: String,
    /// Number of artifacts in folders `split-<i>`; `None` for one artifact.
    pub splits: Option<usize>,
}

/// What an action made: its artifacts are in the store, its record is not written yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finished {
    /// Artifacts by output port.
    pub outputs: BTreeMap<String, Vec<Artifact>>,
    /// Items reused from the store.
    pub items_reused: u64,
    /// Items computed.
    pub items_computed: u64,
}

/// Runs an action in this process.
///
/// # Errors
/// Those of [`execute_in`].
pub fn execute(
    spec: &ActionSpec,
    registry: Registry,
    store: &Store,
    events: EventSink,
    stop: impl Into<Stop>,
) -> Result<Finished, StageError> {
    let surroundings = Surroundings {
        events,
        stop: stop.into(),
        log: Arc::new(Log::new(None)),
        usage: Arc::default(),
        guard: None,
    };
    execute_in(spec, registry, store, &surroundings)
}

/// Runs an action in this process.
///
/// A panic of the stage is caught and becomes an internal error of this action alone.
///
/// # Errors
/// Those of the stage; an output that was declared and not written.
pub fn execute_in(
    spec: &ActionSpec,
    registry: Registry,
    store: &Store,
    surroundings: &Surroundings,
) -> Result<Finished, StageError> {
    let stage = registry
        .find(&spec.stage)
        .ok_or_else(|| StageError::internal(format!("stage `{}` is not built in", spec.stage)))?;
    let work = store.temporary_folder()?;
    let items = ItemStore::new(store.clone(), spec.slots.cpus);
    let context = Context {
        inputs: spec.inputs.clone(),
        outputs: create_outputs(spec, work.path())?,
        split: spec.split,
        stream: stream_of(spec),
        slots: spec.slots,
        scratch: store.scratch(&spec.key),
        items: items.clone(),
        memory_limit: spec.memory_limit,
        stop: surroundings.stop.clone(),
        log: surroundings.log.clone(),
        usage: surroundings.usage.clone(),
        guard: surroundings.guard.clone(),
        events: surroundings.events.clone(),
    };
    let run = || catch_unwind(AssertUnwindSafe(|| stage.run(&spec.params, &context)));
    let ran = match spec.profile {
        true => recorded(context.events.clone(), run),
        false => run(),
    };
    ran.unwrap_or_else(|panic| Err(StageError::internal(panic_message(&*panic))))?;
    let mut outputs = BTreeMap::new();
    let mut batch = store.batch();
    for (port, declared) in &spec.outputs {
        let output = &context.outputs[port];
        outputs.insert(port.clone(), collect(&mut batch, port, declared, output)?);
    }
    batch.store()?;
    store.remove_later(work);
    let (items_reused, items_computed) = items.counts();
    if items_reused + items_computed > 0 {
        (surroundings.events)(StageEvent::Items {
            reused: items_reused,
            computed: items_computed,
        });
    }
    Ok(Finished {
        outputs,
        items_reused,
        items_computed,
    })
}

/// The stream of an action depends on seed, stage and split, never on the stage's name in a manifest.
fn stream_of(spec: &ActionSpec) -> Stream {
    let stage = Stream::root(spec.seed).child(&spec.stage);
    match spec.split {
        Some(split) => stage.child("split").child(split),
        None => stage.child("all"),
    }
}

fn create_outputs(
    spec: &ActionSpec,
    work: &std::path::Path,
) -> Result<BTreeMap<String, Output>, StageError> {
    spec.outputs
        .iter()
        .map(|(port, declared)| {
            let folder = work.join(port);
            std::fs::create_dir_all(&folder)
                .map_err(|e| StageError::io("create folder", &folder, &e))?;
            let output = Output {
                kind: declared.kind.clone(),
                folder,
                placed: std::sync::Mutex::default(),
            };
            Ok((port.clone(), output))
        })
        .collect()
}

/// Takes an output folder for the store: one artifact, or one per split.
fn collect(
    batch: &mut Batch<'_>,
    port: &str,
    declared: &OutputSpec,
    output: &Output,
) -> Result<Vec<Artifact>, StageError> {
    let placed = output
        .placed
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let parts: Vec<(PathBuf, String)> = match declared.splits {
        None => vec![(output.folder.clone(), String::new())],
        Some(count) => (0..count)
            .map(|i| {
                (
                    output.folder.join(format!("split-{i}")),
                    format!("split-{i}/"),
                )
            })
            .collect(),
    };
    parts
        .into_iter()
        .map(|(folder, prefix)| {
            let placed: BTreeMap<String, (Digest, u64)> = placed
                .iter()
                .filter_map(|(path, &file)| Some((path.strip_prefix(&prefix)?.to_owned(), file)))
                .collect();
            if !folder.is_dir() {
                return Err(StageError::internal(format!(
                    "nothing was written to `{port}`"
                )));
            }
            let (digest, tree) = batch.folder(&folder, &placed)?;
            if tree.files.is_empty() {
                return Err(StageError::internal(format!(
                    "nothing was written to `{port}`"
                )));
            }
            Ok(Artifact {
                kind: output.kind.clone(),
                digest,
                size: tree.size(),
            })
        })
        .collect()
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the stage panicked".to_owned())
}
