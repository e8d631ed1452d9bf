//! Stages that partition participants: a participant's sessions always stay together.
//!
//! Which part a participant belongs to is decided on its first session; its other sessions follow.

mod adapt;
mod balance;
mod folds;
mod groups;
mod kfold;
mod mersenne;
mod partition;
mod prepare_experiment;
mod single;
mod strata;

pub use adapt::{Adapt, AdaptParams};
pub use balance::{CategoricalTest, NumericTest};
pub use kfold::{KFold, KFoldParams};
pub use prepare_experiment::{PrepareExperiment, PrepareExperimentParams, ValidationType};
pub use single::{Split, SplitParams};

use partition::{Partition, ValidationSessions};

#[cfg(test)]
mod tests;
