//! The learning stages on libtorch: networks, losses, optimizers, training, prediction, attribution.
//!
//! ```text
//! train.rs ──▶ data/ ──▶ tasks/, networks/, losses/, optimizers/ ──▶ trainer/ ──▶ checkpoint, artifact
//! predict.rs ──▶ prediction/, interpret/ ──▶ model (a MAPS of ours or of ClinicaDL) ──▶ evaluation, artifact
//! export/ ──▶ a module of TorchScript, which predict.rs takes for a model
//! quality_check/ ──▶ networks with published weights
//! ```
//!
//! Everything that touches libtorch is here; declarations of the stages are in `stages::learning`.
//! Results depend on inputs, parameters and seed, and on the numerics class that [`numerics`] tells.

mod artifact;
mod checkpoint;
mod data;
mod domains;
mod error;
mod evaluation;
mod exact;
mod export;
mod implemented;
mod interpret;
mod losses;
mod model;
mod module;
mod networks;
mod optimizers;
mod predict;
mod prediction;
mod quality_check;
mod session;
mod state;
mod tasks;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod train;
mod trainer;
mod transfer;
mod voting;
mod weights;
mod whole;

use engine::registry::{AnyStage, Native};
use stages::learning::{Export, Interpret, Predict, Train};
use stages::quality_check::QualityCheckT1Linear;

use implemented::Implemented;

pub use kernels::keep_memory;
pub use session::numerics;

/// The stages that run in the worker, sorted by ID.
pub static WORKER_STAGES: &[&dyn AnyStage] = &[
    &Native::<Implemented<Export>>::new(),
    &Native::<Implemented<Interpret>>::new(),
    &Native::<Implemented<Predict>>::new(),
    &Native::<Implemented<QualityCheckT1Linear>>::new(),
    &Native::<Implemented<Train>>::new(),
];
