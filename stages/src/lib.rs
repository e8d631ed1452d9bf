//! Stages: declarations of all of them, and the implementations that need no libtorch.
//!
//! One stage is one file and one line in [`STAGES`].

pub mod atlas;
pub mod augmentation;
pub mod baselines;
pub mod calibrate;
pub mod caps;
pub mod clinical;
pub mod command;
pub mod compare;
pub mod consistency;
pub mod ensemble;
pub mod extraction;
pub mod generate;
mod grid;
pub mod io;
pub mod leakage;
pub mod learning;
pub mod listed;
pub mod metrics;
pub mod parallel;
pub mod predictions;
pub mod prepare_data;
pub mod preprocessing;
pub mod quality_check;
pub mod split;
pub mod statistics;
pub mod table;
pub mod tensor_file;
pub mod thumbnail;
pub mod volume;
pub mod voting;

use engine::registry::{AnyStage, Declared, Native};

/// Every stage, sorted by ID.
pub static STAGES: &[&dyn AnyStage] = &[
    &Native::<split::Adapt>::new(),
    &Native::<clinical::Analysis>::new(),
    &Native::<baselines::Baselines>::new(),
    &Native::<calibrate::Calibrate>::new(),
    &Native::<command::Command>::new(),
    &Native::<compare::Compare>::new(),
    &Native::<ensemble::Ensemble>::new(),
    &Declared::<learning::Export>::new(),
    &Native::<generate::Generate>::new(),
    &Native::<generate::GenerateArtifacts>::new(),
    &Native::<generate::GenerateHypometabolic>::new(),
    &Native::<generate::GenerateRandom>::new(),
    &Native::<generate::GenerateSheppLogan>::new(),
    &Native::<generate::GenerateTrivial>::new(),
    &Native::<clinical::GetLabels>::new(),
    &Native::<clinical::GetMetadata>::new(),
    &Native::<clinical::GetProgression>::new(),
    &Declared::<learning::Interpret>::new(),
    &Native::<split::KFold>::new(),
    &Native::<clinical::MergeCohorts>::new(),
    &Declared::<learning::Predict>::new(),
    &Native::<prepare_data::PrepareData>::new(),
    &Native::<split::PrepareExperiment>::new(),
    &Native::<quality_check::QualityCheckPetLinear>::new(),
    &Declared::<quality_check::QualityCheckT1Linear>::new(),
    &Native::<quality_check::QualityCheckT1Volume>::new(),
    &Native::<split::Split>::new(),
    &Declared::<learning::Train>::new(),
];
