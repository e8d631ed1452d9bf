//! SqueezeNet 1.1 of DARQ.

use engine::StageError;
use tch::{TchError, Tensor};

use super::fit::{Convolution, Fit, Geometry};
use super::{Network, VIEWS};

/// Channels of the trunk's output.
const FEATURES: usize = 512;
/// Rows and columns of the trunk's output.
const MAP: i64 = 13;
/// Channels of the first convolution.
const STEM: usize = 64;
/// The trunk after its first convolution: a pool, or a fire with its position, and the channels it
/// squeezes to and expands each half to.
const TRUNK: [Option<(usize, usize, usize)>; 11] = [
    None,
    Some((3, 16, 64)),
    Some((4, 16, 64)),
    None,
    Some((6, 32, 128)),
    Some((7, 32, 128)),
    None,
    Some((9, 48, 192)),
    Some((10, 48, 192)),
    Some((11, 64, 256)),
    Some((12, 64, 256)),
];

/// The trunk of SqueezeNet 1.1 over each view, then a verdict at every place of the features of all
/// views, averaged.
///
/// # Shapes
/// Input `[3·B, 1, 224, 224]`, the views of one head after another; trunk `[3·B, 512, 13, 13]`,
/// regrouped to `[B, 1536, 13, 13]`; output `[B, 2]`.
///
/// # Source
/// Iandola et al. 2016, arXiv:1602.07360; `SqueezeNetQC` of ClinicaDL 1.6.1.
#[derive(Debug)]
pub(super) struct SqueezeNet {
    stem: Convolution,
    trunk: Vec<Option<Fire>>,
    verdict: Convolution,
}

impl SqueezeNet {
    /// Takes the tensors.
    pub(super) fn take(fit: &mut Fit<'_>) -> Result<Self, StageError> {
        let geometry = Geometry::of_kernel(3).stride(2);
        let stem = fit.convolution("features.0", (1, STEM), geometry, true)?;
        let mut trunk = Vec::with_capacity(TRUNK.len());
        let mut input = STEM;
        for step in TRUNK {
            let Some((position, squeezed, expanded)) = step else {
                trunk.push(None);
                continue;
            };
            let name = format!("features.{position}");
            trunk.push(Some(Fire::take(fit, &name, input, squeezed, expanded)?));
            input = 2 * expanded;
        }
        let geometry = Geometry::of_kernel(1);
        Ok(Self {
            stem,
            trunk,
            verdict: fit.convolution("classifier.1", (VIEWS * FEATURES, 2), geometry, true)?,
        })
    }
}

impl Network for SqueezeNet {
    fn forward(&self, views: &Tensor) -> Result<Tensor, TchError> {
        let mut x = self.stem.forward(views)?.f_relu()?;
        for step in &self.trunk {
            x = match step {
                Some(fire) => fire.forward(&x)?,
                None => x.f_max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], true)?,
            };
        }
        x = x.f_reshape([-1, (VIEWS * FEATURES) as i64, MAP, MAP])?;
        x = self.verdict.forward(&x)?.f_relu()?;
        x.f_avg_pool2d([MAP, MAP], [1, 1], [0, 0], false, true, None)?
            .f_flatten(1, -1)
    }
}

/// A convolution to few channels, and two beside each other back to many.
#[derive(Debug)]
struct Fire {
    squeeze: Convolution,
    expand: [Convolution; 2],
}

impl Fire {
    fn take(
        fit: &mut Fit<'_>,
        name: &str,
        input: usize,
        squeezed: usize,
        expanded: usize,
    ) -> Result<Self, StageError> {
        let mut take = |part: &str, channels, geometry| {
            fit.convolution(&format!("{name}.{part}"), channels, geometry, true)
        };
        let narrow = Geometry::of_kernel(1);
        let wide = Geometry::of_kernel(3).padding(1);
        Ok(Self {
            squeeze: take("squeeze", (input, squeezed), narrow)?,
            expand: [
                take("expand1x1", (squeezed, expanded), narrow)?,
                take("expand3x3", (squeezed, expanded), wide)?,
            ],
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let x = self.squeeze.forward(x)?.f_relu()?;
        let [first, second] = &self.expand;
        let parts = [first.forward(&x)?.f_relu()?, second.forward(&x)?.f_relu()?];
        Tensor::f_cat(&parts, 1)
    }
}
