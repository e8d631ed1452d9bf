//! Execution: a coordinator that owns all state, actions that run on threads or in worker processes.

mod action;

pub use action::{ActionSpec, Finished, OutputSpec, execute};
