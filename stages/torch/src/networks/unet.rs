//! `UNet`.

use engine::StageError;
use stages::learning::networks::unet::{MapNorm, UNET, UNetOptions};
use tch::{TchError, Tensor};

use super::layers::{Builder, Conv, Layer, Make, Norm, Residual, Sequential, block};
use super::plain::Plain;
use super::unit::Unit;
use super::{Mode, NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static KIND: NetworkKind = NetworkKind {
    declaration: &UNET,
    build: |spec, session| Ok(Box::new(build(spec, session)?)),
};

/// Levels of convolutions down and transposed convolutions up, each joined with its mirror.
///
/// # Shapes
/// Input and output `[B, C, X, Y(, Z)]`.
///
/// # Source
/// Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28; Kerfoot et al. 2019,
/// doi:10.1007/978-3-030-12029-0_40; `monai.networks.nets.UNet` of MONAI 1.5. Deviation: images of any
/// size, which are filled up with zeros to a multiple of all strides together, and cut again.
fn build(spec: &NetworkSpec, session: &Session) -> Result<Plain, StageError> {
    let options: UNetOptions = spec.options()?;
    let multiple = multiple(&options.strides);
    // The last map needs something to normalise over.
    spec.needs_an_axis_of(multiple + 1)?;
    let make = || -> Result<Plain, TchError> {
        let mut builder = Builder::new(session);
        let levels = Levels {
            plan: Plan {
                axes: spec.input_size.len() - 1,
                options: &options,
            },
            level: 0,
            channels: spec.input_size[0],
        };
        let layer = builder.layer("model", levels)?;
        let mut state = builder.finish();
        state.sort_after(0, place);
        Ok(Plain {
            state,
            layer: Box::new(Fitted { layer, multiple }),
        })
    };
    make().during("build the network")
}

/// The factor by which the deepest map is smaller.
pub(super) fn multiple(strides: &[u32]) -> i64 {
    strides.iter().map(|&stride| i64::from(stride)).product()
}

/// Deeper levels are made first; the state is in the order of their names.
pub(super) fn place(name: &str) -> Vec<u32> {
    let parts = name.split('.').skip(1);
    let number = |part: &str| match part {
        "attention" => Some(0),
        "upconv" => Some(1),
        "merge" => Some(2),
        "submodule" => Some(3),
        number => number.parse().ok(),
    };
    parts.map_while(number).collect()
}

#[derive(Clone, Copy)]
struct Plan<'o> {
    axes: usize,
    options: &'o UNetOptions,
}

impl Plan<'_> {
    /// A convolution with norm, dropout and activation.
    fn unit(self, conv: Conv, channels: i64) -> Unit {
        let axes = self.axes;
        let norm = match self.options.norm {
            MapNorm::Instance => Norm::Instance { axes, channels },
            MapNorm::Batch => Norm::Batch { axes, channels },
        };
        let unit = Unit::new(conv).norm(norm);
        unit.dropout(self.options.dropout).act(self.options.act)
    }

    fn conv(self, input: i64, output: i64) -> Conv {
        let edge = i64::from(self.options.kernel_size);
        Conv::new(self.axes, input, output, edge).padding(edge / 2)
    }
}

/// What a level does to its map: a unit, or a residual one of several.
struct Units<'o> {
    plan: Plan<'o>,
    input: i64,
    output: i64,
    stride: i64,
    /// Units beside the shortcut; 0: no shortcut.
    count: u32,
    /// The last unit is a convolution by itself.
    ends_plain: bool,
}

impl Make for Units<'_> {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let Self {
            plan,
            input,
            output,
            stride,
            ..
        } = self;
        if self.count == 0 {
            let conv = plan.conv(input, output).stride(stride);
            return plan.unit(conv, output).make(builder);
        }
        let branch = Sequential::make_in(builder, "conv", |s| {
            for number in 0..self.count {
                let conv = match number {
                    0 => plan.conv(input, output).stride(stride),
                    _ => plan.conv(output, output),
                };
                let unit = match self.ends_plain && number + 1 == self.count {
                    true => Unit::new(conv),
                    false => plan.unit(conv, output),
                };
                s.add_as(&format!("unit{number}"), unit)?;
            }
            Ok(())
        })?;
        let shortcut = match (stride, input == output) {
            (1, true) => None,
            (1, false) => Some(Conv::new(plan.axes, input, output, 1)),
            _ => Some(plan.conv(input, output).stride(stride)),
        };
        let shortcut = shortcut.map(|conv| builder.layer("residual", conv));
        Ok(Box::new(Residual {
            branch,
            shortcut: shortcut.transpose()?,
            activation: None,
        }))
    }
}

