//! A network with its transforms as a module of TorchScript.

use std::path::Path;

use engine::StageError;
use tch::{CModule, Device, Kind, TchError, Tensor};

use crate::data::Transforms;
use crate::error::During;
use crate::model::TrainedModel;
use crate::networks::{Mode, Network};

use super::beside::{Beside, JOINED, join};

/// Images of the batch that a module is compared with its network on; another number than it was traced with.
const COMPARED: i64 = 3;
/// How far outputs may be apart: sums of batches of another size have another order.
pub(super) const TOLERANCE: f64 = 1e-4;

/// A network that was traced.
pub(super) struct Traced {
    /// What libtorch saved.
    pub(super) bytes: Vec<u8>,
    /// `[C, X, Y(, Z)]` of the images that it takes, at least.
    pub(super) image_size: Vec<i64>,
    /// Of a variational autoencoder.
    pub(super) beside: Option<Beside>,
}

/// Takes down what a network for images of `input_size` does with an image after `steps`; libtorch saves at
/// `path`, which is gone afterwards.
///
/// # Errors
/// libtorch cannot trace the network, or the path cannot be written.
pub(super) fn trace(
    network: &dyn Network,
    steps: &Steps,
    input_size: &[i64],
    device: Device,
    path: &Path,
) -> Result<Traced, StageError> {
    // Weights become constants of the module, which have no gradients.
    for entry in network.state().entries() {
        drop(entry.tensor.set_requires_grad(false));
    }
    let image_size = steps.image_size(input_size)?;
    let mut shape = vec![1];
    shape.extend(&image_size);
    let image = example(&shape, device)?;
    let once = tch::no_grad(|| network.outputs(&steps.apply(&image)?, Mode::EvaluatePlain));
    let beside = Beside::of(&once.during("compute an image")?);
    let mut failed: Option<TchError> = None;
    let mut compute = |inputs: &[Tensor]| {
        let computed = steps
            .apply(&inputs[0])
            .and_then(|x| network.outputs(&x, Mode::EvaluatePlain))
            .and_then(|outputs| match outputs.latent {
                None => Ok(outputs.prediction),
                Some(_) => join(outputs),
            });
        match computed {
            Ok(outputs) => vec![outputs],
            Err(error) => {
                failed = Some(error);
                Vec::new()
            }
        }
    };
    let method = beside.as_ref().map_or("forward", |_| JOINED);
    let traced =
        tch::no_grad(|| CModule::create_by_tracing("Network", method, &[image], &mut compute));
    if let Some(error) = failed {
        return Err(error).during("trace the network");
    }
    traced
        .and_then(|module| module.save(path))
        .during("save the network")?;
    let bytes = std::fs::read(path).map_err(|e| StageError::io("read", path, &e))?;
    std::fs::remove_file(path).map_err(|e| StageError::io("remove", path, &e))?;
    Ok(Traced {
        bytes,
        image_size,
        beside,
    })
}

/// How far what a module says is from what its network does, of a batch of another size than it was traced
/// with, in units of the larger of the number and 1; infinite where shapes differ.
///
/// # Errors
/// The module cannot be loaded, or does not take the batch.
pub(super) fn difference(
    bytes: &[u8],
    network: &dyn Network,
    steps: &Steps,
    traced: &Traced,
    device: Device,
) -> Result<f64, StageError> {
    let mut shape = vec![COMPARED];
    shape.extend(&traced.image_size);
    let images = example(&shape, device)?;
    let difference = tch::no_grad(|| {
        let module = CModule::load_data_on_device(&mut &*bytes, device)?;
        tch::jit::f_set_graph_executor_optimize(false)?;
        let got = module.forward_ts(&[&images])?;
        let x = steps.apply(&images)?;
        let expected = network.outputs(&x, Mode::EvaluatePlain)?;
        let mut apart = distance(&got, &expected.prediction)?;
        if let Some(beside) = &traced.beside {
            let joined = module.method_ts(JOINED, &[&images])?;
            let got = beside.split(&joined)?;
            let pairs = got.latent.iter().zip(&expected.latent);
            for (got, expected) in pairs {
                apart = apart.max(distance(&got.mean, &expected.mean)?);
                apart = apart.max(distance(&got.log_variance, &expected.log_variance)?);
            }
        }
        Ok(apart)
    });
    difference.during("compare the module with the network")
}

/// How far numbers are apart, in units of the larger of the number and 1; infinite where shapes differ or a
/// number is none.
fn distance(got: &Tensor, expected: &Tensor) -> Result<f64, TchError> {
    if got.size() != expected.size() {
        return Ok(f64::INFINITY);
    }
    let scale = expected.f_abs()?.f_clamp_min(1.0)?;
    let difference = got.f_sub(expected)?.f_abs()?.f_div(&scale)?;
    let most = difference.f_max()?.f_double_value(&[])?;
    Ok(if most.is_nan() { f64::INFINITY } else { most })
}

