//! The leakage firewall: what a model is tested on, it has not seen in any form.
//!
//! ```text
//! tables + images.tsv ─▶ Group (who, made from whom, which voxels) ─▶ separation ─▶ Certificate
//! ```
//!
//! The five ways in which studies leak, after Wen et al. 2020, doi:10.1016/j.media.2020.101694, and where
//! each is refused:
//!
//! | scenario | refused by |
//! |---|---|
//! | no independent test set | [`plan`]: the tested table is one that the model was trained or selected on; prediction |
//! | biased split of sessions, slices or patches | training: a participant is on both sides |
//! | late split, after augmentation, selection or fitted statistics | training: copies of one person; [`plan`]: a fitted stage before the split |
//! | biased transfer learning | prediction: participants of pre-training are carried along |
//! | biased ensembling | prediction: each model refuses what it or its selection saw |
//!
//! Identities are compared by cohort and participant, by the participant that a synthetic one was made
//! from, and by the digest of the voxels, which no header, type of numbers or compression hides.

mod certificate;
mod group;
pub mod plan;
mod scenario;
mod separation;

pub use certificate::{Certificate, Check};
pub use group::{Group, Origin, SEEN, Seen};
pub use scenario::Scenario;
pub use separation::{Allowed, separate};

/// The data group that tells how well a training on two domains does on the one it is not made for.
pub const SOURCE_VALIDATION: &str = "source validation";

/// Column that names the participant whose images a synthetic one was made from.
pub const DERIVED_FROM: &str = "derived_from";

#[cfg(test)]
mod tests;