/// A level and those below it, from and to so many channels.
struct Levels<'o> {
    plan: Plan<'o>,
    level: usize,
    channels: i64,
}

impl Make for Levels<'_> {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let Self { plan, level, .. } = self;
        let wide = i64::from(plan.options.channels[level]);
        let wider = i64::from(plan.options.channels[level + 1]);
        let stride = i64::from(plan.options.strides[level]);
        let is_top = level == 0;
        let is_last = level + 2 == plan.options.channels.len();
        let count = plan.options.num_res_units;
        let units = |input, output, stride| Units {
            plan,
            input,
            output,
            stride,
            count,
            ends_plain: false,
        };
        let below = builder.within("1", |b| match is_last {
            true => b.layer("submodule", units(wide, wider, 1)),
            false => b.layer(
                "submodule",
                Self {
                    plan,
                    level: level + 1,
                    channels: wide,
                },
            ),
        })?;
        let down = builder.layer("0", units(self.channels, wide, stride))?;
        let joined = wide + if is_last { wider } else { wide };
        let edge = i64::from(plan.options.up_kernel_size);
        let conv = Conv::new(plan.axes, joined, self.channels, edge).padding(edge / 2);
        let conv = conv.transposed().stride(stride);
        let conv = conv.output_padding(&vec![stride - 1; plan.axes]);
        let unit = match is_top && count == 0 {
            true => Unit::new(conv),
            false => plan.unit(conv, self.channels),
        };
        let up = if count == 0 {
            builder.layer("2", unit)?
        } else {
            let layers = Sequential::make_in(builder, "2", |s| {
                s.add(unit)?;
                s.add(Units {
                    count: 1,
                    ends_plain: is_top,
                    ..units(self.channels, self.channels, 1)
                })
            })?;
            Box::new(layers)
        };
        Ok(Box::new(Level { down, below, up }))
    }
}

#[derive(Debug)]
struct Level {
    down: Box<dyn Layer>,
    below: Box<dyn Layer>,
    up: Box<dyn Layer>,
}

impl Layer for Level {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let x = self.down.forward(x, mode)?;
        let below = self.below.forward(&x, mode)?;
        self.up.forward(&Tensor::f_cat(&[x, below], 1)?, mode)
    }

    fn describe(&self) -> Vec<String> {
        let below = block(
            "SkipConnection",
            [("submodule", self.below.describe())].into_iter(),
        );
        let parts = [
            ("0", self.down.describe()),
            ("1", below),
            ("2", self.up.describe()),
        ];
        block("Sequential", parts.into_iter())
    }
}

/// Images of any size for a layer that takes multiples of a number.
#[derive(Debug)]
pub(super) struct Fitted {
    pub(super) layer: Box<dyn Layer>,
    pub(super) multiple: i64,
}

impl Layer for Fitted {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let sizes = x.size();
        let missing = |size: &i64| (self.multiple - size % self.multiple) % self.multiple;
        if sizes[2..].iter().all(|size| missing(size) == 0) {
            return self.layer.forward(x, mode);
        }
        // In libtorch's order: last axis first, before and after.
        let axes = sizes[2..].iter().rev();
        let padding: Vec<i64> = axes.flat_map(|size| [0, missing(size)]).collect();
        let mut y = self.layer.forward(&x.f_constant_pad_nd(padding)?, mode)?;
        for (axis, &size) in sizes.iter().enumerate().skip(2) {
            y = y.f_narrow(axis as i64, 0, size)?;
        }
        Ok(y)
    }

    fn describe(&self) -> Vec<String> {
        self.layer.describe()
    }
}
