//! `Vanilla3DdenseVAE`, `Vanilla3DspacialVAE`, `VanillaDenseVAE`, `VanillaSpatialVAE`.

use engine::StageError;
use stages::learning::networks::vae::{
    DenseVae3dOptions, DenseVaeOptions, SpatialVae3dOptions, SpatialVaeOptions,
    VANILLA_3D_DENSE_VAE, VANILLA_3D_SPACIAL_VAE, VANILLA_DENSE_VAE, VANILLA_SPATIAL_VAE,
    VaeOptions,
};
use tch::{TchError, Tensor};

use super::layers::{
    Activation, Builder, Conv, Dense, Flatten, Layer, Make, Sequential, Shown, Stack, Unflatten,
    block,
};
use super::vae_layers::{Down, Up, fit, halved};
use super::variational::Variational;
use super::{Mode, NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static DENSE_3D: NetworkKind = NetworkKind {
    declaration: &VANILLA_3D_DENSE_VAE,
    build: |spec, session| {
        let options: DenseVae3dOptions = spec.options()?;
        let latent = options.latent_space_size.into();
        let plan = Plan::of(spec, &options, 0)?;
        Ok(Box::new(dense(&plan, session, latent, "")?))
    },
};

pub(super) static SPATIAL_3D: NetworkKind = NetworkKind {
    declaration: &VANILLA_3D_SPACIAL_VAE,
    build: |spec, session| {
        let options: SpatialVae3dOptions = spec.options()?;
        let plan = Plan::of(spec, &options, 1)?;
        Ok(Box::new(spatial(&plan, session, "")?))
    },
};

/// The two-dimensional classes keep their layers in a container.
const CONTAINER: &str = "sequential";

pub(super) static DENSE_2D: NetworkKind = NetworkKind {
    declaration: &VANILLA_DENSE_VAE,
    build: |spec, session| {
        let options: DenseVaeOptions = spec.options()?;
        let latent = options.latent_space_size.into();
        let plan = Plan::of(spec, &options, 0)?;
        Ok(Box::new(dense(&plan, session, latent, CONTAINER)?))
    },
};

pub(super) static SPATIAL_2D: NetworkKind = NetworkKind {
    declaration: &VANILLA_SPATIAL_VAE,
    build: |spec, session| {
        let options: SpatialVaeOptions = spec.options()?;
        let plan = Plan::of(spec, &options, 0)?;
        Ok(Box::new(spatial(&plan, session, CONTAINER)?))
    },
};

/// The text of all of them. (ClinicaDL 1.6.1 draws in evaluation too, so that predictions vary.)
const SHOWN: (&str, [&str; 4]) = ("Sequential", ["0", "1", "2", "3"]);

/// Layers that the two-dimensional classes keep in a [`CONTAINER`], and show so.
#[derive(Debug)]
struct Contained(&'static str, Sequential);

impl Layer for Contained {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        self.1.forward(x, mode)
    }

    fn describe(&self) -> Vec<String> {
        block(self.0, [(CONTAINER, self.1.describe())].into_iter())
    }
}

/// What all of them are built from.
struct Plan {
    axes: usize,
    /// Features before the latent space; 0: none.
    features: i64,
    /// Channels after each convolution, those of the image first.
    channels: Vec<i64>,
    /// Sizes of the map likewise, and those of a latent map that is smaller still.
    maps: Vec<Vec<i64>>,
}

impl Plan {
    /// With a latent map that is halved so many times more.
    fn of(
        spec: &NetworkSpec,
        options: &impl VaeOptions,
        deeper: usize,
    ) -> Result<Self, StageError> {
        let first = i64::from(options.channels());
        let mut channels = vec![spec.input_size[0]];
        channels.extend((0..options.convolutions()).map(|i| first << i));
        let count = channels.len() - 1 + deeper;
        let maps = halved(&spec.input_size[1..], count, 4);
        if maps[count].iter().any(|&axis| axis < 1) {
            let axes = &spec.input_size[1..];
            let message = format!("images of {axes:?} voxels cannot be halved {count} times");
            return Err(StageError::new(message).hint("lower `network.n_conv`"));
        }
        Ok(Self {
            axes: spec.input_size.len() - 1,
            features: options.features().into(),
            channels,
            maps,
        })
    }

    fn count(&self) -> usize {
        self.channels.len() - 1
    }

    /// Shape of the last map, with its channels.
    fn last(&self) -> Vec<i64> {
        let mut shape = vec![self.channels[self.count()]];
        shape.extend(&self.maps[self.count()]);
        shape
    }

    fn down(&self, s: &mut Stack<'_, '_>) -> Result<(), TchError> {
        for pair in self.channels.windows(2) {
            s.add(Down::new(self.axes, pair[0], pair[1], 4))?;
        }
        Ok(())
    }

    /// Doubles the map again; the last output is from 0 to 1.
    fn up(&self, s: &mut Stack<'_, '_>) -> Result<(), TchError> {
        for level in (1..self.count()).rev() {
            let padding = fit(&self.maps[level + 1], &self.maps[level], 4);
            let (wide, narrow) = (self.channels[level + 1], self.channels[level]);
            s.add(Up::new(self.axes, wide, narrow, 4).output_padding(&padding))?;
        }
        let padding = fit(&self.maps[1], &self.maps[0], 4);
        let conv = Conv::new(self.axes, self.channels[1], self.channels[0], 4).transposed();
        let conv = conv.stride(2).padding(1).output_padding(&padding);
        s.add(Chain(vec![
            Link::Conv(conv.without_bias()),
            Link::Activation(Activation::Sigmoid),
        ]))
    }
}

/// Layers one after the other, at one place.
struct Chain(Vec<Link>);

enum Link {
    Conv(Conv),
    Dense(Dense),
    Activation(Activation),
    Flatten,
    Unflatten(Vec<i64>),
}

impl Make for Chain {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let layers = Sequential::fill(builder, |s| {
            for link in self.0 {
                match link {
                    Link::Conv(conv) => s.add(conv)?,
                    Link::Dense(dense) => s.add(dense)?,
                    Link::Activation(activation) => s.add(activation)?,
                    Link::Flatten => s.add(Shown("Flatten()", Flatten))?,
                    Link::Unflatten(shape) => s.add(unflatten(shape))?,
                }
            }
            Ok(())
        })?;
        Ok(Box::new(layers))
    }
}

