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

    fn chain(&self) -> Option<Vec<(String, &dyn Layer)>> {
        self.layer.parts()
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
