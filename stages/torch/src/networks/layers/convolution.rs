//! Convolutions, also transposed ones.

use engine::profile::operations;
use kernels::FirstConvolution;
use tch::{Device, Kind, TchError, Tensor};

use super::{Arithmetic, Builder, Layer, Make, Mode, Passing, on_each, tuple};

/// A convolution to make: by default stride 1, no padding, with a bias.
///
/// # Shapes
/// `[B, C, X(, Y, Z)]` → `[B, C', X'(, Y', Z')]`.
#[derive(Debug, Clone)]
pub(crate) struct Conv {
    channels: (i64, i64),
    kernel: Vec<i64>,
    stride: Vec<i64>,
    padding: Vec<i64>,
    dilation: Vec<i64>,
    /// Of a transposed convolution.
    output_padding: Option<Vec<i64>>,
    groups: i64,
    bias: bool,
}

impl Conv {
    /// From `input` to `output` channels, with a kernel of equal edges on so many axes.
    pub(crate) fn new(axes: usize, input: i64, output: i64, kernel: i64) -> Self {
        Self {
            channels: (input, output),
            kernel: on_each(kernel, axes),
            stride: on_each(1, axes),
            padding: on_each(0, axes),
            dilation: on_each(1, axes),
            output_padding: None,
            groups: 1,
            bias: true,
        }
    }

    /// With numbers for each axis.
    pub(crate) fn shaped(
        mut self,
        kernel: Vec<i64>,
        stride: Vec<i64>,
        padding: Vec<i64>,
        dilation: Vec<i64>,
    ) -> Self {
        self.kernel = kernel;
        self.stride = stride;
        self.padding = padding;
        self.dilation = dilation;
        self
    }

    /// The transposed convolution with the same numbers.
    pub(crate) fn transposed(mut self) -> Self {
        self.output_padding = Some(on_each(0, self.kernel.len()));
        self
    }

    pub(crate) fn stride(mut self, stride: i64) -> Self {
        self.stride = on_each(stride, self.kernel.len());
        self
    }

    pub(crate) fn padding(mut self, padding: i64) -> Self {
        self.padding = on_each(padding, self.kernel.len());
        self
    }

    /// Voxels that a transposed convolution adds at the end of each axis.
    pub(crate) fn output_padding(mut self, padding: &[i64]) -> Self {
        self.output_padding = Some(padding.to_vec());
        self
    }

    pub(crate) fn without_bias(mut self) -> Self {
        self.bias = false;
        self
    }
}

impl Make for Conv {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let (input, output) = self.channels;
        let (rows, columns) = match self.output_padding {
            None => (output, input / self.groups),
            Some(_) => (input, output / self.groups),
        };
        let mut shape = vec![rows, columns];
        shape.extend(&self.kernel);
        let fan_in = shape[1..].iter().product();
        let (weight, bias) = builder.affine(&shape, fan_in, self.bias.then_some(output))?;
        Ok(Box::new(Convolution {
            weight,
            bias,
            arithmetic: builder.arithmetic(),
            conv: self,
        }))
    }
}

/// Voxels of a map from which on its place in memory matters.
const LARGE: i64 = 1 << 15;

/// Whether a map should have its channels next to each other in memory: oneDNN is quicker so, and a batch
/// norm that follows makes fewer passes.
fn prefers_channels_last(x: &Tensor, next: &[&dyn Layer]) -> bool {
    let is_normalised = matches!(
        next.first().and_then(|layer| layer.passing()),
        Some(Passing::Norm(_))
    );
    let is_known = matches!(x.kind(), Kind::Float | Kind::BFloat16);
    let is_large = x.numel() > 0 && x.size().iter().skip(2).product::<i64>() >= LARGE;
    is_normalised && is_known && is_large && x.device() == Device::Cpu && matches!(x.dim(), 4 | 5)
}

#[derive(Debug)]
struct Convolution {
    weight: Tensor,
    bias: Option<Tensor>,
    arithmetic: Arithmetic,
    conv: Conv,
}

