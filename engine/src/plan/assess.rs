//! What a plan finds in the store: which actions are hits, which will run, and why.

use std::collections::BTreeMap;

use super::{ActionId, LastRun, Plan, PlannedAction, PlannedInput};
use crate::context::{Input, InputFile};
use crate::exec::NumericsClasses;
use crate::inputs::{input_of, tree_of};
use crate::key::{
    ActionKey, Change, FileChanges, KEY_FORMAT, KeyDocument, KeyInput, Keyed, Reason, diff,
};
use crate::manifest::Manifest;
use crate::store::{ActionRecord, Artifact, Store};

/// The state of an action before a run.
#[derive(Debug, Clone)]
pub enum State {
    /// Its result is in the store.
    Hit(Box<ActionRecord>),
    /// It will run.
    Run {
        /// Its key.
        key: ActionKey,
        /// Why.
        reason: Reason,
    },
    /// An earlier action will run first; whether this one must is known afterwards.
    Pending {
        /// The earlier action.
        upstream: ActionId,
        /// What is known to have changed besides.
        besides: Vec<Change>,
    },
}

/// The state of every action.
#[derive(Debug)]
pub struct Assessment {
    /// States in order of the plan.
    pub states: Vec<(ActionId, State)>,
    /// Where in `states` an action is.
    places: Vec<usize>,
}

impl Assessment {
    /// Whether nothing has to run.
    pub fn is_up_to_date(&self) -> bool {
        self.states
            .iter()
            .all(|(_, state)| matches!(state, State::Hit(_)))
    }

    /// The state of one action.
    pub fn state(&self, action: ActionId) -> Option<&State> {
        let place = *self.places.get(action.index())?;
        self.states.get(place).map(|(_, state)| state)
    }

    /// The state of one action in a word: `hit`, `run` or `maybe`.
    pub fn word(&self, action: ActionId) -> &'static str {
        match self.state(action) {
            Some(State::Hit(_)) => "hit",
            Some(State::Run { .. }) => "run",
            Some(State::Pending { .. }) | None => "maybe",
        }
    }
}

/// What makes a stored result unwelcome.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// Stages, by name, whose actions run whatever the store holds.
    pub forced: Vec<String>,
    /// With these, a result computed by another class of hardware and libraries is computed again.
    pub same_class: Option<NumericsClasses>,
}

/// Looks every action up in the store. Nothing is executed and nothing is written.
pub fn assess(
    plan: &Plan,
    manifest: &Manifest,
    store: &Store,
    conditions: &Conditions,
) -> Assessment {
    let last = LastRun::of(store, manifest);
    let mut records: BTreeMap<ActionId, BTreeMap<String, Vec<Artifact>>> = BTreeMap::new();
    let mut states = Vec::with_capacity(plan.order().len());
    let mut places = vec![usize::MAX; plan.order().len()];
    for &id in plan.order() {
        let action = plan.action(id);
        let mut upstream = plan.dependencies(id).iter();
        let state = match upstream.find(|d| !records.contains_key(d)) {
            Some(&upstream) => State::Pending {
                upstream,
                besides: known_changes(plan, action, &records, store, &last),
            },
            None => match inputs_of(plan, action, &records, store) {
                Some(inputs) => {
                    let keyed = key_document(action, &inputs).keyed();
                    examine(action, &inputs, &keyed, store, &last, conditions)
                }
                // What a hit named is gone: the action that made it runs again.
                None => State::Pending {
                    upstream: id,
                    besides: Vec::new(),
                },
            },
        };
        if let State::Hit(record) = &state {
            records.insert(id, record.outputs.clone());
        }
        places[id.index()] = states.len();
        states.push((id, state));
    }
    Assessment { states, places }
}

/// Decides whether one action with known inputs is a hit.
pub(crate) fn examine(
    action: &PlannedAction,
    inputs: &BTreeMap<String, Input>,
    keyed: &Keyed,
    store: &Store,
    last: &LastRun,
    conditions: &Conditions,
) -> State {
    let Keyed { key, document } = keyed;
    let key = *key;
    if conditions.forced.contains(&action.stage_name) {
        return State::Run {
            key,
            reason: Reason::Forced,
        };
    }
    match store.record(&key) {
        Some(record) => {
            let reason = lost_output(&record, store)
                .map(|port| Reason::OutputLost { port })
                .or_else(|| other_class(action, &record, conditions));
            match reason {
                None => State::Hit(Box::new(record)),
                Some(reason) => State::Run { key, reason },
            }
        }
        None => {
            let reason = match last.get(&action.name()) {
                None => Reason::New,
                Some(old) if old == document => Reason::RecordMissing,
                Some(old) => Reason::Changed {
                    changes: changes(old, document, inputs, store),
                },
            };
            State::Run { key, reason }
        }
    }
}

/// Why a result is not reused although it is stored: it was computed elsewhere, and that matters.
fn other_class(
    action: &PlannedAction,
    record: &ActionRecord,
    conditions: &Conditions,
) -> Option<Reason> {
    let now = conditions.same_class.as_ref()?.of(action)?;
    let stored = record.numerics.clone().unwrap_or_default();
    (stored != *now).then(|| Reason::NumericsClass {
        stored,
        now: now.clone(),
    })
}

