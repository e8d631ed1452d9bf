//! Parameters and buffers of a network, by name and in order.

use engine::StageError;
use indexmap::IndexMap;
use maps::weights::Weights;
use tch::{Kind, Tensor};

use crate::convert::{array_of, tensor_of};

/// The named tensors of a network; cloning a tensor shares its storage with the network.
#[derive(Debug, Default)]
pub struct State {
    entries: IndexMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    tensor: Tensor,
    trainable: bool,
}

impl State {
    /// Adds a parameter that training changes, and returns it as the network uses it.
    pub(super) fn parameter(&mut self, name: &str, tensor: Tensor) -> Tensor {
        let tensor = tensor.set_requires_grad(true);
        self.insert(name, &tensor, true);
        tensor
    }

    /// Adds a buffer, and returns it as the network uses it.
    pub(super) fn buffer(&mut self, name: &str, tensor: Tensor) -> Tensor {
        self.insert(name, &tensor, false);
        tensor
    }

    fn insert(&mut self, name: &str, tensor: &Tensor, trainable: bool) {
        let entry = Entry { tensor: tensor.shallow_clone(), trainable };
        self.entries.insert(name.to_owned(), entry);
    }

    /// The parameters that training changes, in order.
    pub fn trainable(&self) -> Vec<Tensor> {
        let entries = self.entries.values().filter(|entry| entry.trainable);
        entries.map(|entry| entry.tensor.shallow_clone()).collect()
    }

    /// Number of values in parameters.
    pub fn parameter_count(&self) -> usize {
        self.trainable().iter().map(Tensor::numel).sum()
    }

    /// Copies every tensor out.
    ///
    /// # Errors
    /// A tensor of a type that weights cannot have, which is a bug.
    pub fn to_weights(&self) -> Result<Weights, StageError> {
        let entries = self.entries.iter();
        entries.map(|(name, entry)| Ok((name.clone(), array_of(&entry.tensor)?))).collect()
    }

    /// Copies every tensor in. Names and shapes must be the network's, all and only.
    ///
    /// # Errors
    /// A tensor is missing, unknown or of another shape; `shown` names the file.
    pub fn load(&self, weights: &Weights, shown: &str) -> Result<(), StageError> {
        let missing = self.entries.keys().filter(|name| !weights.contains_key(*name));
        let unknown = weights.keys().filter(|name| !self.entries.contains_key(*name));
        let missing: Vec<&String> = missing.collect();
        let unknown: Vec<&String> = unknown.collect();
        if !missing.is_empty() || !unknown.is_empty() {
            return Err(StageError::new(format!(
                "`{shown}` does not fit the network: missing {missing:?}, unknown {unknown:?}"
            ))
            .hint("the weights belong to another network"));
        }
        for (name, entry) in &self.entries {
            let new = tensor_of(&weights[name])?;
            let (expected, got) = (entry.tensor.size(), new.size());
            if expected != got {
                return Err(StageError::new(format!(
                    "`{shown}` does not fit the network: `{name}` has shape {got:?}, expected \
                     {expected:?}"
                ))
                .hint("the weights belong to images of another shape or to other classes"));
            }
            tch::no_grad(|| {
                let mut tensor = entry.tensor.shallow_clone();
                tensor.copy_(&new);
            });
        }
        Ok(())
    }

    /// Whether every floating-point value is finite.
    pub fn is_finite(&self) -> bool {
        self.entries.values().all(|entry| {
            entry.tensor.kind() != Kind::Float || bool::try_from(entry.tensor.isfinite().all()).unwrap_or(false)
        })
    }
}
