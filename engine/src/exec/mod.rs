//! Execution: one coordinator owns all state; actions run on threads or in worker processes and send
//! messages.
//!
//! ```text
//!            ┌────────────── messages ──────────────┐
//!            ▼                                      │
//!   coordinator ── spec ──▶ thread ── in place ──▶ stage
//!   (one thread)            thread ── worker process ──▶ stage on libtorch
//! ```
//!
//! An action runs when everything it reads is finished, its key is not in the store, and its slots
//! are free. Independent branches go on after a failure; dependants are skipped.

mod action;
mod child;
mod coordinator;
mod energy;
mod event;
mod guard;
mod job;
mod journal;
mod log;
mod numerics;
mod process;
pub(crate) mod program;
mod queue;
mod report;
mod slots;
mod stop;
mod usage;
mod worker;

pub use action::{ActionSpec, Finished, OutputSpec, Surroundings, execute, execute_in};
pub use child::{Ended, Gently, Supervision};
pub use coordinator::{RunError, RunOptions, run};
pub use energy::{EnergyMethod, Power, WATTS_PER_CORE};
pub use event::{Event, EventHandler};
pub use guard::{GUARD, guard_main};
pub use journal::{journal_path, log_path};
pub use log::Log;
pub use numerics::NumericsClasses;
pub use program::Program;
pub use report::{ActionOutcome, ActionReport, FailedTry, RunReport};
pub use slots::Machine;
pub use stop::{Interrupt, Stop};
pub use usage::Usage;
pub use worker::{print_numerics, worker_main};

#[cfg(test)]
mod tests;
