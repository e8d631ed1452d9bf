//! ResNet-18 of DARQ and Deep-QC.

use engine::StageError;
use tch::{TchError, Tensor};

use super::fit::{BatchNorm, Convolution, Fit, Geometry};
use super::{Network, VIEWS};

/// Channels and stride of the first block of each layer.
const LAYERS: [(usize, i64); 4] = [(64, 1), (128, 2), (256, 2), (512, 2)];
/// Channels of the trunk's output.
const FEATURES: usize = 512;
/// Channels between the views' features and the verdict.
const HIDDEN: usize = 32;
/// Rows and columns of the trunk's output.
const MAP: usize = 7;

/// The trunk of ResNet-18 over each view, then convolutions over the features of all views.
///
/// # Shapes
/// Input `[3·B, 1, 224, 224]`, the views of one head after another; trunk `[3·B, 512, 7, 7]`, regrouped
/// to `[B, 1536, 7, 7]`; output `[B, 2]` logits.
///
/// # Source
/// He et al. 2016, doi:10.1109/CVPR.2016.90; `ResNet_DarqQC` and `ResNet_DeepQC` of ClinicaDL 1.6.1.
#[derive(Debug)]
pub(super) struct ResNet {
    stem: Normed,
    blocks: Vec<Block>,
    addon: Vec<Normed>,
    verdict: Convolution,
}

impl ResNet {
    /// Takes the tensors; DARQ has a classifier that its forward pass leaves out, `has_classifier`.
    pub(super) fn take(fit: &mut Fit<'_>, has_classifier: bool) -> Result<Self, StageError> {
        let geometry = Geometry::of_kernel(7).stride(2).padding(3);
        let stem = Normed::take(fit, ("conv1", "bn1"), (1, LAYERS[0].0), geometry, false)?;
        let mut blocks = Vec::new();
        let mut input = LAYERS[0].0;
        for (layer, &(output, stride)) in (1..).zip(&LAYERS) {
            let name = |block: usize| format!("layer{layer}.{block}");
            blocks.push(Block::take(fit, &name(0), (input, output), stride)?);
            blocks.push(Block::take(fit, &name(1), (output, output), 1)?);
            input = output;
        }
        if has_classifier {
            fit.unused_linear("fc", FEATURES, 2)?;
        }
        let mut addon = Vec::new();
        for (position, channels, kernel) in [
            (0, (VIEWS * FEATURES, FEATURES), 1),
            (3, (FEATURES, HIDDEN), 1),
            (6, (HIDDEN, HIDDEN), MAP),
            (9, (HIDDEN, HIDDEN), 1),
        ] {
            let (convolution, norm) = (position, position + 1);
            let names = (format!("addon.{convolution}"), format!("addon.{norm}"));
            let names = (names.0.as_str(), names.1.as_str());
            let geometry = Geometry::of_kernel(kernel);
            addon.push(Normed::take(fit, names, channels, geometry, true)?);
        }
        let geometry = Geometry::of_kernel(1);
        Ok(Self {
            stem,
            blocks,
            addon,
            verdict: fit.convolution("addon.13", (HIDDEN, 2), geometry, true)?,
        })
    }
}

impl Network for ResNet {
    fn forward(&self, views: &Tensor) -> Result<Tensor, TchError> {
        let mut x = self.stem.forward(views)?.f_relu()?;
        x = x.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let (channels, map) = ((VIEWS * FEATURES) as i64, MAP as i64);
        x = x.f_reshape([-1, channels, map, map])?;
        for layer in &self.addon {
            x = layer.forward(&x)?.f_relu()?;
        }
        self.verdict.forward(&x)?.f_flatten(1, -1)
    }
}

/// A convolution and its batch norm.
#[derive(Debug)]
struct Normed {
    convolution: Convolution,
    norm: BatchNorm,
}

impl Normed {
    fn take(
        fit: &mut Fit<'_>,
        (convolution, norm): (&str, &str),
        channels: (usize, usize),
        geometry: Geometry,
        has_bias: bool,
    ) -> Result<Self, StageError> {
        Ok(Self {
            convolution: fit.convolution(convolution, channels, geometry, has_bias)?,
            norm: fit.batch_norm(norm, channels.1)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.norm.forward(&self.convolution.forward(x)?)
    }
}

/// Two convolutions whose input is added to their output.
#[derive(Debug)]
struct Block {
    first: Normed,
    second: Normed,
    /// Brings the input to the shape of the output, where that is another.
    downsample: Option<Normed>,
}

impl Block {
    fn take(
        fit: &mut Fit<'_>,
        name: &str,
        channels: (usize, usize),
        stride: i64,
    ) -> Result<Self, StageError> {
        let (input, output) = channels;
        let around = Geometry::of_kernel(3).padding(1);
        let mut take = |parts: (&str, &str), channels, geometry| {
            let names = (format!("{name}.{}", parts.0), format!("{name}.{}", parts.1));
            Normed::take(fit, (&names.0, &names.1), channels, geometry, false)
        };
        let first = take(("conv1", "bn1"), channels, around.stride(stride))?;
        let second = take(("conv2", "bn2"), (output, output), around)?;
        let downsample = if stride != 1 || input != output {
            let geometry = Geometry::of_kernel(1).stride(stride);
            Some(take(("downsample.0", "downsample.1"), channels, geometry)?)
        } else {
            None
        };
        Ok(Self {
            first,
            second,
            downsample,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let changed = self.second.forward(&self.first.forward(x)?.f_relu()?)?;
        match &self.downsample {
            Some(downsample) => changed.f_add(&downsample.forward(x)?)?.f_relu(),
            None => changed.f_add(x)?.f_relu(),
        }
    }
}
