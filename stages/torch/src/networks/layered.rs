//! `Layers`.

use engine::StageError;
use stages::learning::networks::layered::{
    Features, LAYERS, LayerOptions, LayeredOptions, OutputsWord,
};
use tch::{Device, Kind, TchError, Tensor};

use super::layers::{
    Activation, Builder, Conv, Dense, Dropout, Flatten, Layer, Norm, PRelu, Pool, Sequential,
    Upsample,
};
use super::plain::Plain;
use super::{Mode, NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static KIND: NetworkKind = NetworkKind {
    declaration: &LAYERS,
    build: |spec, session| Ok(Box::new(build(spec, session)?)),
};

/// Layers one after the other; an image of zeros tells the size that each is made for.
///
/// # Shapes
/// Input `[B, C, X, Y(, Z)]`; output `[B, output_size]`, or that of the input in a reconstruction.
///
/// # Source
/// `torch.nn.Sequential` of PyTorch 2.13.
fn build(spec: &NetworkSpec, session: &Session) -> Result<Plain, StageError> {
    let options: LayeredOptions = spec.options()?;
    let mut builder = Builder::new(session);
    let mut shape = vec![1];
    shape.extend(&spec.input_size);
    let mut x = Tensor::f_zeros(shape.as_slice(), (Kind::Float, Device::Cpu))
        .during("build the network")?;
    let mut layers: Vec<Box<dyn Layer>> = Vec::new();
    for (number, wanted) in options.layers.iter().enumerate() {
        let size = x.size();
        let made = make(&mut builder, number, wanted, &size[1..], spec.output_size);
        let passed = made.and_then(|layer| {
            let y = tch::no_grad(|| layer.forward(&x, Mode::Evaluate))?;
            Ok((layer, y))
        });
        let (layer, y) =
            passed.map_err(|error| does_not_fit(number, wanted, &size[1..], &error))?;
        if y.numel() == 0 {
            let nothing = TchError::Shape("nothing is left of it".to_owned());
            return Err(does_not_fit(number, wanted, &size[1..], &nothing));
        }
        layers.push(layer);
        x = y;
    }
    let expected = match spec.output_size {
        0 => shape,
        outputs => vec![1, outputs],
    };
    if x.size() != expected {
        let (got, expected) = (&x.size()[1..], &expected[1..]);
        let message = format!("`network.layers` end with {got:?} numbers, expected {expected:?}");
        return Err(StageError::new(message).hint(match spec.output_size {
            0 => "a reconstruction gives back the shape of the image",
            _ => "end with `flatten` and `linear: outputs`",
        }));
    }
    Ok(Plain {
        state: builder.finish(),
        layer: Box::new(Sequential::of(layers.into_iter())),
    })
}

fn does_not_fit(number: usize, layer: &LayerOptions, size: &[i64], error: &TchError) -> StageError {
    let name = serde_json::to_value(layer).unwrap_or_default();
    let why = error.to_string();
    let why = why.lines().next().unwrap_or_default();
    StageError::new(format!(
        "`network.layers`: layer {number}, {name}, does not take {size:?}: {why}"
    ))
    .hint("layers are counted from 0; sizes are channels first")
}

/// Makes a layer for maps or rows of this size, channels first.
fn make(
    builder: &mut Builder<'_>,
    number: usize,
    layer: &LayerOptions,
    size: &[i64],
    outputs: i64,
) -> Result<Box<dyn Layer>, TchError> {
    let name = number.to_string();
    let channels = size[0];
    let axes = size.len() - 1;
    let of_maps = || match axes {
        2 | 3 => Ok(axes),
        _ => Err(TchError::Shape("expected maps of 2 or 3 axes".to_owned())),
    };
    match layer {
        LayerOptions::Conv(conv) | LayerOptions::ConvTranspose(conv) => {
            let axes = of_maps()?;
            let made = Conv::new(axes, channels, conv.channels.into(), conv.kernel.into());
            let made = match layer {
                LayerOptions::Conv(_) => made,
                _ => {
                    let missing = vec![i64::from(conv.output_padding); axes];
                    made.transposed().output_padding(&missing)
                }
            };
            let made = made.stride(conv.stride.into()).padding(conv.padding.into());
            builder.layer(&name, if conv.bias { made } else { made.without_bias() })
        }
        LayerOptions::BatchNorm => {
            let axes = axes.max(1);
            builder.layer(&name, Norm::Batch { axes, channels })
        }
        LayerOptions::InstanceNorm => {
            let axes = of_maps()?;
            builder.layer(&name, Norm::Instance { axes, channels })
        }
        LayerOptions::Relu => builder.layer(&name, Activation::Relu),
        LayerOptions::LeakyRelu => builder.layer(&name, Activation::LeakyRelu(0.01)),
        LayerOptions::Prelu => builder.layer(&name, PRelu),
        LayerOptions::Elu => builder.layer(&name, Activation::Elu),
        LayerOptions::Gelu => builder.layer(&name, Activation::Gelu),
        LayerOptions::Tanh => builder.layer(&name, Activation::Tanh),
        LayerOptions::Sigmoid => builder.layer(&name, Activation::Sigmoid),
        LayerOptions::MaxPool(pool) => builder.layer(
            &name,
            Pool::Max {
                axes: of_maps()?,
                kernel: pool.kernel.into(),
                stride: pool.stride.unwrap_or(pool.kernel).into(),
                padding: pool.padding.into(),
            },
        ),
        LayerOptions::AvgPool => builder.layer(&name, Pool::Halve { axes: of_maps()? }),
        LayerOptions::GlobalPool => builder.layer(&name, Pool::Global { axes: of_maps()? }),
        LayerOptions::Upsample => {
            of_maps()?;
            builder.layer(&name, Upsample)
        }
        LayerOptions::Flatten => builder.layer(&name, Flatten),
        LayerOptions::Dropout(probability) => builder.layer(&name, Dropout(*probability)),
        LayerOptions::Linear(features) => {
            let last = size[size.len() - 1];
            let wanted = match features {
                Features::Number(number) => i64::from(*number),
                Features::Outputs(OutputsWord::Outputs) => outputs,
            };
            if wanted == 0 {
                let message = "a reconstruction has no number of outputs".to_owned();
                return Err(TchError::Shape(message));
            }
            builder.layer(&name, Dense::new(last, wanted))
        }
    }
}
