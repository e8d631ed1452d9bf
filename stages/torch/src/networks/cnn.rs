//! Convolutions followed by fully connected layers.

use tch::{Device, Kind, TchError, Tensor};

use super::layers::{Activation, Builder, Dense, Dropout, Flatten, Layer, Sequential, block};
use super::{Mode, Network, Outputs};
use crate::state::State;

/// `convolutions`, then `fc`.
#[derive(Debug)]
pub(super) struct Cnn {
    state: State,
    convolutions: Sequential,
    fc: Sequential,
}

impl Cnn {
    /// A network of two parts that were made.
    pub(super) fn new(builder: Builder<'_>, convolutions: Sequential, fc: Sequential) -> Self {
        Self {
            state: builder.finish(),
            convolutions,
            fc,
        }
    }
}

/// Dropout and three fully connected layers of these sizes, under a name.
pub(super) fn three_layers(
    builder: &mut Builder<'_>,
    name: &str,
    dropout: f64,
    [features, first, second, outputs]: [i64; 4],
) -> Result<Sequential, TchError> {
    Sequential::make_in(builder, name, |s| {
        s.add(Flatten)?;
        s.add(Dropout(dropout))?;
        s.add(Dense::new(features, first))?;
        s.add(Activation::Relu)?;
        s.add(Dense::new(first, second))?;
        s.add(Activation::Relu)?;
        s.add(Dense::new(second, outputs))
    })
}

/// Passes one image of zeros through the convolutions in training mode, as ClinicaDL 1.6.1 does when it
/// builds a network; returns the number of features.
pub(super) fn features(convolutions: &Sequential, input_size: &[i64]) -> Result<i64, TchError> {
    let shape: Vec<i64> = std::iter::once(1)
        .chain(input_size.iter().copied())
        .collect();
    tch::no_grad(|| {
        let x = Tensor::f_zeros(shape, (Kind::Float, Device::Cpu))?;
        let features = convolutions.forward(&x, Mode::Train)?;
        Ok(features.size().iter().product())
    })
}

impl Network for Cnn {
    fn compute(&self, images: &Tensor, mode: Mode) -> Result<Outputs, TchError> {
        let features = self.convolutions.forward(images, mode)?;
        self.fc.forward(&features, mode).map(Outputs::of)
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn describe(&self) -> String {
        let parts = [
            ("0", self.convolutions.describe()),
            ("1", self.fc.describe()),
        ];
        block("Sequential", parts.into_iter()).join("\n")
    }
}
