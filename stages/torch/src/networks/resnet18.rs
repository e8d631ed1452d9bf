//! `resnet18`.

use engine::StageError;
use stages::learning::networks::cnn::{CnnOptions, RESNET18};
use tch::{TchError, Tensor};

use super::layers::{
    Activation, Builder, Conv, Dense, Dropout, Flatten, Layer, Make, Norm, Pool, Sequential, Shown,
    block, forward_all,
};
use super::plain::Plain;
use super::{Mode, NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static KIND: NetworkKind = NetworkKind {
    declaration: &RESNET18,
    build: |spec, session| Ok(Box::new(build(spec, session)?)),
};

/// Channels of the four stages of blocks.
const CHANNELS: [i64; 4] = [64, 128, 256, 512];
/// Outputs of the network that was made for photographs, which are features here.
const PHOTOGRAPHS: i64 = 1000;

/// Eight residual blocks on slices of three channels.
///
/// # Shapes
/// Input `[B, 3, X, Y]`; output `[B, output_size]`.
///
/// # Source
/// He et al. 2016, doi:10.1109/CVPR.2016.90; ClinicaDL 1.6.1 `cnn/resnet.py`. Deviation: weights are
/// drawn, as by torchvision's `resnet18()` from the same seed: convolutions are normal with variance
/// 2 / (k² · output channels). There they are those of ImageNet, downloaded each time.
fn build(spec: &NetworkSpec, session: &Session) -> Result<Plain, StageError> {
    let options: CnnOptions = spec.options()?;
    let channels = spec.input_size[0];
    if channels != 3 {
        let message = format!("`resnet18` takes images of 3 channels, got {channels}");
        return Err(StageError::new(message).hint("extract slices with `slice_mode: rgb`"));
    }
    // Halved five times, rounding up.
    let last = [1, 2].map(|axis| (0..5).fold(spec.input_size[axis], |size, _| (size + 1) / 2));
    let make = || -> Result<Plain, TchError> {
        let mut builder = Builder::new(session);
        let convolutions = Sequential::make_in(&mut builder, "convolutions", |s| {
            s.add(Conv::new(2, 3, 64, 7).stride(2).padding(3).without_bias())?;
            s.add(Norm::Batch {
                axes: 2,
                channels: 64,
            })?;
            s.add(Shown("ReLU(inplace=True)", Activation::Relu))?;
            s.add(Pool::Max {
                axes: 2,
                kernel: 3,
                stride: 2,
                padding: 1,
            })?;
            let mut input = 64;
            for (i, output) in CHANNELS.into_iter().enumerate() {
                let stride = if i == 0 { 1 } else { 2 };
                s.add(Blocks {
                    input,
                    output,
                    stride,
                })?;
                input = output;
            }
            s.add(Pool::Mean(last))
        })?;
        let drawn = builder.parameters();
        let fc = Sequential::make_in(&mut builder, "fc", |s| {
            s.add(Flatten)?;
            s.add(Dense::new(512, PHOTOGRAPHS))?;
            // Torchvision draws convolutions anew after its last layer, which is this one.
            draw_convolutions(drawn)?;
            s.add_as("drop_out", Dropout(options.dropout))?;
            s.add_as("fc_out", Dense::new(PHOTOGRAPHS, spec.output_size))
        })?;
        Ok(Plain::chain(builder.finish(), [convolutions, fc]))
    };
    make().during("build the network")
}

/// Draws the weights of convolutions, which have four axes.
fn draw_convolutions(parameters: Vec<Tensor>) -> Result<(), TchError> {
    tch::no_grad(|| {
        for mut weight in parameters.into_iter().filter(|p| p.dim() == 4) {
            let size = weight.size();
            let outputs = size[0] * size[2] * size[3];
            drop(weight.f_normal_(0.0, (2.0 / outputs as f64).sqrt())?);
        }
        Ok(())
    })
}

/// Two blocks, the first of which may halve the map.
struct Blocks {
    input: i64,
    output: i64,
    stride: i64,
}

impl Make for Blocks {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let both = Sequential::fill(builder, |s| {
            s.add(Block {
                input: self.input,
                output: self.output,
                stride: self.stride,
            })?;
            s.add(Block {
                input: self.output,
                output: self.output,
                stride: 1,
            })
        })?;
        Ok(Box::new(both))
    }
}

struct Block {
    input: i64,
    output: i64,
    stride: i64,
}

impl Make for Block {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let Self {
            input,
            output,
            stride,
        } = self;
        let norm = Norm::Batch {
            axes: 2,
            channels: output,
        };
        let conv = |input| Conv::new(2, input, output, 3).padding(1).without_bias();
        let shrinks = stride != 1 || input != output;
        Ok(Box::new(BasicBlock {
            relu: builder.layer("relu", Activation::Relu)?,
            conv1: builder.layer("conv1", conv(input).stride(stride))?,
            bn1: builder.layer("bn1", norm)?,
            conv2: builder.layer("conv2", conv(output))?,
            bn2: builder.layer("bn2", norm)?,
            downsample: shrinks
                .then(|| {
                    Sequential::make_in(builder, "downsample", |s| {
                        s.add(Conv::new(2, input, output, 1).stride(stride).without_bias())?;
                        s.add(norm)
                    })
                })
                .transpose()?,
        }))
    }
}

#[derive(Debug)]
struct BasicBlock {
    conv1: Box<dyn Layer>,
    bn1: Box<dyn Layer>,
    conv2: Box<dyn Layer>,
    bn2: Box<dyn Layer>,
    downsample: Option<Sequential>,
    relu: Box<dyn Layer>,
}

impl Layer for BasicBlock {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let all: [&dyn Layer; 5] = [
            &*self.conv1,
            &*self.bn1,
            &*self.relu,
            &*self.conv2,
            &*self.bn2,
        ];
        let y = forward_all(&all, x, mode)?;
        let sum = match &self.downsample {
            None => y.f_add(x)?,
            Some(downsample) => y.f_add(&downsample.forward(x, mode)?)?,
        };
        self.relu.forward(&sum, mode)
    }

    fn is_block(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        let mut parts = vec![
            ("conv1", self.conv1.describe()),
            ("bn1", self.bn1.describe()),
            ("relu", vec!["ReLU(inplace=True)".to_owned()]),
            ("conv2", self.conv2.describe()),
            ("bn2", self.bn2.describe()),
        ];
        parts.extend(
            self.downsample
                .iter()
                .map(|part| ("downsample", part.describe())),
        );
        block("BasicBlock", parts.into_iter())
    }
}
