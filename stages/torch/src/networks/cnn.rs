//! What networks of convolutions followed by fully connected layers have in common.

use tch::{Device, Kind, TchError, Tensor};

use super::Mode;
use super::layers::{Activation, Builder, Dense, Dropout, Flatten, Layer, Sequential};
use crate::session::{Session, Start};

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
///
/// If the weights will be replaced, and the statistics of batch norms with them, a batch without images
/// tells the same number.
pub(super) fn features(
    session: &Session,
    convolutions: &Sequential,
    input_size: &[i64],
) -> Result<i64, TchError> {
    let (images, mode) = match session.start() {
        Start::Drawn => (1, Mode::TrainPlain),
        Start::Replaced => (0, Mode::Evaluate),
    };
    let shape: Vec<i64> = std::iter::once(images)
        .chain(input_size.iter().copied())
        .collect();
    tch::no_grad(|| {
        let x = Tensor::f_zeros(shape, (Kind::Float, Device::Cpu))?;
        let features = convolutions.forward(&x, mode)?;
        Ok(features.size()[1..].iter().product())
    })
}
