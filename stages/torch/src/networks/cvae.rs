//! `CVAE_3D`, `CVAE_3D_half`, `CVAE_3D_final_conv`.

use engine::StageError;
use stages::learning::networks::vae::{
    CVAE_3D, CVAE_3D_FINAL_CONV, CVAE_3D_HALF, CvaeOptions, WholeCvaeOptions,
};
use tch::{Device, Kind, TchError, Tensor};

use super::layers::{Activation, Builder, Conv, Dense, Layer, Norm, block};
use super::vae_layers::{fit, halved};
use super::{Latent, Mode, Network, NetworkKind, NetworkSpec, Outputs};
use crate::error::During;
use crate::session::Session;
use crate::state::State;

/// What the three networks differ in.
#[derive(Debug, Clone, Copy)]
struct Style {
    down: Activation,
    up: Activation,
    last: Activation,
    /// Instance instead of batch norm, and a convolution at the end.
    has_final: bool,
}

pub(super) static PLAIN: NetworkKind = NetworkKind {
    declaration: &CVAE_3D,
    build: |spec, session| {
        let style = Style {
            down: Activation::Relu,
            up: Activation::Relu,
            last: Activation::Relu,
            has_final: false,
        };
        let options: WholeCvaeOptions = spec.options()?;
        let (length, divergence) = (options.latent_space_size, options.kl_weight);
        Ok(Box::new(build(spec, session, style, length, divergence)?))
    },
};

pub(super) static HALF: NetworkKind = NetworkKind {
    declaration: &CVAE_3D_HALF,
    build: |spec, session| {
        let style = Style {
            down: Activation::LeakyRelu(0.2),
            up: Activation::Relu,
            last: Activation::Sigmoid,
            has_final: false,
        };
        let options: CvaeOptions = spec.options()?;
        let (length, divergence) = (options.latent_space_size, options.kl_weight);
        Ok(Box::new(build(spec, session, style, length, divergence)?))
    },
};

pub(super) static FINAL_CONV: NetworkKind = NetworkKind {
    declaration: &CVAE_3D_FINAL_CONV,
    build: |spec, session| {
        let style = Style {
            down: Activation::LeakyRelu(0.2),
            up: Activation::LeakyRelu(0.01),
            last: Activation::Sigmoid,
            has_final: true,
        };
        let options: CvaeOptions = spec.options()?;
        let (length, divergence) = (options.latent_space_size, options.kl_weight);
        Ok(Box::new(build(spec, session, style, length, divergence)?))
    },
};

/// Channels after each convolution.
const CHANNELS: [i64; 3] = [32, 64, 128];
/// Channels that the decoder starts with.
const WIDE: i64 = 256;

/// Three convolutions that halve the image, a vector of latent numbers, three transposed convolutions.
///
/// # Shapes
/// Input and output `[B, C, X, Y, Z]`.
///
/// # Source
/// ClinicaDL 1.6.1 `vae/convolutional_VAE.py`, `vae/advanced_CVAE.py`. As there, μ passes through a
/// hyperbolic tangent, one vector of noise serves the whole batch in training, and a divergence of no
/// weight leaves the noise out. Deviations: images of any size; the weight of the divergence of `CVAE_3D`,
/// always 5 there, is an option like that of the others, whose `recons_weight` is ignored there; layers that
/// nothing uses have no effect on how networks are trained.
#[derive(Debug)]
struct Cvae {
    name: &'static str,
    state: State,
    style: Style,
    is_variational: bool,
    down: Vec<[Box<dyn Layer>; 2]>,
    mean: Box<dyn Layer>,
    log_variance: Box<dyn Layer>,
    widen: Box<dyn Layer>,
    up: Vec<Box<dyn Layer>>,
    norms: Vec<Box<dyn Layer>>,
    last: Option<Box<dyn Layer>>,
    /// Shape after `widen`.
    map: Vec<i64>,
}

