//! `AttentionUNet`.

use engine::StageError;
use stages::learning::networks::unet::{ATTENTION_UNET, AttentionUNetOptions};
use tch::{TchError, Tensor};

use super::layers::{Activation, Builder, Conv, Layer, Make, Norm, Sequential, block};
use super::plain::Plain;
use super::unet::{Fitted, multiple, place};
use super::unit::{Act, Unit};
use super::{Mode, NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static KIND: NetworkKind = NetworkKind {
    declaration: &ATTENTION_UNET,
    build: |spec, session| Ok(Box::new(build(spec, session)?)),
};

/// Levels of convolutions, joined with their mirrors where these find something in them.
///
/// # Shapes
/// Input and output `[B, C, X, Y(, Z)]`.
///
/// # Source
/// Oktay et al. 2018, arXiv:1804.03999; `monai.networks.nets.AttentionUnet` of MONAI 1.5. Deviation:
/// images of any size, as those of `UNet`.
fn build(spec: &NetworkSpec, session: &Session) -> Result<Plain, StageError> {
    let options: AttentionUNetOptions = spec.options()?;
    let multiple = multiple(&options.strides);
    // The last map needs something to normalise over.
    spec.needs_an_axis_of(multiple + 1)?;
    let axes = spec.input_size.len() - 1;
    let images = spec.input_size[0];
    let make = || -> Result<Plain, TchError> {
        let mut builder = Builder::new(session);
        let plan = Plan {
            axes,
            options: &options,
        };
        let first = i64::from(options.channels[0]);
        let layers = builder.within("model", |b| {
            let head = b.layer("0", plan.block(images, first, 1))?;
            let last = Unit::new(Conv::new(axes, first, images, 1));
            let last = b.layer("2", last)?;
            let levels = b.layer("1", Levels { plan, level: 0 })?;
            Ok(Sequential::of([head, levels, last].into_iter()))
        })?;
        let mut state = builder.finish();
        state.sort_after(0, place);
        let layer = Box::new(layers);
        Ok(Plain {
            state,
            layer: Box::new(Fitted { layer, multiple }),
        })
    };
    make().during("build the network")
}

#[derive(Clone, Copy)]
struct Plan<'o> {
    axes: usize,
    options: &'o AttentionUNetOptions,
}

impl<'o> Plan<'o> {
    fn block(self, input: i64, output: i64, stride: i64) -> ConvBlock<'o> {
        ConvBlock {
            plan: self,
            input,
            output,
            stride,
        }
    }

    /// A convolution with batch norm, dropout and ReLU.
    fn unit(self, conv: Conv, channels: i64, dropout: f64) -> Unit {
        let norm = Norm::Batch {
            axes: self.axes,
            channels,
        };
        Unit::new(conv)
            .norm(norm)
            .dropout(dropout)
            .act(Activation::Relu)
    }
}

/// Two convolutions, of which the first may shrink the map.
struct ConvBlock<'o> {
    plan: Plan<'o>,
    input: i64,
    output: i64,
    stride: i64,
}

impl Make for ConvBlock<'_> {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let plan = self.plan;
        let edge = i64::from(plan.options.kernel_size);
        let conv = |input| Conv::new(plan.axes, input, self.output, edge).padding(edge / 2);
        let dropout = plan.options.dropout;
        let layers = Sequential::make_in(builder, "conv", |s| {
            let first = conv(self.input).stride(self.stride);
            s.add(plan.unit(first, self.output, dropout))?;
            s.add(plan.unit(conv(self.output), self.output, dropout))
        })?;
        Ok(Box::new(layers))
    }
}

/// A level and those below it.
struct Levels<'o> {
    plan: Plan<'o>,
    level: usize,
}

impl Make for Levels<'_> {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let Self { plan, level } = self;
        let options = plan.options;
        let axes = plan.axes;
        let wide = i64::from(options.channels[level]);
        let wider = i64::from(options.channels[level + 1]);
        let stride = i64::from(options.strides[level]);
        let block = plan.block(wide, wider, stride);
        let below: Box<dyn Layer> = if level + 2 == options.channels.len() {
            builder.layer("submodule", block)?
        } else {
            builder.within("submodule", |b| -> Result<Box<dyn Layer>, TchError> {
                let deeper = b.layer(
                    "1",
                    Self {
                        plan,
                        level: level + 1,
                    },
                )?;
                let block = b.layer("0", block)?;
                Ok(Box::new(Sequential::of([block, deeper].into_iter())))
            })?
        };
        let attention = builder.within("attention", |b| {
            let few = wide / 2;
            let gate = |b: &mut Builder<'_>, name: &str, input, channels| {
                Sequential::make_in(b, name, |s| {
                    s.add(Unit::new(Conv::new(axes, input, channels, 1)))?;
                    s.add(Norm::Batch { axes, channels })?;
                    if channels == 1 && name == "psi" {
                        s.add(Activation::Sigmoid)?;
                    }
                    Ok(())
                })
            };
            Ok::<_, TchError>([
                gate(b, "W_g", wide, few)?,
                gate(b, "W_x", wide, few)?,
                gate(b, "psi", few, 1)?,
            ])
        })?;
        let edge = i64::from(options.up_kernel_size);
        let conv = Conv::new(axes, wider, wide, edge).padding(edge / 2);
        let conv = conv.transposed().stride(stride);
        let conv = conv.output_padding(&vec![stride - 1; axes]);
        let up = builder.within("upconv", |b| b.layer("up", plan.unit(conv, wide, 0.0)))?;
        let norm = Norm::Instance {
            axes,
            channels: wide,
        };
        let merge = Unit::new(Conv::new(axes, 2 * wide, wide, 3).padding(1)).norm(norm);
        let merge = builder.layer("merge", merge.dropout(options.dropout).act(Act::PRelu))?;
        Ok(Box::new(Level {
            below,
            attention,
            up,
            merge,
        }))
    }
}

#[derive(Debug)]
struct Level {
    below: Box<dyn Layer>,
    /// Of what comes from below, of the map itself, and of both.
    attention: [Sequential; 3],
    up: Box<dyn Layer>,
    merge: Box<dyn Layer>,
}

impl Layer for Level {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let lower = self.up.forward(&self.below.forward(x, mode)?, mode)?;
        let [of_lower, of_map, of_both] = &self.attention;
        let sum = of_lower.forward(&lower, mode)? + of_map.forward(x, mode)?;
        let attention = of_both.forward(&sum.f_relu()?, mode)?;
        let seen = x.f_mul(&attention)?;
        self.merge.forward(&Tensor::f_cat(&[seen, lower], 1)?, mode)
    }

    fn describe(&self) -> Vec<String> {
        let [of_lower, of_map, of_both] = &self.attention;
        let attention = [
            ("W_g", of_lower.describe()),
            ("W_x", of_map.describe()),
            ("psi", of_both.describe()),
        ];
        let parts = [
            ("attention", block("AttentionBlock", attention.into_iter())),
            ("upconv", self.up.describe()),
            ("merge", self.merge.describe()),
            ("submodule", self.below.describe()),
        ];
        block("AttentionLayer", parts.into_iter())
    }
}
