//! Stages: declarations of all of them, and the implementations that need no libtorch.
//!
//! One stage is one file and one line in [`STAGES`].

pub mod learning;

use engine::registry::AnyStage;

/// Every stage, sorted by ID.
pub static STAGES: &[&dyn AnyStage] = &[];
