//! `MLP`, `CNN`, `AutoEncoder`, `VAE`.

use engine::StageError;
use stages::learning::networks::configurable::{
    AUTO_ENCODER, CNN, CoderOptions, ConfigurableCnnOptions, ConvArgs, ConvNorm, DenseNorm, MLP,
    MlpArgs, MlpOptions, PerLayer, Pooling, Unpooling, VAE,
};
use tch::TchError;

use super::layers::{
    Builder, Conv, Dense, Dropout, Flatten, Layer, LayerNorm, Norm, PRelu, Pool, Sequential, Stack,
    Unflatten, UpsampleTo,
};
use super::plain::{Coder, Plain};
use super::unit::{Act, Unit};
use super::variational::Variational;
use super::{NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static MLP_KIND: NetworkKind = NetworkKind {
    declaration: &MLP,
    build: |spec, session| {
        let options: MlpOptions = spec.options()?;
        let make = || -> Result<Plain, TchError> {
            let mut builder = Builder::new(session);
            let inputs = spec.input_size.iter().product();
            let layers = Sequential::fill(&mut builder, |s| {
                dense(s, &options.mlp_args, inputs, Some(spec.output_size))
            })?;
            Ok(plain(builder, layers))
        };
        Ok(Box::new(make().during("build the network")?))
    },
};

pub(super) static CNN_KIND: NetworkKind = NetworkKind {
    declaration: &CNN,
    build: |spec, session| {
        let options: ConfigurableCnnOptions = spec.options()?;
        let shapes = Shapes::of(spec, &options.conv_args)?;
        let make = || -> Result<Plain, TchError> {
            let mut builder = Builder::new(session);
            let (conv, mlp) = (&options.conv_args, &options.mlp_args);
            let both = encoder(&mut builder, &shapes, conv, mlp, Some(spec.output_size))?;
            Ok(plain(builder, both))
        };
        Ok(Box::new(make().during("build the network")?))
    },
};

pub(super) static AUTO_ENCODER_KIND: NetworkKind = NetworkKind {
    declaration: &AUTO_ENCODER,
    build: |spec, session| {
        let options: CoderOptions = spec.options()?;
        let shapes = Shapes::of(spec, &options.conv_args)?;
        fits(spec, &options)?;
        let make = || -> Result<Coder, TchError> {
            let mut builder = Builder::new(session);
            let (conv, mlp) = (&options.conv_args, &options.mlp_args);
            let latent = Some(options.latent_size.into());
            let encoder = builder.within("encoder", |b| encoder(b, &shapes, conv, mlp, latent))?;
            let decoder = builder.within("decoder", |b| decoder(b, &shapes, &options))?;
            Ok(Coder::new(builder.finish(), encoder, decoder))
        };
        Ok(Box::new(make().during("build the network")?))
    },
};

pub(super) static VAE_KIND: NetworkKind = NetworkKind {
    declaration: &VAE,
    build: |spec, session| Ok(Box::new(variational(spec, session)?)),
};

fn plain(builder: Builder<'_>, layers: Sequential) -> Plain {
    Plain {
        state: builder.finish(),
        layer: Box::new(layers),
    }
}

/// Sizes of maps, with their channels.
struct Shapes {
    axes: usize,
    /// Before each convolution.
    before_conv: Vec<Vec<i64>>,
    /// After each convolution.
    after_conv: Vec<Vec<i64>>,
    /// What each convolution looks at.
    windows: Vec<Window>,
    /// Before each pooling, by the convolution before it, from −1.
    before_pool: Vec<(i32, Vec<i64>)>,
    /// Of the last map, its channels first.
    last: Vec<i64>,
    channels: Vec<i64>,
}

impl Shapes {
    fn of(spec: &NetworkSpec, args: &ConvArgs) -> Result<Self, StageError> {
        let axes = spec.input_size.len() - 1;
        let mut size = spec.input_size[1..].to_vec();
        let mut shapes = Self {
            axes: size.len(),
            before_conv: Vec::new(),
            after_conv: Vec::new(),
            windows: Vec::new(),
            before_pool: Vec::new(),
            last: Vec::new(),
            channels: vec![spec.input_size[0]],
        };
        let pooled = |index: i32| args.pooling_indices.contains(&index);
        let check = |size: &[i64], what: String| {
            if size.iter().all(|&axis| axis >= 1) {
                return Ok(());
            }
            let images = &spec.input_size[1..];
            let message = format!("images of {images:?} voxels have nothing left after {what}");
            Err(StageError::new(message)
                .hint("use fewer layers, `padding`, or fewer `pooling_indices`"))
        };
        for (layer, &channels) in (0..).zip(&args.channels) {
            if layer == 0 && pooled(-1) {
                shapes.before_pool.push((-1, size.clone()));
                size.iter_mut().for_each(|axis| *axis /= 2);
                check(&size, "the first pooling".to_owned())?;
            }
            let window = Window::of(args, layer as usize, axes)?;
            shapes.before_conv.push(size.clone());
            for (axis, size) in size.iter_mut().enumerate() {
                let reach = *size + 2 * window.padding[axis] - window.edge(axis);
                *size = reach.div_euclid(window.stride[axis]) + 1;
            }
            shapes.windows.push(window);
            check(&size, format!("convolution {layer}"))?;
            shapes.after_conv.push(size.clone());
            shapes.channels.push(channels.into());
            if pooled(layer) {
                shapes.before_pool.push((layer, size.clone()));
                size.iter_mut().for_each(|axis| *axis /= 2);
                check(&size, format!("the pooling behind convolution {layer}"))?;
            }
        }
        shapes.last = shapes.channels[args.channels.len()..].to_vec();
        shapes.last.extend(size);
        Ok(shapes)
    }
}

/// What a convolution looks at, by axis.
struct Window {
    kernel: Vec<i64>,
    stride: Vec<i64>,
    padding: Vec<i64>,
    dilation: Vec<i64>,
}

impl Window {
    fn of(args: &ConvArgs, layer: usize, axes: usize) -> Result<Self, StageError> {
        let of = |name: &str, numbers: &PerLayer| {
            let numbers = numbers.of(layer, axes);
            numbers.map_err(|e| StageError::new(format!("`network.conv_args.{name}`: {e}")))
        };
        Ok(Self {
            kernel: of("kernel_size", &args.kernel_size)?,
            stride: of("stride", &args.stride)?,
            padding: of("padding", &args.padding)?,
            dilation: of("dilation", &args.dilation)?,
        })
    }

    /// Voxels from its first to its last one.
    fn edge(&self, axis: usize) -> i64 {
        self.dilation[axis] * (self.kernel[axis] - 1) + 1
    }

    fn conv(&self, channels: (i64, i64)) -> Conv {
        Conv::new(self.kernel.len(), channels.0, channels.1, 1).shaped(
            self.kernel.clone(),
            self.stride.clone(),
            self.padding.clone(),
            self.dilation.clone(),
        )
    }
}

/// A convolution; what follows it but where it is the last one.
fn unit(axes: usize, conv: Conv, channels: i64, args: &ConvArgs, is_last: bool) -> Unit {
    let unit = Unit::new(if args.bias { conv } else { conv.without_bias() });
    if is_last {
        return unit;
    }
    let unit = match args.norm {
        ConvNorm::Instance => unit.norm(Norm::Instance { axes, channels }),
        ConvNorm::Batch => unit.norm(Norm::Batch { axes, channels }),
        ConvNorm::Group(groups) => unit.norm(Norm::Group {
            groups: groups.into(),
            channels,
        }),
        ConvNorm::None => unit,
    };
    let unit = unit.dropout(args.dropout);
    match Act::of(args.act) {
        None => unit,
        Some(act) => unit.act(act),
    }
}

/// Convolutions and fully connected layers, in `convolutions` and `mlp`.
fn encoder(
    builder: &mut Builder<'_>,
    shapes: &Shapes,
    conv: &ConvArgs,
    mlp: &MlpArgs,
    outputs: Option<i64>,
) -> Result<Sequential, TchError> {
    let axes = shapes.axes;
    let pool = match conv.pooling {
        Pooling::Max => Pool::Max {
            axes,
            kernel: 2,
            stride: 2,
            padding: 0,
        },
        Pooling::Avg => Pool::Halve { axes },
    };
    let is_pooled = |index: i32| shapes.before_pool.iter().any(|(at, _)| *at == index);
    let convolutions = Sequential::make_in(builder, "convolutions", |s| {
        if is_pooled(-1) {
            s.add_as("init_pool", pool)?;
        }
        for (layer, pair) in shapes.channels.windows(2).enumerate() {
            let made = shapes.windows[layer].conv((pair[0], pair[1]));
            let is_last = layer + 1 == conv.channels.len();
            s.add_as(
                &format!("layer{layer}"),
                unit(axes, made, pair[1], conv, is_last),
            )?;
            if i32::try_from(layer).is_ok_and(is_pooled) {
                s.add_as(&format!("pool{layer}"), pool)?;
            }
        }
        Ok(())
    })?;
    let features = shapes.last.iter().product();
    let dense = Sequential::make_in(builder, "mlp", |s| dense(s, mlp, features, outputs))?;
    let parts: [Box<dyn Layer>; 2] = [Box::new(convolutions), Box::new(dense)];
    Ok(Sequential::of(parts.into_iter()))
}

/// The mirror of an encoder: from the code to an image of the size that there was.
fn decoder(
    builder: &mut Builder<'_>,
    shapes: &Shapes,
    options: &CoderOptions,
) -> Result<Sequential, TchError> {
    let (conv, axes) = (&options.conv_args, shapes.axes);
    let mut mirrored = options.mlp_args.clone();
    mirrored.hidden_dims.reverse();
    let voxels = shapes.last.iter().product();
    let mlp = Sequential::make_in(builder, "mlp", |s| {
        dense(s, &mirrored, options.latent_size.into(), Some(voxels))
    })?;
    let is_linear = options.unpooling_mode != Unpooling::Nearest;
    let count = conv.channels.len();
    let unpool = |index: i32| {
        let found = shapes.before_pool.iter().find(|(at, _)| *at == index);
        found.map(|(_, size)| UpsampleTo {
            size: size.clone(),
            is_linear,
        })
    };
    let convolutions = Sequential::make_in(builder, "convolutions", |s| {
        let last = i32::try_from(count).unwrap_or(0) - 1;
        if let Some(unpool) = unpool(last) {
            s.add_as("init_unpool", unpool)?;
        }
        for number in 0..count {
            let layer = count - 1 - number;
            let (input, output) = (shapes.channels[layer + 1], shapes.channels[layer]);
            let window = &shapes.windows[layer];
            let sizes = shapes.before_conv[layer]
                .iter()
                .zip(&shapes.after_conv[layer]);
            let missing = sizes.enumerate().map(|(axis, (large, small))| {
                let reach = (small - 1) * window.stride[axis] + window.edge(axis);
                large - (reach - 2 * window.padding[axis])
            });
            let missing: Vec<i64> = missing.collect();
            let made = window.conv((input, output)).transposed();
            let made = made.output_padding(&missing);
            let is_last = number + 1 == count;
            s.add_as(
                &format!("layer{number}"),
                unit(axes, made, output, conv, is_last),
            )?;
            // What was pooled before this convolution.
            if let Some(unpool) = i32::try_from(layer).ok().and_then(|at| unpool(at - 1)) {
                s.add_as(&format!("unpool{number}"), unpool)?;
            }
        }
        Ok(())
    })?;
    let parts: [Box<dyn Layer>; 3] = [
        Box::new(mlp),
        Box::new(Unflatten(shapes.last.clone())),
        Box::new(convolutions),
    ];
    Ok(Sequential::of(parts.into_iter()))
}

/// Fully connected layers, with a last one where there are outputs.
fn dense(
    s: &mut Stack<'_, '_>,
    args: &MlpArgs,
    inputs: i64,
    outputs: Option<i64>,
) -> Result<(), TchError> {
    let linear = |input, output| Dense {
        bias: args.bias,
        ..Dense::new(input, output)
    };
    s.add_as("flatten", Flatten)?;
    let mut input = inputs;
    for (number, &features) in args.hidden_dims.iter().enumerate() {
        let channels = i64::from(features);
        s.within(&format!("hidden{number}"), |s| {
            s.add_as("linear", linear(input, channels))?;
            s.within("adn", |s| {
                match args.norm {
                    DenseNorm::Batch => s.add_as("N", Norm::Batch { axes: 1, channels })?,
                    DenseNorm::Layer => s.add_as("N", LayerNorm(channels))?,
                    DenseNorm::Group(groups) => {
                        let groups = i64::from(groups);
                        s.add_as("N", Norm::Group { groups, channels })?;
                    }
                    DenseNorm::None => {}
                }
                s.add_as("D", Dropout(args.dropout))?;
                match Act::of(args.act) {
                    None => Ok(()),
                    Some(Act::PRelu) => s.add_as("A", PRelu),
                    Some(Act::Fixed(activation)) => s.add_as("A", activation),
                }
            })
        })?;
        input = channels;
    }
    match outputs {
        None => Ok(()),
        Some(outputs) => {
            let last = linear(input, outputs);
            s.within("output", |s| s.add_as("linear", last))
        }
    }
}

fn fits(spec: &NetworkSpec, options: &CoderOptions) -> Result<(), StageError> {
    let axes = spec.input_size.len() - 1;
    let wrong = match options.unpooling_mode {
        Unpooling::Nearest => false,
        Unpooling::Bilinear => axes != 2,
        Unpooling::Trilinear => axes != 3,
    };
    if wrong {
        let message = format!("`unpooling_mode` is not for images of {axes} axes");
        return Err(StageError::new(message).hint("use `nearest`, which is for any"));
    }
    Ok(())
}

/// An encoder, a latent distribution, and a decoder.
///
/// # Source
/// Kingma and Welling 2014, arXiv:1312.6114; `VAE` of ClinicaDL 2.0.
fn variational(spec: &NetworkSpec, session: &Session) -> Result<Variational, StageError> {
    let options: CoderOptions = spec.options()?;
    let shapes = Shapes::of(spec, &options.conv_args)?;
    fits(spec, &options)?;
    let make = || -> Result<Variational, TchError> {
        let mut builder = Builder::new(session);
        let (conv, mlp) = (&options.conv_args, &options.mlp_args);
        let latent = i64::from(options.latent_size);
        let whole: i64 = shapes.last.iter().product();
        let features = mlp.hidden_dims.last().map_or(whole, |&last| last.into());
        let encoder = builder.within("encoder", |b| encoder(b, &shapes, conv, mlp, None))?;
        let linear = Dense {
            bias: mlp.bias,
            ..Dense::new(features, latent)
        };
        let mean = builder.within("mu", |b| b.layer("linear", linear))?;
        let decoder = builder.within("decoder", |b| decoder(b, &shapes, &options))?;
        // Drawn after everything else, and listed after the mean.
        let log_variance = builder.within("log_var", |b| b.layer("linear", linear))?;
        let mut state = builder.finish();
        state.sort_after(0, |name| match name.split('.').next() {
            Some("encoder") => 0,
            Some("mu") => 1,
            Some("log_var") => 2,
            _ => 3,
        });
        Ok(Variational {
            state,
            encoder: Box::new(encoder),
            mean,
            log_variance,
            decoder: Box::new(decoder),
            shown: ("VAE", ["encoder", "mu", "log_var", "decoder"]),
        })
    };
    make().during("build the network")
}