/// Every difference of key documents, with the files by which inputs differ.
pub(crate) fn changes(
    old: &KeyDocument,
    new: &KeyDocument,
    inputs: &BTreeMap<String, Input>,
    store: &Store,
) -> Vec<Change> {
    let mut changes = diff(old, new);
    for change in &mut changes {
        let Change::Input { port, files, .. } = change else {
            continue;
        };
        if let Some(before) = old.inputs.get(port)
            && let Some(now) = inputs.get(port)
            && let Some(tree) = store.tree(&before.digest)
        {
            *files = Some(FileChanges::between(&tree, &tree_of(now)));
        }
    }
    changes
}

/// What changed for an action that waits: everything but the inputs that are not known yet.
fn known_changes(
    plan: &Plan,
    action: &PlannedAction,
    outputs: &BTreeMap<ActionId, BTreeMap<String, Vec<Artifact>>>,
    store: &Store,
    last: &LastRun,
) -> Vec<Change> {
    let Some(old) = last.get(&action.name()) else {
        return Vec::new();
    };
    let known = known_inputs(plan, action, outputs, store);
    let mut new = key_document(action, &known);
    for port in action.inputs.keys() {
        if let (None, Some(before)) = (known.get(port), old.inputs.get(port)) {
            new.inputs.insert(port.clone(), before.clone());
        }
    }
    changes(old, &new, &known, store)
}

/// Keeps the list of files that an action reads, so that a later reason can name those that changed.
/// Without it the reason is less precise, nothing else.
pub(crate) fn remember_inputs(inputs: &BTreeMap<String, Input>, store: &Store) {
    for input in inputs.values() {
        if !store.object_path(&input.digest).exists()
            && let Err(error) = store.put_bytes(&tree_of(input).to_bytes())
        {
            tracing::debug!(%error, "the list of files of an input was not kept");
        }
    }
}

/// The first output whose files are not all in the store, whole.
fn lost_output(record: &ActionRecord, store: &Store) -> Option<String> {
    record
        .outputs
        .iter()
        .find(|(_, artifacts)| {
            artifacts
                .iter()
                .any(|a| store.whole_tree(&a.digest).is_none())
        })
        .map(|(port, _)| port.clone())
}

/// The inputs of an action, once every action it reads from is finished.
///
/// `None` if an artifact is missing from `outputs` or from the store.
pub fn inputs_of(
    plan: &Plan,
    action: &PlannedAction,
    outputs: &BTreeMap<ActionId, BTreeMap<String, Vec<Artifact>>>,
    store: &Store,
) -> Option<BTreeMap<String, Input>> {
    let known = known_inputs(plan, action, outputs, store);
    (known.len() == action.inputs.len()).then_some(known)
}

/// Those inputs of an action that are known already.
pub(super) fn known_inputs(
    plan: &Plan,
    action: &PlannedAction,
    outputs: &BTreeMap<ActionId, BTreeMap<String, Vec<Artifact>>>,
    store: &Store,
) -> BTreeMap<String, Input> {
    let selector = action.stage.stage.selector(&action.stage.params);
    let read = |port: &str, input: &PlannedInput| -> Option<Input> {
        let (output, parts) = match input {
            PlannedInput::External(input) => return Some((**input).clone()),
            PlannedInput::Action {
                action,
                port,
                index,
            } => (port, vec![(String::new(), *action, *index)]),
            PlannedInput::Splits { port, parts } => {
                let parts = parts.iter();
                let inside =
                    parts.map(|(split, action, i)| (format!("split-{split}/"), *action, *i));
                (port, inside.collect())
            }
        };
        let mut files = BTreeMap::new();
        let (mut kind, mut shown) = (String::new(), String::new());
        for (folder, provider, index) in parts {
            let artifact = outputs.get(&provider)?.get(output)?.get(index)?;
            let tree = store.tree(&artifact.digest)?;
            let provider = plan.action(provider);
            let name = format!("{}.{output}", provider.name());
            for (path, file) in &tree.files {
                let inside = format!("{folder}{path}");
                if selector(port, &inside) {
                    let input = InputFile {
                        path: store.object_path(&file.digest),
                        shown: format!("{name}/{path}"),
                        digest: file.digest,
                        size: file.size,
                    };
                    files.insert(inside, input);
                }
            }
            shown = match folder.is_empty() {
                true => name,
                false => format!("{}.{output}", provider.stage_name),
            };
            kind.clone_from(&artifact.kind);
        }
        Some(input_of(&kind, &shown, files))
    };
    action
        .inputs
        .iter()
        .filter_map(|(port, input)| Some((port.clone(), read(port, input)?)))
        .collect()
}

/// The document that names an action with these inputs.
pub fn key_document(action: &PlannedAction, inputs: &BTreeMap<String, Input>) -> KeyDocument {
    let stage = action.stage.stage;
    KeyDocument {
        key_format: KEY_FORMAT,
        stage: stage.id().to_owned(),
        version: stage.version(),
        params: stage.semantic(&action.stage.params),
        inputs: inputs
            .iter()
            .map(|(port, input)| {
                (
                    port.clone(),
                    KeyInput {
                        kind: input.kind.clone(),
                        digest: input.digest,
                    },
                )
            })
            .collect(),
        outputs: action
            .outputs
            .iter()
            .map(|output| {
                let kind = match output.splits {
                    Some(count) => format!("{} × {count}", output.kind),
                    None => output.kind.clone().into_owned(),
                };
                (output.name.clone().into_owned(), kind)
            })
            .collect(),
        seed: action
            .stage
            .is_seeded
            .then(|| action.stage.seed.to_string()),
        split: action.split,
        surroundings: (*action.surroundings).clone(),
    }
}
