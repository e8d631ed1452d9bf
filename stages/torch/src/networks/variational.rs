//! An encoder, a latent distribution and a decoder.

use tch::{TchError, Tensor};

use super::layers::{Layer, block};
use super::{Latent, Mode, Network, Outputs};
use crate::state::State;

/// A variational autoencoder.
///
/// In training the code is drawn from the latent distribution, from libtorch's generator; in evaluation
/// it is the mean.
///
/// # Source
/// Kingma and Welling 2014, arXiv:1312.6114.
#[derive(Debug)]
pub(super) struct Variational {
    pub(super) state: State,
    pub(super) encoder: Box<dyn Layer>,
    pub(super) mean: Box<dyn Layer>,
    pub(super) log_variance: Box<dyn Layer>,
    pub(super) decoder: Box<dyn Layer>,
    /// The Python class and the names of its parts, for the text.
    pub(super) shown: (&'static str, [&'static str; 4]),
}

impl Network for Variational {
    fn compute(&self, images: &Tensor, mode: Mode) -> Result<Outputs, TchError> {
        let features = self.encoder.forward(images, mode)?;
        let latent = Latent {
            mean: self.mean.forward(&features, mode)?,
            log_variance: self.log_variance.forward(&features, mode)?,
        };
        let code = latent.code(mode)?;
        Ok(Outputs {
            prediction: self.decoder.forward(&code, mode)?,
            latent: Some(latent),
        })
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn describe(&self) -> String {
        let parts = [&self.encoder, &self.mean, &self.log_variance, &self.decoder];
        let (class, names) = self.shown;
        let parts = names.into_iter().zip(parts.map(|part| part.describe()));
        block(class, parts).join("\n")
    }
}
