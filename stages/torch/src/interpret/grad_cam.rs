//! `GradCAM`.

use engine::StageError;
use engine::manifest::did_you_mean;
use stages::learning::attribution::{self, MethodParams};
use tch::{Device, Kind, TchError, Tensor};

use super::method::{Explained, Explanation, Method, Subject};
use crate::error::During;
use crate::networks::Mode;
use crate::networks::layers::{Layer, forward_all};

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
    layer: String,
    level: usize,
}

pub(super) fn make(params: &MethodParams) -> Box<dyn Method> {
    let options: attribution::GradCam = params.options();
    Box::new(GradCam {
        layer: options.layer,
        level: options.level as usize,
    })
}

/// Layers one after the other, with their names.
type Chain<'a> = Vec<(String, &'a dyn Layer)>;

/// What messages about networks that it does not explain add.
const OTHERS: &str = "other methods, such as `IntegratedGradients`, explain any network";

impl Method for GradCam {
    fn explain(
        &self,
        subject: &Subject<'_>,
        explained: Explained<'_>,
    ) -> Result<Explanation, StageError> {
        let name = subject.name;
        let Some(chain) = subject.network.chain() else {
            let message = format!("`{name}` is no chain of layers, which Grad-CAM explains");
            return Err(StageError::new(message).hint(OTHERS));
        };
        let act = "explain an image";
        let images = explained.images.f_detach().during(act)?;
        let wanted = self.wanted(&chain);
        let maps = tch::no_grad(|| Maps::compute(&chain, &images, &wanted)).during(act)?;
        let Some((level, map)) = maps.found else {
            return Err(missing(name, &wanted, &chain, maps.count));
        };
        let rest = chain[level..].iter().map(|(_, layer)| *layer);
        activation_map(rest, &map, subject.node)
            .and_then(|map| enlarged(&map, &images.size()[2..])?.f_to_device(Device::Cpu))
            .during(act)
            .map(Explanation::of)
    }
}

/// Which map is looked for.
enum Wanted<'a> {
    /// That of a layer, counted from 1.
    Level(usize),
    /// That of a layer of this name, with its number.
    Named(&'a str, usize),
    /// That of a layer of this name, which there is not.
    Unknown(&'a str),
    /// The last of more than one voxel.
    Last,
}

impl GradCam {
    fn wanted(&self, chain: &Chain<'_>) -> Wanted<'_> {
        let layer = self.layer.as_str();
        match (layer, self.level) {
            ("", 0) => Wanted::Last,
            ("", level) => Wanted::Level(level),
            _ => {
                let is_it = |(name, _): &(String, _)| {
                    let rest = name.strip_prefix(layer);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                let position = chain.iter().rposition(is_it);
                position.map_or(Wanted::Unknown(layer), |position| {
                    Wanted::Named(layer, position + 1)
                })
            }
        }
    }
}

/// The maps of a chain; they end where there are other axes than those of the image.
struct Maps {
    /// The number of the wanted layer, and its map.
    found: Option<(usize, Tensor)>,
    /// Layers with maps that were computed: all of them, where the wanted one is not found.
    count: usize,
}

impl Maps {
    fn compute(chain: &Chain<'_>, images: &Tensor, wanted: &Wanted<'_>) -> Result<Self, TchError> {
        let mut maps = Self {
            found: None,
            count: 0,
        };
        let mut x = images.shallow_clone();
        for (level, (_, layer)) in (1..).zip(chain) {
            x = layer.forward(&x, Mode::Evaluate)?;
            if x.dim() != images.dim() {
                break;
            }
            maps.count = level;
            let voxels: i64 = x.size()[2..].iter().product();
            let is_wanted = match wanted {
                Wanted::Level(wanted) | Wanted::Named(_, wanted) => level == *wanted,
                Wanted::Unknown(_) => false,
                Wanted::Last => voxels > 1,
            };
            if is_wanted {
                maps.found = Some((level, x.shallow_clone()));
                if !matches!(wanted, Wanted::Last) {
                    break;
                }
            }
        }
        Ok(maps)
    }
}

/// Why there is no such map, where the first so many layers of a network have one.
fn missing(network: &str, wanted: &Wanted<'_>, chain: &Chain<'_>, count: usize) -> StageError {
    if count == 0 {
        let message = format!("`{network}` has no convolutional map that Grad-CAM could show");
        return StageError::new(message).hint(OTHERS);
    }
    let names = || chain[..count].iter().map(|(name, _)| name.as_str());
    let error = match *wanted {
        Wanted::Last => StageError::new(format!("no map of `{network}` has more than one voxel")),
        Wanted::Level(level) => {
            let message = format!("`{network}` has no map at `level: {level}`");
            StageError::new(format!("{message}, expected 1 to {count}"))
        }
        Wanted::Named(layer, _) => StageError::new(format!(
            "layer `{layer}` of `{network}` gives no map of the image: the last one that does is `{}`",
            chain[count - 1].0
        )),
        Wanted::Unknown(layer) => {
            let error = StageError::new(format!("`{network}` has no layer `{layer}`"));
            match did_you_mean(layer, names()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            }
        }
    };
    let listed: Vec<String> = names().map(|name| format!("`{name}`")).collect();
    error.hint(format!("layers with maps, from 1: {}", listed.join(", ")))
}

/// What maps say for an output, `[B, 1, …]`, given the layers behind them.
fn activation_map<'l>(
    rest: impl Iterator<Item = &'l dyn Layer>,
    map: &Tensor,
    node: usize,
) -> Result<Tensor, TchError> {
    let map = map.f_detach()?.f_set_requires_grad(true)?;
    let rest: Vec<&dyn Layer> = rest.collect();
    let outputs = forward_all(&rest, &map, Mode::Evaluate)?;
    let output = outputs.f_select(1, node as i64)?.f_sum(Kind::Float)?;
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
