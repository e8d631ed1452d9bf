//! What a run did.

use serde::Serialize;

use super::usage::Usage;
use crate::context::Slots;
use crate::error::StageError;
use crate::key::{ActionKey, KeyDocument, Reason};
use crate::plan::PlannedAction;
use crate::store::ActionRecord;

/// The account of a run, action by action.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RunReport {
    /// Actions in order of the plan.
    pub actions: Vec<ActionReport>,
    /// Wall time in seconds.
    pub elapsed_s: f64,
    /// Whether the run was interrupted.
    pub interrupted: bool,
}

/// The account of one action.
#[derive(Debug, Clone, Serialize)]
pub struct ActionReport {
    /// The action.
    pub action: String,
    /// The stage's name in the manifest.
    pub stage_name: String,
    /// The stage's ID.
    pub stage: String,
    /// The split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<usize>,
    /// The key, once its inputs were known.
    pub key: Option<ActionKey>,
    /// The document that the key names.
    #[serde(skip)]
    pub document: Option<KeyDocument>,
    /// What happened.
    pub outcome: ActionOutcome,
    /// Wall time in seconds, of an action that ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_s: Option<f64>,
    /// Bytes of its result that came from a remote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pulled_bytes: Option<u64>,
    /// What it was allowed to use, of an action that ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<Slots>,
    /// Tries that the machine failed before the last one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_tries: Vec<FailedTry>,
    /// How often it was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// When its last try started and ended (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between: Option<(String, String)>,
    /// What its processes used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Its log, relative to the store, if anything was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Items reused from the store and items computed, of a stage that maps over images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<(u64, u64)>,
    /// Its stored result.
    #[serde(skip)]
    pub record: Option<ActionRecord>,
}

/// A try after which an action was tried again.
#[derive(Debug, Clone, Serialize)]
pub struct FailedTry {
    /// When it started and ended (RFC 3339).
    pub between: (String, String),
    /// Why it failed.
    pub error: StageError,
    /// What its processes used.
    pub usage: Usage,
}

/// What happened to an action.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum ActionOutcome {
    /// Its result was in the store.
    Hit,
    /// It ran.
    Ran {
        /// Why.
        why: Reason,
    },
    /// It failed.
    Failed {
        /// Why.
        error: StageError,
    },
    /// It could not run because of an earlier action.
    Skipped {
        /// That action.
        because: String,
    },
    /// The run was interrupted first.
    NotReached,
}

impl ActionReport {
    /// A report of an action that has not run.
    pub(super) fn new(action: &PlannedAction, outcome: ActionOutcome) -> Self {
        Self {
            action: action.name(),
            stage_name: action.stage_name.clone(),
            stage: action.stage.stage.id().to_owned(),
            split: action.split,
            key: None,
            document: None,
            outcome,
            elapsed_s: None,
            slots: None,
            failed_tries: Vec::new(),
            attempts: None,
            pulled_bytes: None,
            between: None,
            usage: None,
            log: None,
            items: None,
            record: None,
        }
    }
}

impl RunReport {
    /// Number of actions whose result was in the store.
    pub fn hits(&self) -> usize {
        self.count(|outcome| matches!(outcome, ActionOutcome::Hit))
    }

    /// Number of hits whose result came from a remote.
    pub fn pulled(&self) -> usize {
        let came = |action: &&ActionReport| action.pulled_bytes.is_some();
        self.actions.iter().filter(came).count()
    }

    /// Number of actions that ran.
    pub fn ran(&self) -> usize {
        self.count(|outcome| matches!(outcome, ActionOutcome::Ran { .. }))
    }

    /// Whether every action has its result.
    pub fn is_complete(&self) -> bool {
        self.hits() + self.ran() == self.actions.len()
    }

    /// The failures, in order of the plan.
    pub fn failures(&self) -> impl Iterator<Item = (&ActionReport, &StageError)> {
        self.actions
            .iter()
            .filter_map(|action| match &action.outcome {
                ActionOutcome::Failed { error } => Some((action, error)),
                _ => None,
            })
    }

    fn count(&self, which: impl Fn(&ActionOutcome) -> bool) -> usize {
        self.actions
            .iter()
            .filter(|action| which(&action.outcome))
            .count()
    }
}
