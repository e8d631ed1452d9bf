//! The engine: from a manifest to published results.
//!
//! ```text
//! manifest text ── manifest/ ──▶ Manifest ── plan/ ──▶ Plan ── exec/ ──▶ Outcome ── publish ──▶ folder
//!                 (all issues)             (petgraph)     │  key, store, items     provenance
//! ```
//!
//! It knows neither libtorch nor NIfTI nor MAPS: it sees stages as declarations and artifacts as
//! digest, kind and size. What a stage does it learns from the [`Registry`] it is given.

pub mod context;
pub mod digest;
pub mod error;
pub mod exec;
pub mod inputs;
pub mod items;
pub mod key;
pub mod lock;
pub mod manifest;
pub mod params;
pub mod plan;
pub mod profile;
pub mod provenance;
pub mod publish;
pub mod registry;
pub mod remote;
pub mod seed;
pub mod settled;
pub mod stage;
pub mod store;
#[cfg(test)]
mod testing;
pub mod verify;

pub use context::{Context, Input, InputFile, Output, StageEvent};
pub use digest::Digest;
pub use error::{FailureKind, StageError};
pub use registry::{Declared, Native, Registry};
pub use stage::{
    Config, Drawn, DrawnFrom, Imported, InputPort, OutputPort, ParamIssue, Ports, Run, RunsIn,
    Stage,
};
