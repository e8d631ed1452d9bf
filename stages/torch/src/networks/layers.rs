//! Layers with the initialisation and the parameter names of PyTorch.
//!
//! Every layer works on 2-D and 3-D images: the number of spatial axes is that of its kernel.
//! A layer's tensors are handles into the network's [`State`]; making a layer draws its weights from
//! libtorch's default generator, weight before bias, in the order of construction.

use tch::{Device, Kind, TchError, Tensor};

use crate::session::Session;
use crate::state::{Role, State};

/// What a forward pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Batch statistics are used and accumulated, dropout drops.
    Train,
    /// Accumulated statistics are used, dropout does nothing.
    Evaluate,
}

/// Makes layers and collects their tensors.
pub(crate) struct Builder<'s> {
    state: State,
    _generator: &'s Session,
}

impl<'s> Builder<'s> {
    /// A network without layers, drawing from the session's generator.
    pub(crate) fn new(session: &'s Session) -> Self {
        Self {
            state: State::default(),
            _generator: session,
        }
    }

    /// The tensors of every layer made.
    pub(crate) fn finish(self) -> State {
        self.state
    }

    /// A convolution with zero padding.
    pub(crate) fn convolution(
        &mut self,
        name: &str,
        channels: (i64, i64),
        geometry: Geometry,
    ) -> Result<Convolution, TchError> {
        let (input, output) = channels;
        let mut shape = vec![output, input];
        shape.extend(vec![geometry.kernel; geometry.axes]);
        let fan_in = input
            * geometry
                .kernel
                .pow(u32::try_from(geometry.axes).unwrap_or(3));
        let weight = self.draw(format!("{name}.weight"), &shape, weight_bound(fan_in))?;
        let bias = self.draw(format!("{name}.bias"), &[output], bias_bound(fan_in))?;
        Ok(Convolution {
            weight,
            bias,
            channels,
            geometry,
        })
    }

    /// Batch normalisation with running statistics.
    pub(crate) fn batch_norm(
        &mut self,
        name: &str,
        channels: i64,
        axes: usize,
    ) -> Result<BatchNorm, TchError> {
        let float = (Kind::Float, Device::Cpu);
        let mut add =
            |field: &str, role, tensor| self.state.add(format!("{name}.{field}"), role, tensor);
        let weight = add(
            "weight",
            Role::Parameter,
            Tensor::f_ones([channels], float)?,
        );
        let bias = add("bias", Role::Parameter, Tensor::f_zeros([channels], float)?);
        let mean = Tensor::f_zeros([channels], float)?;
        let variance = Tensor::f_ones([channels], float)?;
        let batches = Tensor::f_zeros(&[] as &[i64], (Kind::Int64, Device::Cpu))?;
        Ok(BatchNorm {
            weight,
            bias,
            running_mean: add("running_mean", Role::Buffer, mean),
            running_variance: add("running_var", Role::Buffer, variance),
            batches: add("num_batches_tracked", Role::Buffer, batches),
            channels,
            axes,
        })
    }

    /// A fully connected layer.
    pub(crate) fn linear(
        &mut self,
        name: &str,
        input: i64,
        output: i64,
    ) -> Result<Linear, TchError> {
        let weight = self.draw(
            format!("{name}.weight"),
            &[output, input],
            weight_bound(input),
        )?;
        let bias = self.draw(format!("{name}.bias"), &[output], bias_bound(input))?;
        Ok(Linear {
            weight,
            bias,
            features: (input, output),
        })
    }

    fn draw(&mut self, name: String, shape: &[i64], bound: f64) -> Result<Tensor, TchError> {
        let mut tensor = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
        drop(tensor.f_uniform_(-bound, bound)?);
        Ok(self.state.add(name, Role::Parameter, tensor))
    }
}

/// The bound of PyTorch's `kaiming_uniform_(a=√5)`, by its own steps so that rounding is the same.
fn weight_bound(fan_in: i64) -> f64 {
    let a = 5.0_f64.sqrt();
    let gain = (2.0 / (1.0 + a * a)).sqrt();
    let deviation = gain / (fan_in as f64).sqrt();
    3.0_f64.sqrt() * deviation
}

fn bias_bound(fan_in: i64) -> f64 {
    1.0 / (fan_in as f64).sqrt()
}

