//! `DenseNet121`, `DenseNet169`, `DenseNet201`.

use engine::StageError;
use stages::learning::networks::densenet::{
    DENSENET121, DENSENET169, DENSENET201, DenseNetOptions,
};
use tch::{TchError, Tensor};

use super::layers::{
    Activation, Builder, Conv, Dense, Flatten, Layer, Make, Norm, Pool, Sequential, Stack, block,
};
use super::plain::Plain;
use super::{Mode, NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static KIND121: NetworkKind = NetworkKind {
    declaration: &DENSENET121,
    build: |spec, session| Ok(Box::new(build(spec, session, [6, 12, 24, 16])?)),
};

pub(super) static KIND169: NetworkKind = NetworkKind {
    declaration: &DENSENET169,
    build: |spec, session| Ok(Box::new(build(spec, session, [6, 12, 32, 32])?)),
};

pub(super) static KIND201: NetworkKind = NetworkKind {
    declaration: &DENSENET201,
    build: |spec, session| Ok(Box::new(build(spec, session, [6, 12, 48, 32])?)),
};

/// Halved five times, of which three times rounding down: 29, 15, 8, 4, 2, 1.
const SMALLEST: i64 = 29;
/// With an axis of two voxels at the end, a batch of one has something to normalise over.
const LONGEST: i64 = 61;

/// Four blocks of layers, each of which adds channels to those of all before it.
///
/// # Shapes
/// Input `[B, C, X, Y]` or `[B, C, X, Y, Z]` with axes of 29 voxels or more, one of them of 61 or more;
/// output `[B, output_size]`.
///
/// # Source
/// Huang et al. 2017, doi:10.1109/CVPR.2017.243; `monai.networks.nets.densenet` of MONAI 1.5. Convolutions
/// are normal with variance 2 / (input channels · kᵈ), the bias of the last layer starts at 0.
fn build(spec: &NetworkSpec, session: &Session, blocks: [i64; 4]) -> Result<Plain, StageError> {
    let options: DenseNetOptions = spec.options()?;
    spec.needs_axes_of(SMALLEST)?;
    spec.needs_an_axis_of(LONGEST)?;
    let axes = spec.input_size.len() - 1;
    let make = || -> Result<Plain, TchError> {
        let mut builder = Builder::new(session);
        let mut channels = i64::from(options.init_features);
        let features = Sequential::make_in(&mut builder, "features", |s| {
            let first = Conv::new(axes, spec.input_size[0], channels, 7);
            s.add_as("conv0", first.stride(2).padding(3).without_bias())?;
            s.add_as("norm0", Norm::Batch { axes, channels })?;
            s.add_as("relu0", Activation::Relu)?;
            let pool = Pool::Max {
                axes,
                kernel: 3,
                stride: 2,
                padding: 1,
            };
            s.add_as("pool0", pool)?;
            for (number, layers) in (1..).zip(blocks) {
                let growth = i64::from(options.growth_rate);
                let width = growth * i64::from(options.bn_size);
                let block = Block {
                    axes,
                    channels,
                    layers,
                    width,
                    growth,
                };
                s.add_as(&format!("denseblock{number}"), block)?;
                channels += layers * growth;
                if number == blocks.len() {
                    s.add_as("norm5", Norm::Batch { axes, channels })?;
                } else {
                    s.add_as(
                        &format!("transition{number}"),
                        Transition { axes, channels },
                    )?;
                    channels /= 2;
                }
            }
            Ok(())
        })?;
        let convolutions = builder.parameters();
        let classes = Sequential::make_in(&mut builder, "class_layers", |s| {
            s.add_as("relu", Activation::Relu)?;
            s.add_as("pool", Pool::Global { axes })?;
            s.add_as("flatten", Flatten)?;
            s.add_as("out", Dense::new(channels, spec.output_size))
        })?;
        draw(convolutions, builder.parameters())?;
        Ok(Plain::chain(builder.finish(), [features, classes]))
    };
    make().during("build the network")
}

/// Draws the weights of convolutions anew; the last parameter of all is the bias that becomes 0.
fn draw(convolutions: Vec<Tensor>, mut all: Vec<Tensor>) -> Result<(), TchError> {
    tch::no_grad(|| {
        for mut weight in convolutions.into_iter().filter(|tensor| tensor.dim() > 2) {
            let fan_in: i64 = weight.size()[1..].iter().product();
            drop(weight.f_normal_(0.0, (2.0 / fan_in as f64).sqrt())?);
        }
        if let Some(bias) = all.last_mut() {
            drop(bias.f_zero_()?);
        }
        Ok(())
    })
}

/// Normalisation, ReLU and a convolution, numbered.
fn add_conv(
    s: &mut Stack<'_, '_>,
    number: &str,
    axes: usize,
    channels: i64,
    conv: Conv,
) -> Result<(), TchError> {
    s.add_as(&format!("norm{number}"), Norm::Batch { axes, channels })?;
    s.add_as(&format!("relu{number}"), Activation::Relu)?;
    s.add_as(&format!("conv{number}"), conv.without_bias())
}

/// Layers, each of which takes what all before it gave.
struct Block {
    axes: usize,
    channels: i64,
    layers: i64,
    /// Channels within a layer.
    width: i64,
    /// Channels that a layer adds.
    growth: i64,
}

impl Make for Block {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let layers = Sequential::fill(builder, |s| {
            for number in 0..self.layers {
                let added = Added {
                    channels: self.channels + number * self.growth,
                    block: &self,
                };
                s.add_as(&format!("denselayer{}", number + 1), added)?;
            }
            Ok(())
        })?;
        Ok(Box::new(layers))
    }
}

/// A layer of a block, with so many channels before it.
struct Added<'b> {
    channels: i64,
    block: &'b Block,
}

impl Make for Added<'_> {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let &Block {
            axes,
            width,
            growth,
            ..
        } = self.block;
        let layers = Sequential::make_in(builder, "layers", |s| {
            let input = self.channels;
            add_conv(s, "1", axes, input, Conv::new(axes, input, width, 1))?;
            add_conv(
                s,
                "2",
                axes,
                width,
                Conv::new(axes, width, growth, 3).padding(1),
            )
        })?;
        Ok(Box::new(Joined(layers)))
    }
}

/// Channels, and what layers make of them.
#[derive(Debug)]
struct Joined(Sequential);

impl Layer for Joined {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        Tensor::f_cat(&[x, &self.0.forward(x, mode)?], 1)
    }

    fn is_block(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        block(
            "_DenseLayer",
            std::iter::once(("layers", self.0.describe())),
        )
    }
}

/// Half of the channels, half of each axis.
struct Transition {
    axes: usize,
    channels: i64,
}

impl Make for Transition {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let Self { axes, channels } = self;
        let layers = Sequential::fill(builder, |s| {
            add_conv(
                s,
                "",
                axes,
                channels,
                Conv::new(axes, channels, channels / 2, 1),
            )?;
            s.add_as("pool", Pool::Halve { axes })
        })?;
        Ok(Box::new(layers))
    }
}
