//! `RandomArchitecture`.

use engine::StageError;
use stages::learning::networks::cnn::{
    BlockOptions, Normalization, RANDOM_ARCHITECTURE, RandomOptions, Reduction,
};
use tch::TchError;

use super::layers::{
    Activation, Builder, Conv, Dense, Dropout, Flatten, Layer, Make, Norm, PadMaxPool, Sequential,
};
use super::plain::Plain;
use super::{NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static KIND: NetworkKind = NetworkKind {
    declaration: &RANDOM_ARCHITECTURE,
    build: |spec, session| Ok(Box::new(build(spec, session)?)),
};

/// Slope of the activations below zero.
const SLOPE: f64 = 0.01;

/// Blocks of convolutions that are described one by one, then fully connected layers.
///
/// # Shapes
/// Input `[B, C, X, Y(, Z)]`; output `[B, output_size]`. Each block halves the map, rounding up; features
/// fall from layer to layer by one ratio.
///
/// # Source
/// ClinicaDL 1.6.1 `cnn/random.py`.
fn build(spec: &NetworkSpec, session: &Session) -> Result<Plain, StageError> {
    let options: RandomOptions = spec.options()?;
    let blocks = options.blocks();
    let image = spec.input_size[0];
    let taken = blocks.first().and_then(|(_, block)| block.in_channels);
    if taken.is_some_and(|taken| i64::from(taken) != image) {
        let message =
            "`convolutions_dict.conv0.in_channels` is not the number of channels of the images";
        return Err(StageError::new(format!("{message}, {image}")).hint("set it to null"));
    }
    let last = blocks.last().map_or(0, |(_, block)| block.out_channels);
    let map = spec.input_size[1..]
        .iter()
        .map(|&axis| (axis as f64 / 2_f64.powi(blocks.len() as i32)).ceil())
        .product::<f64>();
    let features = fully_connected(f64::from(last) * map, options.n_fcblocks, spec.output_size);
    let make = || -> Result<Plain, TchError> {
        let mut builder = Builder::new(session);
        let convolutions = Sequential::make_in(&mut builder, "convolutions", |s| {
            for (name, block) in blocks {
                let input = block.in_channels.map_or(spec.input_size[0], i64::from);
                s.add_as(
                    name,
                    Block {
                        axes: spec.input_size.len() - 1,
                        input,
                        options: block,
                        norm: options.network_normalization,
                    },
                )?;
            }
            Ok(())
        })?;
        let fc = Sequential::make_in(&mut builder, "fc", |s| {
            s.add(Flatten)?;
            s.add(Dropout(options.dropout))?;
            for (i, pair) in features.windows(2).enumerate() {
                let is_last = i + 2 == features.len();
                s.add_as(
                    &format!("FC{i}"),
                    Connected {
                        dense: Dense::new(pair[0], pair[1]),
                        is_last,
                    },
                )?;
            }
            Ok(())
        })?;
        Ok(Plain::chain(builder.finish(), [convolutions, fc]))
    };
    make().during("build the network")
}

/// Numbers of features before, between and after so many layers; halves round to even.
fn fully_connected(features: f64, layers: u32, outputs: i64) -> Vec<i64> {
    let ratio = (features / outputs as f64).powf(1.0 / f64::from(layers.max(1)));
    let mut sizes = vec![features];
    for _ in 0..layers {
        sizes.push(sizes[sizes.len() - 1] / ratio);
    }
    #[expect(clippy::cast_possible_truncation, reason = "features are counted")]
    let whole = |size: f64| size.round_ties_even() as i64;
    sizes.into_iter().map(whole).collect()
}

struct Block<'a> {
    axes: usize,
    input: i64,
    options: &'a BlockOptions,
    norm: Option<Normalization>,
}

impl Make for Block<'_> {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let Self { axes, input, .. } = self;
        let output = i64::from(self.options.out_channels);
        let pools = self.options.d_reduction == Reduction::MaxPooling;
        let block = Sequential::fill(builder, |s| {
            for i in 1..=self.options.n_conv {
                let is_last = i == self.options.n_conv;
                let channels = if is_last { output } else { input };
                let stride = if is_last && !pools { 2 } else { 1 };
                s.add(
                    Conv::new(axes, input, channels, 3)
                        .stride(stride)
                        .padding(1),
                )?;
                match self.norm {
                    None => {}
                    Some(Normalization::Batch) => s.add(Norm::Batch { axes, channels })?,
                    Some(Normalization::Instance) => s.add(Norm::Instance { axes, channels })?,
                }
                s.add(Activation::LeakyRelu(SLOPE))?;
            }
            if pools {
                s.add(PadMaxPool::new(axes))?;
            }
            Ok(())
        })?;
        Ok(Box::new(block))
    }
}

struct Connected {
    dense: Dense,
    is_last: bool,
}

impl Make for Connected {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let layers = Sequential::fill(builder, |s| {
            s.add(self.dense)?;
            if !self.is_last {
                s.add(Activation::LeakyRelu(SLOPE))?;
            }
            Ok(())
        })?;
        Ok(Box::new(layers))
    }
}
