//! A network that is one layer.

use tch::{TchError, Tensor};

use super::layers::{Layer, Sequential};
use super::{Mode, Network, Outputs};
use crate::state::State;

/// Tensors, and the layer that they are of.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) state: State,
    pub(super) layer: Box<dyn Layer>,
}

impl Plain {
    /// Two parts, one after the other.
    pub(super) fn chain(state: State, parts: [Sequential; 2]) -> Self {
        let parts = parts.map(|part| Box::new(part) as Box<dyn Layer>);
        Self {
            state,
            layer: Box::new(Sequential::of(parts.into_iter())),
        }
    }
}

impl Network for Plain {
    fn compute(&self, images: &Tensor, mode: Mode) -> Result<Outputs, TchError> {
        self.layer.forward(images, mode).map(Outputs::of)
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn describe(&self) -> String {
        self.layer.describe().join("\n")
    }
}

/// Draws the weights of convolutions anew, in the order of the state: normal with variance 2 / `fan`,
/// which is told the shape of a weight. Biases of fully connected layers, which are those of weights with
/// two axes, become 0.
pub(super) fn draw_as_he(state: &State, fan: fn(&[i64]) -> i64) -> Result<(), TchError> {
    tch::no_grad(|| {
        let mut is_dense = false;
        for entry in state.entries() {
            let mut tensor = entry.tensor.shallow_clone();
            let size = tensor.size();
            if size.len() > 2 {
                let deviation = (2.0 / fan(&size) as f64).sqrt();
                drop(tensor.f_normal_(0.0, deviation)?);
            } else if size.len() == 1 && is_dense && entry.name.ends_with(".bias") {
                drop(tensor.f_zero_()?);
            }
            is_dense = size.len() == 2;
        }
        Ok(())
    })
}
