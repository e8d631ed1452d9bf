//! What a run tells while it goes on: the one stream that progress bars, logs and records consume.

use serde::Serialize;

use crate::context::StageEvent;
use crate::error::StageError;

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// The plan is known.
    Planned {
        /// Number of actions.
        actions: usize,
    },
    /// An action's result was in the store.
    Hit {
        /// The action.
        action: String,
    },
    /// An action started.
    Started {
        /// The action.
        action: String,
        /// Why it runs.
        reason: String,
    },
    /// Another process is computing this action.
    Waiting {
        /// The action.
        action: String,
    },
    /// The other process is done with it without a result: it is computed here.
    Turn {
        /// The action.
        action: String,
    },
    /// A running action told something.
    Stage {
        /// The action.
        action: String,
        /// What it told.
        #[serde(flatten)]
        event: StageEvent,
    },
    /// An action finished.
    Finished {
        /// The action.
        action: String,
        /// Wall time in seconds.
        elapsed_s: f64,
    },
    /// An action's result came from a remote.
    Pulled {
        /// The action.
        action: String,
        /// Bytes that came.
        bytes: u64,
    },
    /// An action failed.
    Failed {
        /// The action.
        action: String,
        /// Why.
        error: StageError,
    },
    /// An action failed and will be tried again.
    Retrying {
        /// The action.
        action: String,
        /// Why it failed.
        error: StageError,
        /// Tries so far.
        attempts: u32,
        /// Seconds until the next try.
        delay_s: f64,
    },
    /// An action cannot run because of an earlier failure.
    Skipped {
        /// The action.
        action: String,
        /// The action that failed.
        because: String,
    },
    /// The run was interrupted and waits for running actions to stop.
    Stopping,
}

/// Receives the events of a run, on the coordinator's thread.
pub type EventHandler<'a> = &'a mut dyn FnMut(&Event);