impl Convolution {
    /// Multiplications and additions of a pass forward: each voxel of the smaller-stepped side meets every
    /// number of the kernel once.
    fn operations(&self, x: &Tensor, y: &Tensor) -> f64 {
        let met_by = match self.conv.output_padding {
            None => y.numel() as f64 / y.size()[1] as f64,
            Some(_) => x.numel() as f64 / x.size()[1] as f64,
        };
        2.0 * met_by * self.weight.numel() as f64
    }

    /// The convolution of an image of one channel, which is quicker by itself; `None` if it is another one.
    fn as_first<'t>(
        &'t self,
        x: &'t Tensor,
        arithmetic: Arithmetic,
    ) -> Option<FirstConvolution<'t>> {
        let conv = &self.conv;
        let is = |values: &[i64], one| values.iter().all(|&value| value == one);
        let is_plain = is(&conv.stride, 1) && is(&conv.padding, 1) && is(&conv.dilation, 1);
        if !is_plain || conv.output_padding.is_some() || !arithmetic.is_float32() {
            return None;
        }
        FirstConvolution::of(x, &self.weight, self.bias.as_ref())
    }
}

impl Layer for Convolution {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let (y, _) = self.forward_with(x.shallow_clone(), false, &[], mode)?;
        Ok(y)
    }

    fn forward_with(
        &self,
        x: Tensor,
        _: bool,
        next: &[&dyn Layer],
        mode: Mode,
    ) -> Result<(Tensor, usize), TchError> {
        let conv = &self.conv;
        let none = on_each(0, conv.kernel.len());
        let arithmetic = self.arithmetic.of_convolution(&x);
        let x = arithmetic.round(&x)?;
        let is_large = prefers_channels_last(&x, next) && !mode.is_plain();
        if is_large && let Some(first) = self.as_first(&x, arithmetic) {
            operations(|| self.operations(&x, &x));
            let mut following = next.iter().map(|layer| layer.passing());
            return match [following.next(), following.next(), following.next()].map(Option::flatten)
            {
                [
                    Some(Passing::Norm(norm)),
                    Some(Passing::Rectify),
                    Some(Passing::Pool(pool)),
                ] => {
                    let mut sizes = x.size();
                    sizes[1] = self.conv.channels.1;
                    Ok((norm.behind_first(&first, (&sizes, pool), mode)?, 3))
                }
                _ => Ok((first.forward()?, 0)),
            };
        }
        let x = match is_large {
            true => kernels::channels_last(&x)?,
            false => x,
        };
        let y = x.f_convolution(
            &arithmetic.round(&self.weight)?,
            arithmetic.round_any(self.bias.as_ref())?,
            &conv.stride,
            &conv.padding,
            &conv.dilation,
            conv.output_padding.is_some(),
            conv.output_padding.as_deref().unwrap_or(&none),
            conv.groups,
        )?;
        operations(|| self.operations(&x, &y));
        Ok((self.arithmetic.round(&y)?, 0))
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        let conv = &self.conv;
        let (input, output) = conv.channels;
        let (kernel, stride) = (tuple(&conv.kernel), tuple(&conv.stride));
        let mut text = match conv.output_padding {
            None => "Conv".to_owned(),
            Some(_) => "ConvTranspose".to_owned(),
        };
        let axes = conv.kernel.len();
        text += &format!("{axes}d({input}, {output}, kernel_size={kernel}, stride={stride}");
        let differs = |values: &[i64], default| values.iter().any(|&value| value != default);
        if differs(&conv.padding, 0) {
            text += &format!(", padding={}", tuple(&conv.padding));
        }
        if differs(&conv.dilation, 1) {
            text += &format!(", dilation={}", tuple(&conv.dilation));
        }
        if let Some(padding) = &conv.output_padding
            && differs(padding, 0)
        {
            text += &format!(", output_padding={}", tuple(padding));
        }
        if conv.groups != 1 {
            text += &format!(", groups={}", conv.groups);
        }
        if !conv.bias {
            text += ", bias=False";
        }
        vec![text + ")"]
    }
}
