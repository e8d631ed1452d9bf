//! Weights of networks: PyTorch archives, safetensors files and single tensors.
//!
//! ```text
//! bytes ── archive (zip) ──▶ pickle (data only) ──▶ read (views → arrays) ──▶ Weights
//! Weights ── write (pickle) ──▶ archive ──▶ bytes          safe ⇄ safetensors
//! ```
//!
//! A pickle is never executed: [`read_pth`] can only build dicts, numbers, strings and tensors, and
//! what a hostile file makes it allocate is bounded by the file's size. Writing is deterministic.

mod archive;
mod array;
mod error;
mod module;
mod numbers;
mod pickle;
mod read;
mod safe;
#[cfg(test)]
mod tests;
mod value;
mod write;

use indexmap::IndexMap;

pub use array::{Array, ArrayData, Dtype};
pub use error::WeightsError;
pub use module::{expose_buffers, pack_module, read_extra};
pub use numbers::Numbers;
pub use read::{read_pt, read_pth};
pub use safe::{head, read_safetensors, save_safetensors, write_safetensors};
pub use write::{save_pth, write_pt, write_pth};

/// Arrays by parameter name, in the order of the network's definition.
pub type Weights = IndexMap<String, Array>;

/// A parameter to write: its name, and its numbers wherever they are.
pub type Named<'a> = (&'a str, &'a dyn Numbers);

/// Weights, to be written.
fn named(weights: &Weights) -> Vec<Named<'_>> {
    let entries = weights.iter();
    entries
        .map(|(name, array)| (name.as_str(), array as &dyn Numbers))
        .collect()
}

/// What `model.pth.tar` holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint {
    /// The state dict.
    pub model: Weights,
    /// The epoch after which it was saved, counted from 0.
    pub epoch: Option<i64>,
    /// The network's name, such as `Conv5_FC3`.
    pub name: Option<String>,
}
