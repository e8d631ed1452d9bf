//! `ResNet18`, `ResNet34`, `ResNet50`, `ResNet101`, `ResNet152`.

use engine::StageError;
use stages::learning::networks::resnet::{
    RESNET18_MONAI, RESNET34, RESNET50, RESNET101, RESNET152, ResNetOptions,
};
use tch::TchError;

use super::layers::{
    Activation, Builder, Conv, Dense, Flatten, Layer, Make, Norm, Pool, Residual, Sequential,
};
use super::plain::Plain;
use super::residual_stages::{Place, add_stages, finish};
use super::{NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static KIND18: NetworkKind = NetworkKind {
    declaration: &RESNET18_MONAI,
    build: |spec, session| Ok(Box::new(build(spec, session, [2, 2, 2, 2], BASIC)?)),
};

pub(super) static KIND34: NetworkKind = NetworkKind {
    declaration: &RESNET34,
    build: |spec, session| Ok(Box::new(build(spec, session, [3, 4, 6, 3], BASIC)?)),
};

pub(super) static KIND50: NetworkKind = NetworkKind {
    declaration: &RESNET50,
    build: |spec, session| Ok(Box::new(build(spec, session, [3, 4, 6, 3], BOTTLENECK)?)),
};

pub(super) static KIND101: NetworkKind = NetworkKind {
    declaration: &RESNET101,
    build: |spec, session| Ok(Box::new(build(spec, session, [3, 4, 23, 3], BOTTLENECK)?)),
};

pub(super) static KIND152: NetworkKind = NetworkKind {
    declaration: &RESNET152,
    build: |spec, session| Ok(Box::new(build(spec, session, [3, 8, 36, 3], BOTTLENECK)?)),
};

/// Channels after a block in multiples of those within: two convolutions, or three.
const BASIC: i64 = 1;
const BOTTLENECK: i64 = 4;

/// A convolution, four stages of residual blocks, and a fully connected layer.
///
/// # Shapes
/// Input `[B, C, X, Y(, Z)]`, one axis longer than 16 voxels with the default options (the last map needs
/// two); output `[B, output_size]`.
///
/// # Source
/// He et al. 2016, doi:10.1109/CVPR.2016.90; Hara et al. 2018, doi:10.1109/CVPR.2018.00685;
/// `monai.networks.nets.resnet` of MONAI 1.5 with `shortcut_type="B"`.
fn build(
    spec: &NetworkSpec,
    session: &Session,
    blocks: [i64; 4],
    expansion: i64,
) -> Result<Plain, StageError> {
    let options: ResNetOptions = spec.options()?;
    let stride = i64::from(options.conv1_t_stride);
    let pooled = if options.no_max_pool { 1 } else { 2 };
    // Each of the last three stages halves the map, rounding up.
    spec.needs_an_axis_of(8 * pooled * stride + 1)?;
    let axes = spec.input_size.len() - 1;
    let planes = [64.0, 128.0, 256.0, 512.0].map(|wide| (wide * options.widen_factor) as i64);
    let make = || -> Result<Plain, TchError> {
        let mut builder = Builder::new(session);
        let layers = Sequential::fill(&mut builder, |s| {
            let edge = i64::from(options.conv1_t_size);
            let first = Conv::new(axes, spec.input_size[0], planes[0], edge);
            s.add_as(
                "conv1",
                first.stride(stride).padding(edge / 2).without_bias(),
            )?;
            let channels = planes[0];
            s.add_as("bn1", Norm::Batch { axes, channels })?;
            s.add_as("act", Activation::Relu)?;
            if !options.no_max_pool {
                let pool = Pool::Max {
                    axes,
                    kernel: 3,
                    stride: 2,
                    padding: 1,
                };
                s.add_as("maxpool", pool)?;
            }
            let block = |place| Block {
                axes,
                place,
                expansion,
                bias: options.bias_downsample,
            };
            let features = add_stages(s, planes, blocks, expansion, block)?;
            s.add_as("avgpool", Pool::Global { axes })?;
            s.add_as("flatten", Flatten)?;
            s.add_as("fc", Dense::new(features, spec.output_size))
        })?;
        let fan_out = |size: &[i64]| size[0] * size[2..].iter().product::<i64>();
        finish(builder, layers, "downsample", fan_out)
    };
    make().during("build the network")
}

struct Block {
    axes: usize,
    place: Place,
    /// Channels after it in multiples of those within.
    expansion: i64,
    /// Of the shortcut.
    bias: bool,
}

impl Make for Block {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let Self {
            axes,
            place: (input, planes, stride),
            expansion,
            bias,
        } = self;
        let output = planes * expansion;
        let norm = |channels| Norm::Batch { axes, channels };
        let shrinks = stride != 1 || input != output;
        let activation = builder.layer("act", Activation::Relu)?;
        let shortcut = shrinks.then(|| {
            Sequential::make_in(builder, "downsample", |s| {
                let conv = Conv::new(axes, input, output, 1).stride(stride);
                s.add(if bias { conv } else { conv.without_bias() })?;
                s.add(norm(output))
            })
        });
        let shortcut = shortcut.transpose()?;
        let wide = |input, output| Conv::new(axes, input, output, 3).padding(1).without_bias();
        let narrow = |input, output| Conv::new(axes, input, output, 1).without_bias();
        let convs = match expansion {
            BASIC => vec![wide(input, planes).stride(stride), wide(planes, planes)],
            _ => vec![
                narrow(input, planes),
                wide(planes, planes).stride(stride),
                narrow(planes, output),
            ],
        };
        let count = convs.len();
        let branch = Sequential::fill(builder, |s| {
            for (number, conv) in (1..).zip(convs) {
                let channels = if number == count { output } else { planes };
                s.add_as(&format!("conv{number}"), conv)?;
                s.add_as(&format!("bn{number}"), norm(channels))?;
                if number < count {
                    s.add_as(&format!("act{number}"), Activation::Relu)?;
                }
            }
            Ok(())
        })?;
        Ok(Box::new(Residual {
            branch,
            shortcut: shortcut.map(|layers| Box::new(layers) as Box<dyn Layer>),
            activation: Some(activation),
        }))
    }
}
