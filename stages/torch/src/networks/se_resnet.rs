//! `SEResNet50`, `SEResNet101`, `SEResNet152`.

use engine::StageError;
use stages::learning::networks::resnet::{SE_RESNET50, SE_RESNET101, SE_RESNET152};
use tch::{TchError, Tensor};

use super::layers::{
    Activation, Builder, Conv, Dense, Flatten, Layer, Make, Norm, Pool, Residual, Sequential, block,
};
use super::plain::Plain;
use super::residual_stages::{Place, add_stages, finish};
use super::unit::Unit;
use super::{Mode, NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static KIND50: NetworkKind = NetworkKind {
    declaration: &SE_RESNET50,
    build: |spec, session| Ok(Box::new(build(spec, session, [3, 4, 6, 3])?)),
};

pub(super) static KIND101: NetworkKind = NetworkKind {
    declaration: &SE_RESNET101,
    build: |spec, session| Ok(Box::new(build(spec, session, [3, 4, 23, 3])?)),
};

pub(super) static KIND152: NetworkKind = NetworkKind {
    declaration: &SE_RESNET152,
    build: |spec, session| Ok(Box::new(build(spec, session, [3, 8, 36, 3])?)),
};

/// Channels within the blocks of each stage; four times as many come out.
const PLANES: [i64; 4] = [64, 128, 256, 512];
const EXPANSION: i64 = 4;
/// Channels to the features that weigh them.
const REDUCTION: i64 = 16;
/// The first convolution and the pooling leave something of an axis.
const SMALLEST: i64 = 5;
/// Then the last map has two voxels, so that a batch of one has something to normalise over.
const LONGEST: i64 = 35;

/// A convolution, four stages of residual blocks that weigh their channels, and a fully connected layer.
///
/// # Shapes
/// Input `[B, C, X, Y(, Z)]` with axes of 5 voxels or more, one of them of 35 or more; output
/// `[B, output_size]`.
///
/// # Source
/// Hu et al. 2018, doi:10.1109/CVPR.2018.00745; `monai.networks.nets.senet` of MONAI 1.5.
fn build(spec: &NetworkSpec, session: &Session, blocks: [i64; 4]) -> Result<Plain, StageError> {
    spec.needs_axes_of(SMALLEST)?;
    spec.needs_an_axis_of(LONGEST)?;
    let axes = spec.input_size.len() - 1;
    let make = || -> Result<Plain, TchError> {
        let mut builder = Builder::new(session);
        let layers = Sequential::fill(&mut builder, |s| {
            s.add_as("layer0", First(axes, spec.input_size[0]))?;
            let block = |place| Block { axes, place };
            let features = add_stages(s, PLANES, blocks, EXPANSION, block)?;
            s.add_as("adaptive_avg_pool", Pool::Global { axes })?;
            s.add_as("flatten", Flatten)?;
            s.add_as("last_linear", Dense::new(features, spec.output_size))
        })?;
        let fan_in = |size: &[i64]| size[1..].iter().product();
        finish(builder, layers, "project", fan_in)
    };
    make().during("build the network")
}

/// The first convolution and pooling, of images of so many axes and channels.
struct First(usize, i64);

impl Make for First {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let (axes, channels) = (self.0, PLANES[0]);
        let layers = Sequential::fill(builder, |s| {
            let conv = Conv::new(axes, self.1, channels, 7).stride(2).padding(3);
            s.add_as("conv1", conv.without_bias())?;
            s.add_as("bn1", Norm::Batch { axes, channels })?;
            s.add_as("relu1", Activation::Relu)?;
            s.add_as("pool", Pool::MaxOfRest { axes })
        })?;
        Ok(Box::new(layers))
    }
}

struct Block {
    axes: usize,
    place: Place,
}

impl Make for Block {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let Self {
            axes,
            place: (input, planes, stride),
        } = self;
        let output = planes * EXPANSION;
        let unit = |input, output, edge: i64| {
            let conv = Conv::new(axes, input, output, edge).padding(edge / 2);
            let norm = Norm::Batch {
                axes,
                channels: output,
            };
            Unit::new(conv.without_bias()).norm(norm)
        };
        let shrinks = stride != 1 || input != output;
        let activation = builder.layer("relu", Activation::Relu)?;
        let shortcut = shrinks
            .then(|| builder.layer("project", unit(input, output, 1).stride(stride)))
            .transpose()?;
        let branch = Sequential::fill(builder, |s| {
            let relu = Activation::Relu;
            s.add_as("conv1", unit(input, planes, 1).stride(stride).act(relu))?;
            s.add_as("conv2", unit(planes, planes, 3).act(relu))?;
            s.add_as("conv3", unit(planes, output, 1))?;
            s.add_as("se_layer", Weigh(axes, output))
        })?;
        Ok(Box::new(Residual {
            branch,
            shortcut,
            activation: Some(activation),
        }))
    }
}

/// Channels to weigh, of maps of so many axes.
struct Weigh(usize, i64);

impl Make for Weigh {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let Self(axes, channels) = self;
        let few = channels / REDUCTION;
        let fc = Sequential::make_in(builder, "fc", |s| {
            s.add(Dense::new(channels, few))?;
            s.add(Activation::Relu)?;
            s.add(Dense::new(few, channels))?;
            s.add(Activation::Sigmoid)
        })?;
        Ok(Box::new(Weighed { axes, fc }))
    }
}

/// Channels times what their means say of them.
#[derive(Debug)]
struct Weighed {
    axes: usize,
    fc: Sequential,
}

impl Layer for Weighed {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let pool = Pool::Global { axes: self.axes };
        let means = pool.forward(x, mode)?.f_flatten(1, -1)?;
        let weights = self.fc.forward(&means, mode)?;
        // Of any number of images: a pass that is taken down keeps none.
        let mut shape = vec![-1, weights.size()[1]];
        shape.extend(vec![1; self.axes]);
        x.f_mul(&weights.f_view(shape.as_slice())?)
    }

    fn describe(&self) -> Vec<String> {
        block(
            "ChannelSELayer",
            std::iter::once(("fc", self.fc.describe())),
        )
    }
}
