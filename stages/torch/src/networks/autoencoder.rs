//! `AE_Conv5_FC3`, `AE_Conv4_FC3`, `CAE_half`.

use engine::StageError;
use stages::learning::networks::autoencoder::{AE_CONV4_FC3, AE_CONV5_FC3, CAE_HALF, CaeOptions};
use tch::TchError;

use super::cnn::{features, three_layers};
use super::conv5_fc3::{CHANNELS, HIDDEN4, HIDDEN5, convolutions};
use super::layers::{
    Activation, Builder, Conv, CropMaxUnpool, Dense, Flatten, Layer, Norm, Sequential, Shown,
    Unflatten,
};
use super::plain::Coder;
use super::vae_layers::{Down, Up, fit, halved};
use super::{NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;
use crate::state::State;

pub(super) static KIND5: NetworkKind = NetworkKind {
    declaration: &AE_CONV5_FC3,
    build: |spec, session| Ok(Box::new(mirrored(spec, session, HIDDEN5)?)),
};

pub(super) static KIND4: NetworkKind = NetworkKind {
    declaration: &AE_CONV4_FC3,
    build: |spec, session| Ok(Box::new(mirrored(spec, session, HIDDEN4)?)),
};

pub(super) static CAE: NetworkKind = NetworkKind {
    declaration: &CAE_HALF,
    build: |spec, session| Ok(Box::new(dense(spec, session)?)),
};

/// The blocks of a network, and their mirror: voxels go back to where pooling took them from.
///
/// # Shapes
/// Input and output `[B, C, X, Y(, Z)]`, at least one axis of 17 voxels or more.
///
/// # Source
/// ClinicaDL 1.6.1 `autoencoder/cnn_transformer.py`. As there, in volumes each transposed convolution is
/// followed by batch norm and ReLU, so that outputs are not negative; in slices it comes after them.
fn mirrored(spec: &NetworkSpec, session: &Session, hidden: [i64; 2]) -> Result<Coder, StageError> {
    spec.needs_an_axis_of(17)?;
    let axes = spec.input_size.len() - 1;
    let make = || -> Result<Coder, TchError> {
        let mut builder = Builder::new(session);
        let mut unpools = Vec::new();
        let size = &spec.input_size;
        let encoder = convolutions(&mut builder, "encoder", size, Some(&mut unpools))?;
        let features = features(session, &encoder, size)?;
        // The class that it is made from draws its fully connected layers first.
        let mut unused = Builder::new(session);
        drop(three_layers(
            &mut unused,
            "fc",
            0.0,
            [features, hidden[0], hidden[1], 2],
        )?);
        let encoded = builder.length();
        let mut inputs = vec![size[0]];
        inputs.extend(CHANNELS);
        let count = CHANNELS.len();
        let mut decoder: Vec<Vec<Box<dyn Layer>>> = Vec::new();
        for (i, unpool) in unpools.into_iter().enumerate() {
            // Numbered from the end: the first block is undone last.
            let first = 4 * (count - 1 - i);
            let (wide, narrow) = (inputs[i + 1], inputs[i]);
            let conv = Conv::new(axes, wide, narrow, 3).transposed().padding(1);
            let made = Undone {
                conv,
                unpool,
                norm: |channels| Norm::Batch { axes, channels },
                channels: if axes == 3 { narrow } else { wide },
            };
            let layers = builder.within("decoder", |b| made.make(b, first, axes == 3))?;
            decoder.push(layers);
        }
        let decoder = Sequential::of(decoder.into_iter().rev().flatten());
        let mut state = builder.finish();
        if axes == 2 {
            copy_norms(&state)?;
        }
        state.sort_after(encoded, |name| {
            let number = name
                .strip_prefix("decoder.")
                .and_then(|rest| rest.split('.').next());
            number.and_then(|number| number.parse::<u32>().ok())
        });
        Ok(Coder::new(state, encoder, decoder))
    };
    make().during("build the network")
}

/// What undoes one block.
struct Undone<N> {
    conv: Conv,
    unpool: CropMaxUnpool,
    norm: N,
    channels: i64,
}

impl<N: Fn(i64) -> Norm> Undone<N> {
    /// Makes the layers of a block, numbered from `first`; the convolution draws first.
    fn make(
        self,
        builder: &mut Builder<'_>,
        first: usize,
        convolves_first: bool,
    ) -> Result<Vec<Box<dyn Layer>>, TchError> {
        let at = |offset: usize| (first + offset).to_string();
        let unpool = builder.layer(&at(0), self.unpool)?;
        let conv = builder.layer(&at(if convolves_first { 1 } else { 3 }), self.conv)?;
        let norm = builder.layer(&at(2), (self.norm)(self.channels))?;
        let relu = builder.layer(&at(if convolves_first { 3 } else { 1 }), Activation::Relu)?;
        Ok(if convolves_first {
            vec![unpool, conv, norm, relu]
        } else {
            vec![unpool, relu, norm, conv]
        })
    }
}

/// In slices the batch norms of the decoder are copies of those of the encoder, as they are after the
/// image of zeros.
fn copy_norms(state: &State) -> Result<(), TchError> {
    let blocks = CHANNELS.len();
    tch::no_grad(|| {
        for entry in state.entries() {
            for i in 0..blocks {
                let source = format!("encoder.{}.", 4 * i + 1);
                let Some(field) = entry.name.strip_prefix(&source) else {
                    continue;
                };
                let copy = format!("decoder.{}.{field}", 4 * (blocks - 1 - i) + 2);
                let mut targets = state.entries().iter().filter(|other| other.name == copy);
                if let Some(target) = targets.next() {
                    target.tensor.shallow_clone().f_copy_(&entry.tensor)?;
                }
            }
        }
        Ok(())
    })
}

/// Channels of the three convolutions.
const DENSE: [i64; 3] = [32, 64, 128];

/// Three convolutions that halve the image, a dense latent space, and three transposed convolutions.
///
/// # Shapes
/// Input and output `[B, C, X, Y, Z]`.
///
/// # Source
/// `CAE_half` of ClinicaDL 1.6.1 `autoencoder/models.py`, which cannot be built there. Deviations: it
/// takes images of any size, of which it gives back the same.
fn dense(spec: &NetworkSpec, session: &Session) -> Result<Coder, StageError> {
    let options: CaeOptions = spec.options()?;
    let latent = i64::from(options.latent_space_size);
    let make = || -> Result<Coder, TchError> {
        let mut builder = Builder::new(session);
        let channels = spec.input_size[0];
        let maps = halved(&spec.input_size[1..], DENSE.len(), 3);
        let last = maps[DENSE.len()].clone();
        let voxels: i64 = last.iter().product();
        let encoder = Sequential::make_in(&mut builder, "encoder", |s| {
            let mut input = channels;
            for output in DENSE {
                s.add(Down::new(3, input, output, 3))?;
                input = output;
            }
            s.add(Shown("Flatten()", Flatten))?;
            s.add(Dense::new(128 * voxels, latent))
        })?;
        let decoder = Sequential::make_in(&mut builder, "decoder", |s| {
            s.add(Dense::new(latent, 256 * voxels))?;
            let mut shape = vec![256];
            shape.extend(&last);
            s.add(Shown("Unflatten3D()", Unflatten(shape)))?;
            let wide = [256, 128, 64, channels];
            for (i, pair) in wide.windows(2).enumerate() {
                let level = DENSE.len() - i;
                let padding = fit(&maps[level], &maps[level - 1], 3);
                s.add(Up::new(3, pair[0], pair[1], 3).output_padding(&padding))?;
            }
            Ok(())
        })?;
        Ok(Coder::new(builder.finish(), encoder, decoder))
    };
    make().during("build the network")
}
