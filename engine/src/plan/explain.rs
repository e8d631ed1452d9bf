//! Why an action runs or not, in full: its key document against an earlier one.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::assess::{changes, known_inputs};
use super::{ActionId, Assessment, LastRun, Plan, State, key_document};
use crate::key::{ActionKey, Change, KeyDocument, Reason};
use crate::manifest::Manifest;
use crate::store::{Artifact, Store};

/// The whole story of one action before a run.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The action.
    pub action: String,
    /// `hit`, `run` or `maybe`.
    pub state: &'static str,
    /// Why it runs; none for a hit.
    pub why: Option<Reason>,
    /// Its key; none while an input is not known.
    pub key: Option<ActionKey>,
    /// What the key is made of, as far as it is known.
    pub document: KeyDocument,
    /// Input ports whose content an earlier action still has to make.
    pub unknown_inputs: Vec<String>,
    /// What `changes` compares with; none if there is nothing to compare with.
    pub compared_with: Option<String>,
    /// Every difference.
    pub changes: Vec<Change>,
    /// The stored result of a hit.
    pub outputs: BTreeMap<String, Vec<Artifact>>,
    /// The class of hardware and libraries that computed a hit.
    pub numerics: Option<Value>,
}

/// What an action is compared with, with a name for it.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// How to call it.
    pub name: String,
    /// Its key document.
    pub document: KeyDocument,
}

impl Earlier {
    /// What this action was in the last run of the manifest.
    pub fn last_run(plan: &Plan, manifest: &Manifest, store: &Store, id: ActionId) -> Option<Self> {
        let last = LastRun::of(store, manifest);
        let document = last.get(&plan.action(id).name())?.clone();
        Some(Self {
            name: "its last run".to_owned(),
            document,
        })
    }

    /// A stored result by the first digits of its key; `None` if no result or several fit.
    pub fn stored(store: &Store, digits: &str) -> Option<Self> {
        let record = store.record_starting_with(digits)?;
        Some(Self {
            name: format!("the result {}", record.key.short()),
            document: serde_json::from_value(record.document).ok()?,
        })
    }
}

/// Explains one action of an assessed plan.
pub fn explain(
    plan: &Plan,
    assessment: &Assessment,
    store: &Store,
    id: ActionId,
    earlier: Option<&Earlier>,
) -> Explanation {
    let action = plan.action(id);
    let outputs = assessment
        .states
        .iter()
        .filter_map(|(id, state)| match state {
            State::Hit(record) => Some((*id, record.outputs.clone())),
            _ => None,
        })
        .collect();
    let inputs = known_inputs(plan, action, &outputs, store);
    let document = key_document(action, &inputs);
    let unknown_inputs: Vec<String> = action
        .inputs
        .keys()
        .filter(|port| !inputs.contains_key(*port))
        .cloned()
        .collect();
    let changes = earlier.map_or_else(Vec::new, |earlier| {
        let mut now = document.clone();
        for port in &unknown_inputs {
            if let Some(before) = earlier.document.inputs.get(port) {
                now.inputs.insert(port.clone(), before.clone());
            }
        }
        changes(&earlier.document, &now, &inputs, store)
    });
    let state = assessment.state(id);
    let why = match state {
        Some(State::Run { reason, .. }) => Some(reason.clone()),
        Some(State::Pending { upstream, besides }) => Some(Reason::UpstreamWillRun {
            action: plan.action(*upstream).name(),
            besides: besides.clone(),
        }),
        Some(State::Hit(_)) | None => None,
    };
    let hit = match state {
        Some(State::Hit(record)) => Some(record),
        _ => None,
    };
    Explanation {
        action: action.name(),
        state: assessment.word(id),
        why,
        key: unknown_inputs.is_empty().then(|| document.key()),
        document,
        unknown_inputs,
        compared_with: earlier.map(|earlier| earlier.name.clone()),
        changes,
        outputs: hit.map(|record| record.outputs.clone()).unwrap_or_default(),
        numerics: hit.and_then(|record| record.numerics.clone()),
    }
}