/// Kernel, stride and padding of a convolution, equal on every axis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) axes: usize,
    pub(crate) kernel: i64,
    pub(crate) stride: i64,
    pub(crate) padding: i64,
}

/// A convolution.
///
/// # Shapes
/// `[B, C, X, Y(, Z)]` → `[B, C', X', Y'(, Z')]`.
#[derive(Debug)]
pub(crate) struct Convolution {
    weight: Tensor,
    bias: Tensor,
    channels: (i64, i64),
    geometry: Geometry,
}

impl Convolution {
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let on_each = |value: i64| vec![value; self.geometry.axes];
        x.f_convolution(
            &self.weight,
            Some(&self.bias),
            on_each(self.geometry.stride),
            on_each(self.geometry.padding),
            on_each(1),
            false,
            on_each(0),
            1,
        )
    }

    /// PyTorch's textual representation.
    pub(crate) fn describe(&self) -> String {
        let Geometry {
            axes,
            kernel,
            stride,
            padding,
        } = self.geometry;
        let on_each = |value: i64| format!("({})", vec![value.to_string(); axes].join(", "));
        let padding = match padding {
            0 => String::new(),
            _ => format!(", padding={}", on_each(padding)),
        };
        format!(
            "Conv{axes}d({}, {}, kernel_size={}, stride={}{padding})",
            self.channels.0,
            self.channels.1,
            on_each(kernel),
            on_each(stride),
        )
    }
}

/// Batch normalisation: eps 1e-5, momentum 0.1.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_variance: Tensor,
    batches: Tensor,
    channels: i64,
    axes: usize,
}

impl BatchNorm {
    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        if mode == Mode::Train {
            drop(self.batches.shallow_clone().f_add_scalar_(1)?);
        }
        x.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_variance),
            mode == Mode::Train,
            0.1,
            1e-5,
            true,
        )
    }

    /// PyTorch's textual representation.
    pub(crate) fn describe(&self) -> String {
        format!(
            "BatchNorm{}d({}, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
            self.axes, self.channels
        )
    }
}

/// A fully connected layer.
///
/// # Shapes
/// `[B, F]` → `[B, F']`.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Tensor,
    features: (i64, i64),
}

impl Linear {
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_linear(&self.weight, Some(&self.bias))
    }

    /// PyTorch's textual representation.
    pub(crate) fn describe(&self) -> String {
        let (input, output) = self.features;
        format!("Linear(in_features={input}, out_features={output}, bias=True)")
    }
}

/// Max pooling of 2 voxels per axis; an odd axis is padded with a zero at its beginning.
///
/// # Shapes
/// `[B, C, X, Y(, Z)]` → `[B, C, ⌈X/2⌉, ⌈Y/2⌉(, ⌈Z/2⌉)]`.
///
/// # Source
/// `PadMaxPool2d` and `PadMaxPool3d` of ClinicaDL 1.6.1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PadMaxPool {
    pub(crate) axes: usize,
}

impl PadMaxPool {
    pub(crate) fn forward(self, x: &Tensor) -> Result<Tensor, TchError> {
        let padding = front_padding(&x.size()[2..]);
        let padded = if padding.iter().any(|&p| p != 0) {
            &x.f_constant_pad_nd(padding)?
        } else {
            x
        };
        let on_each = |value: i64| vec![value; self.axes];
        let (kernel, none, one) = (on_each(2), on_each(0), on_each(1));
        if self.axes == 2 {
            padded.f_max_pool2d(&kernel, &kernel, &none, &one, false)
        } else {
            padded.f_max_pool3d(&kernel, &kernel, &none, &one, false)
        }
    }

    /// PyTorch's textual representation after a forward pass over a map with these spatial axes.
    pub(crate) fn describe(self, axes: &[i64]) -> Vec<String> {
        let dimensions = self.axes;
        let padding: Vec<String> = front_padding(axes).iter().map(i64::to_string).collect();
        vec![
            format!("PadMaxPool{dimensions}d("),
            format!(
                "  (pool): MaxPool{dimensions}d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
            ),
            format!(
                "  (pad): ConstantPad{dimensions}d(padding=({}), value=0)",
                padding.join(", ")
            ),
            ")".to_owned(),
        ]
    }
}

/// Padding in libtorch's order, last axis first, before and after: 1 before each odd axis.
fn front_padding(axes: &[i64]) -> Vec<i64> {
    axes.iter().rev().flat_map(|axis| [axis % 2, 0]).collect()
}