/// Gives features the shape of a map.
fn unflatten(shape: Vec<i64>) -> Shown<Unflatten> {
    let text = match shape.len() {
        3 => "Unflatten2D()",
        _ => "Unflatten3D()",
    };
    Shown(text, Unflatten(shape))
}

/// Makes the encoder or the decoder, in a container if there is one.
fn part(
    builder: &mut Builder<'_>,
    name: &str,
    container: &str,
    fill: impl FnOnce(&mut Stack<'_, '_>) -> Result<(), TchError>,
) -> Result<Box<dyn Layer>, TchError> {
    if container.is_empty() {
        return Ok(Box::new(Sequential::make_in(builder, name, fill)?));
    }
    let layers = builder.within(name, |b| Sequential::make_in(b, container, fill))?;
    let class = match name {
        "encoder" => "VAE_Encoder",
        _ => "VAE_Decoder",
    };
    Ok(Box::new(Contained(class, layers)))
}

/// With a vector between encoder and decoder.
///
/// # Shapes
/// Input and output `[B, C, X, Y(, Z)]`; the axes may be odd.
///
/// # Source
/// Kingma and Welling 2014, arXiv:1312.6114; ClinicaDL 1.6.1 `vae/vanilla_vae.py`. Deviations: images of
/// any size; the class for slices, which cannot be built there, works, and has the options of the other.
fn dense(
    plan: &Plan,
    session: &Session,
    latent: i64,
    container: &str,
) -> Result<Variational, StageError> {
    let make = || -> Result<Variational, TchError> {
        let relu = || Link::Activation(Activation::Relu);
        let last = plan.last();
        let voxels: i64 = last.iter().product();
        let features = match plan.features {
            0 => voxels,
            features => features,
        };
        let is_flat = container.is_empty();
        let mut builder = Builder::new(session);
        let encoder = part(&mut builder, "encoder", container, |s| {
            plan.down(s)?;
            let squeeze = vec![Link::Dense(Dense::new(voxels, features)), relu()];
            match (is_flat, plan.features) {
                (true, 0) => s.add(Shown("Flatten()", Flatten)),
                (true, _) => {
                    s.add(Shown("Flatten()", Flatten))?;
                    s.add(Chain(squeeze))
                }
                (false, 0) => s.add(Chain(vec![Link::Flatten])),
                (false, _) => s.add(Chain(
                    [vec![Link::Flatten], squeeze]
                        .into_iter()
                        .flatten()
                        .collect(),
                )),
            }
        })?;
        let mean = builder.layer("mu_layer", Dense::new(features, latent))?;
        let log_variance = builder.layer("var_layer", Dense::new(features, latent))?;
        let decoder = part(&mut builder, "decoder", container, |s| {
            let mut first = Vec::new();
            if plan.features == 0 {
                first.extend([Link::Dense(Dense::new(latent, voxels)), relu()]);
            } else {
                first.extend([Link::Dense(Dense::new(latent, features)), relu()]);
                first.extend([Link::Dense(Dense::new(features, voxels)), relu()]);
            }
            if is_flat {
                s.add(Chain(first))?;
                s.add(unflatten(last.clone()))?;
            } else {
                first.extend([Link::Unflatten(last.clone()), relu()]);
                s.add(Chain(first))?;
            }
            plan.up(s)
        })?;
        Ok(Variational {
            state: builder.finish(),
            encoder,
            mean,
            log_variance,
            decoder,
            shown: SHOWN,
        })
    };
    make().during("build the network")
}

