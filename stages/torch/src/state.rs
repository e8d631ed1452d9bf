//! The named tensors of a network, in the order of PyTorch's `state_dict`.

use engine::StageError;
use tch::{Device, Tensor};

use crate::error::During;

/// What a tensor of a network is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Fitted by an optimizer.
    Parameter,
    /// Updated by forward passes, such as running statistics.
    Buffer,
    /// Like a parameter, of a layer that no forward pass uses: it stays as it is.
    Idle,
    /// A parameter that keeps the value it was given.
    Frozen,
}

/// One named tensor.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) tensor: Tensor,
}

/// Every tensor of a network.
#[derive(Debug, Default)]
pub(crate) struct State {
    entries: Vec<Entry>,
}

impl State {
    /// Adds a tensor at the end and returns another handle of it.
    pub(crate) fn add(&mut self, name: String, role: Role, tensor: Tensor) -> Tensor {
        let handle = tensor.shallow_clone();
        self.entries.push(Entry { name, role, tensor });
        handle
    }

    /// Makes the parameters from a position on idle.
    pub(crate) fn set_idle(&mut self, position: usize) {
        for entry in &mut self.entries[position..] {
            if entry.role == Role::Parameter {
                entry.role = Role::Idle;
            }
        }
    }

    /// Makes the parameters idle that a condition holds for, given their position.
    pub(crate) fn set_idle_where(&mut self, is_idle: impl Fn(usize) -> bool) {
        let parameters = self
            .entries
            .iter_mut()
            .filter(|e| e.role == Role::Parameter);
        for (position, entry) in parameters.enumerate() {
            if is_idle(position) {
                entry.role = Role::Idle;
            }
        }
    }

    /// Sorts the entries from a position on; equal ones keep their order.
    pub(crate) fn sort_after<K: Ord>(&mut self, position: usize, key: impl Fn(&str) -> K) {
        self.entries[position..].sort_by_key(|entry| key(&entry.name));
    }

    /// Every entry in `state_dict` order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Handles of the parameters, in the order that optimizers number them.
    pub(crate) fn parameters(&self) -> Vec<Tensor> {
        self.entries
            .iter()
            .filter(|entry| entry.role == Role::Parameter)
            .map(|entry| entry.tensor.shallow_clone())
            .collect()
    }

    /// Keeps the parameters that a condition holds for, given their position and name, as they are.
    pub(crate) fn freeze(&mut self, is_frozen: impl Fn(usize, &str) -> bool) -> usize {
        let parameters = self
            .entries
            .iter_mut()
            .filter(|e| e.role == Role::Parameter);
        let mut count = 0;
        for (position, entry) in parameters.enumerate() {
            if is_frozen(position, &entry.name) {
                entry.role = Role::Frozen;
                count += 1;
            }
        }
        count
    }

    /// Asks autograd to follow the parameters.
    pub(crate) fn require_gradients(&self) -> Result<(), StageError> {
        for parameter in &mut self.parameters() {
            drop(parameter.f_requires_grad_(true).during("track gradients")?);
        }
        Ok(())
    }

    /// Moves every tensor; handles held by layers follow.
    pub(crate) fn move_to(&mut self, device: Device) -> Result<(), StageError> {
        for entry in &mut self.entries {
            if entry.tensor.device() != device {
                let moved = entry.tensor.f_to_device(device).during("move weights")?;
                entry.tensor.f_set_data(&moved).during("move weights")?;
            }
        }
        Ok(())
    }
}