/// Images whose numbers differ, some of them no numbers.
fn example(shape: &[i64], device: Device) -> Result<Tensor, StageError> {
    let make = || -> Result<Tensor, TchError> {
        let count = shape.iter().product::<i64>();
        let numbers = Tensor::f_arange(count, (Kind::Float, Device::Cpu))?;
        let image = numbers.f_mul_scalar(0.37)?.f_sin()?.f_add_scalar(2.0)?;
        // At numbers without a common factor, so that one batch has all of them.
        let every = |n: i64| numbers.f_remainder(n)?.f_eq(1);
        let image = image.f_masked_fill(&every(101)?, f64::NAN)?;
        let image = image.f_masked_fill(&every(103)?, f64::INFINITY)?;
        let image = image.f_masked_fill(&every(107)?, f64::NEG_INFINITY)?;
        let image = image.f_reshape(shape)?;
        image.f_to_device(device)
    };
    make().during("make an image")
}

/// What is done with a batch of images before the network, as [`Transforms`] does it with one image.
pub(super) struct Steps {
    normalize: bool,
    /// The voxels that are taken of each axis: start, end, step.
    grid: Option<Vec<[i64; 3]>>,
    fill: Fill,
}

/// Numbers that take the place of voxels: what is made during the trace would be made of zeros in the module.
struct Fill {
    zero: Tensor,
    infinite: Tensor,
    negative: Tensor,
}

impl Default for Fill {
    fn default() -> Self {
        Self {
            zero: Tensor::from(0.0_f32),
            infinite: Tensor::from(f32::INFINITY),
            negative: Tensor::from(f32::NEG_INFINITY),
        }
    }
}

impl Steps {
    /// Those of a model.
    ///
    /// # Errors
    /// Its `maps.json` does not tell how it reduces images.
    pub(super) fn of(model: &TrainedModel<'_>) -> Result<Self, StageError> {
        let Transforms {
            normalize,
            size_reduction,
        } = model.transforms();
        let axes = model.input_size(None).len().saturating_sub(1);
        let grid = size_reduction.map(|factor| {
            let bounds = Transforms::grid(factor);
            let bounds = bounds.ok_or_else(|| {
                StageError::new(format!(
                    "`size_reduction_factor` is {factor}, expected 2, 3, 4 or 5"
                ))
            })?;
            let whole = bounds.map(|(start, end)| {
                let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
                [number(start), number(end), i64::from(factor)]
            });
            match (axes, model.cut_axis()) {
                (3, _) => Ok(whole.to_vec()),
                (_, Some(cut)) => Ok((0..3)
                    .filter(|axis| *axis != cut)
                    .map(|a| whole[a])
                    .collect()),
                _ => Err(StageError::new(
                    "`maps.json` does not tell the direction of slices, whose size was reduced",
                )),
            }
        });
        Ok(Self {
            normalize,
            grid: grid.transpose()?,
            fill: Fill::default(),
        })
    }

    /// The size of the smallest image of which the network takes this size.
    fn image_size(&self, input_size: &[i64]) -> Result<Vec<i64>, StageError> {
        let Some(grid) = &self.grid else {
            return Ok(input_size.to_vec());
        };
        let axes = input_size.iter().skip(1).zip(grid);
        let mut size = vec![input_size.first().copied().unwrap_or(1)];
        for (&axis, [start, end, step]) in axes {
            let last = start + (axis - 1) * step;
            if axis < 1 || last >= *end {
                let message = format!(
                    "`size_reduction` gives no axis of {axis} voxels, but the network takes one"
                );
                return Err(StageError::new(message));
            }
            size.push(last + 1);
        }
        Ok(size)
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let axes: Vec<i64> = (1..i64::try_from(x.dim()).unwrap_or(1)).collect();
        let least = |x: &Tensor| x.f_amin(axes.as_slice(), true);
        let most = |x: &Tensor| x.f_amax(axes.as_slice(), true);
        let finite = x.f_isfinite()?;
        // The extremes of finite voxels; where there is none, the least is above the most.
        let low = least(&x.f_where_self(&finite, &self.fill.infinite)?)?;
        let high = most(&x.f_where_self(&finite, &self.fill.negative)?)?;
        let is_void = x.f_isnan()?.f_logical_or(&low.f_gt_tensor(&high)?)?;
        let kept = is_void.f_logical_not()?;
        let mut y = x.f_maximum(&low)?.f_minimum(&high)?;
        y = y.f_where_self(&kept, &self.fill.zero)?;
        let range = match self.normalize {
            true => Some([least(&y)?, most(&y)?]),
            false => None,
        };
        for (axis, [start, end, step]) in self.grid.iter().flatten().enumerate() {
            let axis = 2 + i64::try_from(axis).unwrap_or(0);
            y = y.f_slice(axis, *start, *end, *step)?;
        }
        if let Some([low, high]) = range {
            let width = high.f_sub(&low)?;
            let scaled = y.f_sub(&low)?.f_div(&width)?;
            y = scaled.f_where_self(&width.f_gt(0.0)?, &self.fill.zero)?;
        }
        Ok(y)
    }
}

