//! Images and labels on their way to the network.
//!
//! ```text
//! tables + images.tsv ── cohort ──▶ samples ── loader (threads: read, transforms) ──▶ batches
//! ```
//!
//! What a batch holds depends on the order it was asked for, never on the number of threads.

pub(crate) mod cohort;
pub(crate) mod loader;
pub(crate) mod sampler;
pub(crate) mod shared;
pub(crate) mod transforms;

pub(crate) use cohort::{Cohort, Images, Key, Sample};
pub(crate) use loader::{Batch, Batches, Changes, Dataset};
pub(crate) use shared::Shared;
pub(crate) use transforms::Transforms;