fn build(
    spec: &NetworkSpec,
    session: &Session,
    style: Style,
    latent: u32,
    divergence_weight: f64,
) -> Result<Cvae, StageError> {
    let latent = i64::from(latent);
    let image = spec.input_size[0];
    let maps = halved(&spec.input_size[1..], CHANNELS.len(), 3);
    let last = &maps[CHANNELS.len()];
    let voxels: i64 = last.iter().product();
    let norm = |channels| match style.has_final {
        true => Norm::Instance { axes: 3, channels },
        false => Norm::Batch { axes: 3, channels },
    };
    let prefix = if style.has_final { "in" } else { "bn" };
    let make = || -> Result<Cvae, TchError> {
        let mut b = Builder::new(session);
        // In the order of the Python class: the weights are drawn so.
        let mut convolutions = Vec::new();
        let mut input = image;
        for (i, channels) in (1..).zip(CHANNELS) {
            let conv = Conv::new(3, input, channels, 3).stride(2).padding(1);
            convolutions.push(b.layer(&format!("conv{i}"), conv)?);
            input = channels;
        }
        let mut norms = Vec::new();
        for (i, channels) in (1..).zip(CHANNELS) {
            norms.push(b.layer(&format!("{prefix}{i}"), norm(channels))?);
        }
        if !style.has_final {
            b.idle("bn4", norm(CHANNELS[2]))?;
        }
        let mean = b.layer("fc10", Dense::new(CHANNELS[2] * voxels, latent))?;
        let log_variance = b.layer("fc11", Dense::new(CHANNELS[2] * voxels, latent))?;
        let widen = b.layer("fc2", Dense::new(latent, WIDE * voxels))?;
        let mut up = Vec::new();
        let channels = [WIDE, CHANNELS[2], CHANNELS[1], image];
        for (i, name) in ["upconv1", "upconv2", "upconv4"].into_iter().enumerate() {
            let level = CHANNELS.len() - i;
            let padding = fit(&maps[level], &maps[level - 1], 3);
            let conv = Conv::new(3, channels[i], channels[i + 1], 3).transposed();
            let conv = conv.stride(2).padding(1).output_padding(&padding);
            up.push(b.layer(name, conv)?);
        }
        let last_conv = style
            .has_final
            .then(|| b.layer("final", Conv::new(3, image, image, 3).padding(1)))
            .transpose()?;
        let mut after = Vec::new();
        for (i, channels) in [(5, CHANNELS[2]), (6, CHANNELS[1])] {
            after.push(b.layer(&format!("{prefix}{i}"), norm(channels))?);
        }
        if style.has_final {
            after.push(b.layer("in7", norm(image))?);
        } else {
            b.idle("bn7", norm(CHANNELS[0]))?;
        }
        let mut map = vec![WIDE];
        map.extend(last);
        Ok(Cvae {
            name: spec.declaration.name,
            state: b.finish(),
            style,
            is_variational: divergence_weight > 0.0,
            down: convolutions
                .into_iter()
                .zip(norms)
                .map(|(conv, norm)| [conv, norm])
                .collect(),
            mean,
            log_variance,
            widen,
            up,
            norms: after,
            last: last_conv,
            map,
        })
    };
    make().during("build the network")
}

impl Cvae {
    fn decode(&self, code: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let Style { up, last, .. } = self.style;
        let mut shape = vec![-1];
        shape.extend(&self.map);
        let mut x = up.forward_owned(self.widen.forward(code, mode)?, mode)?;
        x = x.f_reshape(shape.as_slice())?;
        for (conv, norm) in self.up.iter().zip(&self.norms) {
            x = norm.forward(&conv.forward(&x, mode)?, mode)?;
            x = up.forward_owned(x, mode)?;
        }
        let made = match (&self.last, self.up.last()) {
            (Some(final_conv), _) => final_conv.forward(&x, mode)?,
            // Without a convolution at the end the third transposed one has no norm.
            (None, Some(conv)) => conv.forward(&x, mode)?,
            (None, None) => x,
        };
        last.forward(&made, mode)
    }
}

impl Network for Cvae {
    fn compute(&self, images: &Tensor, mode: Mode) -> Result<Outputs, TchError> {
        let mut x = images.shallow_clone();
        for [conv, norm] in &self.down {
            x = norm.forward(&conv.forward(&x, mode)?, mode)?;
            x = self.style.down.forward_owned(x, mode)?;
        }
        let x = x.f_flatten(1, -1)?;
        let mean = self.mean.forward(&x, mode)?.f_tanh()?;
        let log_variance = self.log_variance.forward(&x, mode)?;
        let code = if mode.is_training() && self.is_variational {
            let length = mean.size()[1];
            let noise = Tensor::f_randn([length], (Kind::Float, Device::Cpu))?;
            let noise = noise.f_to_device(mean.device())?;
            let deviation = log_variance.f_divide_scalar(2.0)?.f_exp()?;
            mean.f_add(&noise.f_mul(&deviation)?)?
        } else {
            mean.shallow_clone()
        };
        Ok(Outputs {
            prediction: self.decode(&code, mode)?,
            latent: Some(Latent { mean, log_variance }),
        })
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn describe(&self) -> String {
        let norms = match self.style.has_final {
            true => ["in1", "in2", "in3", "in5", "in6", "in7"],
            false => ["bn1", "bn2", "bn3", "bn5", "bn6", "bn7"],
        };
        let mut parts = Vec::new();
        for (i, [conv, norm]) in self.down.iter().enumerate() {
            parts.push((["conv1", "conv2", "conv3"][i], conv.describe()));
            parts.push((norms[i], norm.describe()));
        }
        parts.push(("fc10", self.mean.describe()));
        parts.push(("fc11", self.log_variance.describe()));
        parts.push(("fc2", self.widen.describe()));
        for (i, conv) in self.up.iter().enumerate() {
            parts.push((["upconv1", "upconv2", "upconv4"][i], conv.describe()));
        }
        for (i, norm) in self.norms.iter().enumerate() {
            parts.push((norms[3 + i], norm.describe()));
        }
        parts.extend(self.last.iter().map(|conv| ("final", conv.describe())));
        block(self.name, parts.into_iter()).join("\n")
    }
}
