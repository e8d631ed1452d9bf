//! Layers that halve maps and double them, for autoencoders.

use tch::{TchError, Tensor};

use super::Mode;
use super::layers::{Activation, Builder, Conv, Layer, Make, Norm, Sequential, block};

/// Slope of the activations below zero on the way down.
const SLOPE: f64 = 0.2;

/// A convolution of stride 2 without bias, batch norm and leaky ReLU.
///
/// # Source
/// `EncoderLayer2D`, `EncoderLayer3D` of ClinicaDL 1.6.1.
pub(super) struct Down {
    axes: usize,
    conv: Conv,
    norm: Norm,
}

impl Down {
    /// With a kernel of 3 or 4.
    pub(super) fn new(axes: usize, input: i64, output: i64, kernel: i64) -> Self {
        let conv = Conv::new(axes, input, output, kernel);
        Self {
            axes,
            conv: conv.stride(2).padding(1).without_bias(),
            norm: Norm::Batch {
                axes,
                channels: output,
            },
        }
    }
}

/// A transposed convolution of stride 2 without bias, batch norm and ReLU.
///
/// # Source
/// `DecoderLayer2D`, `DecoderLayer3D` of ClinicaDL 1.6.1.
pub(super) struct Up {
    axes: usize,
    conv: Conv,
    norm: Norm,
}

impl Up {
    /// With a kernel of 3 or 4.
    pub(super) fn new(axes: usize, input: i64, output: i64, kernel: i64) -> Self {
        let conv = Conv::new(axes, input, output, kernel).transposed();
        Self {
            axes,
            conv: conv.stride(2).padding(1).without_bias(),
            norm: Norm::Batch {
                axes,
                channels: output,
            },
        }
    }

    /// Voxels that are added at the end of each axis.
    pub(super) fn output_padding(self, padding: &[i64]) -> Self {
        Self {
            conv: self.conv.output_padding(padding),
            ..self
        }
    }
}

impl Make for Down {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        activated(
            builder,
            format!("EncoderLayer{}D", self.axes),
            self.conv,
            self.norm,
            Activation::LeakyRelu(SLOPE),
        )
    }
}

impl Make for Up {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        activated(
            builder,
            format!("DecoderLayer{}D", self.axes),
            self.conv,
            self.norm,
            Activation::Relu,
        )
    }
}

fn activated(
    builder: &mut Builder<'_>,
    name: String,
    conv: Conv,
    norm: Norm,
    activation: Activation,
) -> Result<Box<dyn Layer>, TchError> {
    let layer = Sequential::make_in(builder, "layer", |s| {
        s.add(conv)?;
        s.add(norm)
    })?;
    Ok(Box::new(Activated {
        name,
        layer,
        activation,
    }))
}

#[derive(Debug)]
struct Activated {
    name: String,
    layer: Sequential,
    activation: Activation,
}

impl Layer for Activated {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let x = self.layer.forward(x, mode)?;
        self.activation.forward_owned(x, mode)
    }

    fn is_block(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        block(&self.name, [("layer", self.layer.describe())].into_iter())
    }
}

/// Sizes of a map before and after each of so many convolutions of stride 2 and padding 1, with a kernel
/// of 3 (halves are rounded up) or 4 (down).
pub(super) fn halved(size: &[i64], times: usize, kernel: i64) -> Vec<Vec<i64>> {
    let mut sizes = vec![size.to_vec()];
    for i in 0..times {
        let next = sizes[i]
            .iter()
            .map(|axis| (axis + 2 - kernel).div_euclid(2) + 1);
        sizes.push(next.collect());
    }
    sizes
}

/// What a transposed convolution of stride 2 and padding 1 must add to come from one size to another.
pub(super) fn fit(from: &[i64], to: &[i64], kernel: i64) -> Vec<i64> {
    let pairs = from.iter().zip(to);
    pairs
        .map(|(from, to)| to - (2 * (from - 1) + kernel - 2))
        .collect()
}
