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
mod coordinator;
mod event;
mod numerics;
mod process;
mod report;
mod slots;
mod worker;

pub use action::{ActionSpec, Finished, OutputSpec, execute};
pub use coordinator::{Interrupt, RunError, RunOptions, run};
pub use event::{Event, EventHandler};
pub use numerics::NumericsClasses;
pub use report::{ActionOutcome, ActionReport, RunReport};
pub use slots::Machine;
pub use worker::{print_numerics, worker_main};

#[cfg(test)]
mod tests;
