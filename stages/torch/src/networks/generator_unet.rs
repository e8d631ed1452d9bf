//! `GeneratorUNet`.

use engine::StageError;
use stages::learning::networks::autoencoder::GENERATOR_UNET;
use tch::{TchError, Tensor};

use super::layers::{Activation, Builder, Conv, Layer, Norm, Sequential, Upsample, block};
use super::{Mode, Network, NetworkKind, NetworkSpec, Outputs};
use crate::error::During;
use crate::session::Session;
use crate::state::State;

pub(super) static KIND: NetworkKind = NetworkKind {
    declaration: &GENERATOR_UNET,
    build: |spec, session| Ok(Box::new(build(spec, session)?)),
};

/// Channels after each level on the way down.
const DOWN: [i64; 5] = [64, 128, 256, 512, 512];
/// Channels before and after each level on the way up; those of the other side come along.
const UP: [(i64, i64); 4] = [(512, 512), (1024, 256), (512, 128), (256, 64)];
/// Every axis is a multiple of this.
const MULTIPLE: i64 = 32;

/// A U-Net of five levels with instance norm; outputs are from −1 to 1.
///
/// # Shapes
/// Input and output `[B, C, X, Y, Z]`, every axis a multiple of 32 and at least 64.
///
/// # Source
/// ClinicaDL 1.6.1 `unet/unet.py`; Ronneberger et al. 2015, arXiv:1505.04597.
#[derive(Debug)]
struct GeneratorUnet {
    state: State,
    down: Vec<Sequential>,
    up: Vec<Sequential>,
    last: Sequential,
}

fn build(spec: &NetworkSpec, session: &Session) -> Result<GeneratorUnet, StageError> {
    let axes = &spec.input_size[1..];
    // The deepest map must have more than one voxel, or there is nothing to normalise over.
    let fits = axes.iter().all(|axis| axis % MULTIPLE == 0) && axes.iter().any(|&axis| axis > 32);
    if !fits {
        let message = format!(
            "images of {axes:?} voxels do not fit `GeneratorUNet`: its axes are multiples of {MULTIPLE}, one of them at least 64"
        );
        return Err(StageError::new(message));
    }
    let image = spec.input_size[0];
    let make = || -> Result<GeneratorUnet, TchError> {
        let mut b = Builder::new(session);
        let mut input = image;
        let mut down = Vec::new();
        for (i, output) in (1..).zip(DOWN) {
            let level = b.within(&format!("down{i}"), |b| {
                Sequential::make_in(b, "model", |s| {
                    s.add(Conv::new(3, input, output, 3).stride(2).padding(1))?;
                    s.add(Norm::Instance {
                        axes: 3,
                        channels: output,
                    })?;
                    s.add(Activation::LeakyRelu(0.2))
                })
            })?;
            down.push(level);
            input = output;
        }
        let mut up = Vec::new();
        for (i, (input, output)) in (1..).zip(UP) {
            let level = b.within(&format!("up{i}"), |b| {
                Sequential::make_in(b, "model", |s| {
                    let conv = Conv::new(3, input, output, 4).transposed();
                    s.add(conv.stride(2).padding(1))?;
                    s.add(Norm::Instance {
                        axes: 3,
                        channels: output,
                    })?;
                    s.add(Activation::Relu)
                })
            })?;
            up.push(level);
        }
        let last = b.within("final", |b| {
            Sequential::make_in(b, "model", |s| {
                s.add(Upsample)?;
                s.add(Conv::new(3, 2 * DOWN[0], image, 3).padding(1))?;
                s.add(Activation::Tanh)
            })
        })?;
        Ok(GeneratorUnet {
            state: b.finish(),
            down,
            up,
            last,
        })
    };
    make().during("build the network")
}

impl Network for GeneratorUnet {
    fn compute(&self, images: &Tensor, mode: Mode) -> Result<Outputs, TchError> {
        let mut maps = vec![images.shallow_clone()];
        for level in &self.down {
            let next = level.forward(&maps[maps.len() - 1], mode)?;
            maps.push(next);
        }
        // The image itself is not handed over.
        let mut skipped = maps.split_off(1);
        let mut x = skipped.pop().unwrap_or_else(|| images.shallow_clone());
        for level in &self.up {
            x = level.forward(&x, mode)?;
            if let Some(other) = skipped.pop() {
                x = Tensor::f_cat(&[x, other], 1)?;
            }
        }
        self.last.forward(&x, mode).map(Outputs::of)
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn describe(&self) -> String {
        let down = ["down1", "down2", "down3", "down4", "down5"];
        let up = ["up1", "up2", "up3", "up4"];
        let mut parts: Vec<(&str, Vec<String>)> = Vec::new();
        parts.extend(down.into_iter().zip(self.down.iter().map(Layer::describe)));
        parts.extend(up.into_iter().zip(self.up.iter().map(Layer::describe)));
        parts.push(("final", self.last.describe()));
        block("GeneratorUNet", parts.into_iter()).join("\n")
    }
}