#[cfg(test)]
mod tests {
    use maps::weights::pack_module;
    use stages::learning::networks::declared;

    use super::*;
    use crate::data::transforms::Image;
    use crate::networks::tests::cases::small_specs;
    use crate::networks::{NetworkSpec, build};
    use crate::session::Session;

    #[test]
    fn modules_of_every_kind_of_network_take_batches_of_any_size() {
        let steps = Steps {
            normalize: true,
            grid: None,
            fill: Fill::default(),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("traced.pt");
        let session = Session::for_test();
        let mut specs = small_specs();
        assert!(specs.len() >= 15, "{}", specs.len());
        // Its smallest image has more voxels than those.
        specs.push(NetworkSpec {
            declaration: declared("SqueezeExcitationCNN").unwrap(),
            input_size: vec![1, 63, 63, 63],
            output_size: 2,
            ..specs[0].clone()
        });
        for spec in specs {
            let name = spec.declaration.name;
            let network = build(&spec, &session).unwrap();
            let traced = trace(
                network.as_ref(),
                &steps,
                &spec.input_size,
                Device::Cpu,
                &path,
            );
            let traced = traced.unwrap_or_else(|e| panic!("{name}: {e}"));
            let methods = traced.beside.as_ref().map(Beside::methods);
            let packed = pack_module(&traced.bytes, "x", &methods.unwrap_or_default(), &[]);
            let apart = difference(
                &packed.unwrap(),
                network.as_ref(),
                &steps,
                &traced,
                Device::Cpu,
            );
            assert!(apart.is_ok_and(|apart| apart <= 1e-5), "{name}");
        }
    }

    #[test]
    fn steps_do_what_the_transforms_do_bit_by_bit() {
        const NAN: f32 = f32::NAN;
        let images = [
            [3.0, -1.5, 0.25, 7.0],
            [NAN, 2.0, 4.0, f32::INFINITY],
            [f32::NEG_INFINITY, 5.0, NAN, 9.0],
            [7.0; 4],
            [NAN, NAN, f32::INFINITY, NAN],
        ];
        let batch = Tensor::from_slice(&images.concat()).view([5, 1, 2, 2, 1]);
        for normalize in [false, true] {
            let steps = Steps {
                normalize,
                grid: None,
                fill: Fill::default(),
            };
            let got = Vec::<f32>::try_from(&steps.apply(&batch).unwrap().flatten(0, -1)).unwrap();
            let transforms = Transforms {
                normalize,
                size_reduction: None,
            };
            for (image, got) in images.iter().zip(got.chunks(4)) {
                let image = Image {
                    shape: vec![1, 2, 2, 1],
                    voxels: image.to_vec(),
                    affine: [[0.0; 4]; 4],
                };
                let expected = transforms.apply(image, None).unwrap().voxels;
                assert_eq!(got, expected, "{normalize}");
            }
        }
    }

    #[test]
    fn thinned_images_are_those_of_the_transforms() {
        let shape = [1, 20, 30, 40];
        let count = shape.iter().product::<usize>();
        let image = Image {
            shape: shape.to_vec(),
            voxels: (0..count).map(|i| (i as f32 * 0.7).sin()).collect(),
            affine: [[0.0; 4]; 4],
        };
        let batch = Tensor::from_slice(&image.voxels).view([1, 1, 20, 30, 40]);
        let transforms = Transforms {
            normalize: true,
            size_reduction: Some(3),
        };
        let expected = transforms.apply(image, None).unwrap();
        let steps = Steps {
            normalize: true,
            grid: Transforms::grid(3).map(|bounds| {
                bounds
                    .map(|(start, end)| [start as i64, end as i64, 3])
                    .to_vec()
            }),
            fill: Fill::default(),
        };
        let got = steps.apply(&batch).unwrap();
        let sizes: Vec<i64> = expected.shape.iter().map(|&n| n as i64).collect();
        assert_eq!(got.size()[1..], sizes);
        assert_eq!(
            Vec::<f32>::try_from(&got.flatten(0, -1)).unwrap(),
            expected.voxels
        );
        // The last voxel that is taken is the last one of the smallest image.
        assert_eq!(steps.image_size(&sizes).unwrap(), [1, 19, 30, 38]);
        assert!(steps.image_size(&[1, 57, 8, 8]).is_err());
    }
}
