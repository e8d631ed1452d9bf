//! `GradCAM`.

use engine::StageError;
use stages::learning::attribution::{self, MethodParams};
use tch::{Device, Kind, TchError, Tensor};

use super::method::{Explained, Explanation, Method, Subject};
use crate::error::During;
use crate::networks::Mode;
use crate::networks::layers::Layer;

/// The maps of a layer, weighed by the mean of their gradient over all voxels, added up, without what is
/// negative, in the size of the image.
///
/// A map's voxels are cells of the image: they are enlarged (bi-, trilinearly) with `align_corners=False`,
/// so that centres of cells stay where they are.
///
/// # Shapes
/// Maps are `[B, 1, X, Y(, Z)]`.
///
/// # Source
/// Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74; `LayerGradCam` of Captum. ClinicaDL 1.6.1 averages the
/// gradient over two axes of three only, keeps what is negative, averages channels, and aligns corners.
struct GradCam {
    level: usize,
}

pub(super) fn make(params: &MethodParams) -> Box<dyn Method> {
    let options: attribution::GradCam = params.options();
    Box::new(GradCam {
        level: options.level as usize,
    })
}

impl Method for GradCam {
    fn explain(
        &self,
        subject: &Subject<'_>,
        explained: Explained<'_>,
    ) -> Result<Explanation, StageError> {
        let name = subject.name;
        let Some(chain) = subject.network.chain() else {
            let message = format!("`{name}` is no chain of layers, which Grad-CAM explains");
            return Err(StageError::new(message)
                .hint("other methods, such as `IntegratedGradients`, explain any network"));
        };
        let layers = chain.flat();
        let act = "explain an image";
        let images = explained.images.f_detach().during(act)?;
        let found = tch::no_grad(|| self.map(&layers, &images)).during(act)?;
        let (level, map) = match found {
            Found::Map(level, map) => (level, map),
            Found::None => {
                let message = format!("`{name}` has no convolutional map that Grad-CAM could show");
                return Err(StageError::new(message)
                    .hint("other methods, such as `IntegratedGradients`, explain any network"));
            }
            Found::Fewer(last) => {
                let level = self.level;
                let message =
                    format!("`{name}` has no map at `level: {level}`, expected 1 to {last}");
                return Err(StageError::new(message)
                    .hint("layers are counted from 1 in the order of computation"));
            }
        };
        let rest = &layers[level..];
        let maps = activation_map(rest, &map, subject.node)
            .and_then(|map| enlarged(&map, &images.size()[2..])?.f_to_device(Device::Cpu));
        maps.during(act).map(Explanation::of)
    }
}

/// What was found of a map that is looked for.
enum Found {
    /// The number of its layer, and the map.
    Map(usize, Tensor),
    /// Maps end before its layer, behind that of this number.
    Fewer(usize),
    /// There is no map at all.
    None,
}

impl GradCam {
    /// The wanted map; maps end where there are other axes than those of the image.
    fn map(&self, layers: &[&dyn Layer], images: &Tensor) -> Result<Found, TchError> {
        let mut x = images.shallow_clone();
        let mut last = 0;
        let mut found = Found::None;
        for (level, layer) in (1..).zip(layers) {
            x = layer.forward(&x, Mode::Evaluate)?;
            if x.dim() != images.dim() {
                break;
            }
            last = level;
            let voxels: i64 = x.size()[2..].iter().product();
            if level == self.level || (self.level == 0 && voxels > 1) {
                found = Found::Map(level, x.shallow_clone());
            }
            if level == self.level {
                break;
            }
        }
        match found {
            Found::None if self.level > 0 && last > 0 => Ok(Found::Fewer(last)),
            found => Ok(found),
        }
    }
}

/// What maps say for an output, `[B, 1, …]`, given the layers behind them.
fn activation_map(rest: &[&dyn Layer], map: &Tensor, node: usize) -> Result<Tensor, TchError> {
    let map = map.f_detach()?.f_set_requires_grad(true)?;
    let mut x = map.shallow_clone();
    for layer in rest {
        x = layer.forward(&x, Mode::Evaluate)?;
    }
    let output = x.f_select(1, node as i64)?.f_sum(Kind::Float)?;
    let gradients = Tensor::f_run_backward(&[output], &[&map], false, false)?;
    let voxels: Vec<i64> = (2..map.dim() as i64).collect();
    let weights = gradients[0].f_mean_dim(voxels.as_slice(), true, Kind::Float)?;
    map.f_detach()?
        .f_mul(&weights)?
        .f_sum_dim_intlist([1_i64].as_slice(), true, Kind::Float)?
        .f_relu()
}

/// A map in the size of the image.
fn enlarged(map: &Tensor, size: &[i64]) -> Result<Tensor, TchError> {
    let map = match size.len() {
        2 => map.f_upsample_bilinear2d(size, false, None, None),
        _ => map.f_upsample_trilinear3d(size, false, None, None, None),
    };
    map?.f_contiguous()
}
