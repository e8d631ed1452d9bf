//! Stages: declarations of all of them, and the implementations that need no libtorch.
//!
//! One stage is one file and one line in [`STAGES`].

pub mod caps;
pub mod clinical;
pub mod command;
pub mod generate;
pub mod io;
pub mod learning;
pub mod metrics;
pub mod prepare_data;
pub mod preprocessing;
pub mod split;
pub mod statistics;
pub mod table;
pub mod tensor_file;
pub mod volume;

use engine::registry::{AnyStage, Declared, Native};

/// Every stage, sorted by ID.
pub static STAGES: &[&dyn AnyStage] = &[
    &Native::<split::Adapt>::new(),
    &Native::<clinical::Analysis>::new(),
    &Native::<command::Command>::new(),
    &Native::<generate::Generate>::new(),
    &Native::<clinical::GetLabels>::new(),
    &Native::<clinical::GetMetadata>::new(),
    &Native::<clinical::GetProgression>::new(),
    &Declared::<learning::Interpret>::new(),
    &Native::<split::KFold>::new(),
    &Declared::<learning::Predict>::new(),
    &Native::<prepare_data::PrepareData>::new(),
    &Native::<split::PrepareExperiment>::new(),
    &Native::<split::Split>::new(),
    &Declared::<learning::Train>::new(),
];
