//! A network that is one layer, and one that is an encoder and a decoder.

use tch::{TchError, Tensor};

use super::layers::{Layer, Sequential, forward_all, widen};
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

/// An autoencoder: what its encoder gives is the code.
#[derive(Debug)]
pub(super) struct Coder {
    state: State,
    layers: Sequential,
}

impl Coder {
    /// Of an encoder and a decoder, the first and the second of these layers.
    pub(super) fn new(state: State, encoder: Sequential, decoder: Sequential) -> Self {
        let parts: [Box<dyn Layer>; 2] = [Box::new(encoder), Box::new(decoder)];
        Self {
            state,
            layers: Sequential::of(parts.into_iter()),
        }
    }
}

impl Network for Coder {
    fn compute(&self, images: &Tensor, mode: Mode) -> Result<Outputs, TchError> {
        self.layers.forward(images, mode).map(Outputs::of)
    }

    fn code(&self, images: &Tensor, _: &Outputs) -> Result<Option<Tensor>, TchError> {
        let encoder: Vec<&dyn Layer> = self
            .layers
            .layers()
            .map(|(_, layer)| layer)
            .take(1)
            .collect();
        let code = forward_all(&encoder, images, Mode::Evaluate)?;
        widen(&code).map(Some)
    }

    fn chain(&self) -> Option<Vec<(String, &dyn Layer)>> {
        self.layers.parts()
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn describe(&self) -> String {
        self.layers.describe().join("\n")
    }
}
