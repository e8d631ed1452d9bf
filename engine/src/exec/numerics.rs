//! The numerics class that actions would have here, for runs that reuse results of the same class only.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::slots::{Free, Machine};
use crate::context::Slots;
use crate::error::StageError;
use crate::plan::{Plan, PlannedAction};
use crate::stage::RunsIn;

/// Class by slots. A result without a class depends on no hardware.
#[derive(Debug, Clone)]
pub struct NumericsClasses {
    machine: Machine,
    classes: BTreeMap<(usize, usize), Value>,
}

impl NumericsClasses {
    /// Asks the worker for the class of every action of a plan that it would execute.
    ///
    /// # Errors
    /// The worker cannot be started or does not answer.
    pub fn ask(worker: &Path, plan: &Plan, machine: Machine) -> Result<Self, StageError> {
        let mut classes = BTreeMap::new();
        for &id in plan.order() {
            let action = plan.action(id);
            if action.stage.stage.runs_in() != RunsIn::Worker {
                continue;
            }
            let slots = Free::new(machine).slots(&action.stage.resources);
            if let std::collections::btree_map::Entry::Vacant(unknown) =
                classes.entry((slots.cpus, slots.gpus))
            {
                unknown.insert(ask(worker, slots)?);
            }
        }
        Ok(Self { machine, classes })
    }

    /// The class that an action would have; none if it depends on no hardware.
    pub fn of(&self, action: &PlannedAction) -> Option<&Value> {
        let slots = Free::new(self.machine).slots(&action.stage.resources);
        (action.stage.stage.runs_in() == RunsIn::Worker)
            .then(|| self.classes.get(&(slots.cpus, slots.gpus)))?
    }
}

fn ask(worker: &Path, slots: Slots) -> Result<Value, StageError> {
    let output = Command::new(worker)
        .arg("numerics")
        .arg(slots.cpus.to_string())
        .arg(slots.gpus.to_string())
        .output()
        .map_err(|e| StageError::io("start", worker, &e))?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        StageError::environment(format!(
            "the worker does not tell its numerics class: {}",
            said.trim()
        ))
    })
}