/// With a map of one channel between encoder and decoder.
///
/// # Shapes
/// Input and output `[B, C, X, Y(, Z)]`; the axes may be odd. The latent map has the size of the last
/// convolution's in slices, half of it in volumes.
///
/// # Source
/// ClinicaDL 1.6.1 `vae/vanilla_vae.py`, where neither class can be built. Deviations: images of any size
/// (there the padding in volumes is that of 169×208×179 voxels); channels and number of convolutions,
/// fixed there, are options.
fn spatial(plan: &Plan, session: &Session, container: &str) -> Result<Variational, StageError> {
    let axes = plan.axes;
    let make = || -> Result<Variational, TchError> {
        let last = plan.channels[plan.count()];
        let features = plan.features;
        let conv = |input, output| Conv::new(axes, input, output, 3).padding(1).without_bias();
        let (into, out_of) = match plan.maps.get(plan.count() + 1) {
            None => (conv(last, features), conv(features, last).transposed()),
            Some(deeper) => {
                let halving = |input, output| Conv::new(axes, input, output, 4).stride(2);
                let out_of = halving(features, last).transposed();
                let padding = fit(deeper, &plan.maps[plan.count()], 4);
                (
                    halving(last, features).padding(1).without_bias(),
                    out_of.padding(1).output_padding(&padding).without_bias(),
                )
            }
        };
        let chain = |convs: Vec<Conv>| {
            let relu = || Link::Activation(Activation::Relu);
            let links = convs
                .into_iter()
                .flat_map(|conv| [Link::Conv(conv), relu()]);
            Chain(links.collect())
        };
        let mut builder = Builder::new(session);
        let encoder = part(&mut builder, "encoder", container, |s| {
            plan.down(s)?;
            s.add(chain(vec![into]))
        })?;
        let mean = builder.layer("mu_layer", conv(features, 1))?;
        let log_variance = builder.layer("var_layer", conv(features, 1))?;
        let decoder = part(&mut builder, "decoder", container, |s| {
            s.add(chain(vec![conv(1, features).transposed(), out_of]))?;
            plan.up(s)
        })?;
        Ok(Variational {
            state: builder.finish(),
            encoder,
            mean,
            log_variance,
            decoder,
            shown: SHOWN,
        })
    };
    make().during("build the network")
}
