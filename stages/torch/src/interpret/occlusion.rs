//! `Occlusion`.

use engine::StageError;
use stages::learning::attribution::{self, MethodParams};
use tch::{Device, Kind, TchError, Tensor};

use super::method::{Explained, Explanation, Method, Subject};
use crate::error::During;

/// How much the output falls where a cube of the image is covered: of each voxel the mean over the cubes
/// that it is in.
///
/// Cubes are `stride` voxels apart; the last of an axis may be cut by the border, and no cube is larger
/// than the image. All channels are covered together.
///
/// # Source
/// Zeiler and Fergus 2014, arXiv:1311.2901; `Occlusion` of Captum.
struct Occlusion {
    window: i64,
    stride: i64,
    value: f64,
}

pub(super) fn make(params: &MethodParams) -> Box<dyn Method> {
    let options: attribution::Occlusion = params.options();
    Box::new(Occlusion {
        window: options.window.into(),
        stride: options.stride.into(),
        value: options.value,
    })
}

impl Method for Occlusion {
    fn explain(
        &self,
        subject: &Subject<'_>,
        explained: Explained<'_>,
    ) -> Result<Explanation, StageError> {
        let act = "explain an image";
        let images = explained.images.f_detach().during(act)?;
        let whole = subject.outputs(&images).during(act)?;
        let mut sums = Sums::of(&images).during(act)?;
        for cube in self.cubes(&images.size()[2..]) {
            (subject.proceed)()?;
            let covered = || -> Result<Vec<f64>, TchError> {
                let covered = images.f_detach_copy()?;
                drop(part(&covered, &cube)?.f_fill_(self.value)?);
                subject.outputs(&covered)
            };
            let covered = covered().during(act)?;
            let falls: Vec<f64> = whole.iter().zip(covered).map(|(a, b)| a - b).collect();
            sums.add(&cube, &falls).during(act)?;
        }
        sums.mean().during(act).map(Explanation::of)
    }
}

/// First voxel and number of voxels on each axis.
type Cube = Vec<(i64, i64)>;

impl Occlusion {
    /// Every cube of an image of these axes.
    fn cubes(&self, axes: &[i64]) -> Vec<Cube> {
        let mut cubes: Vec<Cube> = vec![Vec::new()];
        for &size in axes {
            let window = self.window.min(size);
            // So many steps that the last cube reaches the end.
            let steps = (size - window + self.stride - 1) / self.stride;
            let along = (0..=steps).map(|step| {
                let start = step * self.stride;
                (start, window.min(size - start))
            });
            let along: Vec<(i64, i64)> = along.collect();
            cubes = cubes
                .iter()
                .flat_map(|cube| {
                    along
                        .iter()
                        .map(move |&side| [cube.as_slice(), &[side]].concat())
                })
                .collect();
        }
        cubes
    }
}

/// The voxels of a cube in images `[B, C, X, Y(, Z)]`.
fn part(images: &Tensor, cube: &Cube) -> Result<Tensor, TchError> {
    let mut part = images.shallow_clone();
    for (axis, &(start, length)) in (2..).zip(cube) {
        part = part.f_narrow(axis, start, length)?;
    }
    Ok(part)
}

/// What the cubes that a voxel is in add up to.
struct Sums {
    /// `[B, C, X, Y(, Z)]`.
    falls: Tensor,
    /// Number of cubes, `[1, 1, X, Y(, Z)]`.
    cubes: Tensor,
}

impl Sums {
    fn of(images: &Tensor) -> Result<Self, TchError> {
        let size = images.size();
        let double = (Kind::Double, Device::Cpu);
        let mut one = size.clone();
        one.splice(..2, [1, 1]);
        Ok(Self {
            falls: Tensor::f_zeros(size, double)?,
            cubes: Tensor::f_zeros(one, double)?,
        })
    }

    fn add(&mut self, cube: &Cube, falls: &[f64]) -> Result<(), TchError> {
        let mut shape = vec![1; self.falls.dim()];
        shape[0] = falls.len() as i64;
        let falls = Tensor::f_from_slice(falls)?.f_view(shape.as_slice())?;
        drop(part(&self.falls, cube)?.f_add_(&falls)?);
        drop(part(&self.cubes, cube)?.f_add_scalar_(1)?);
        Ok(())
    }

    fn mean(self) -> Result<Tensor, TchError> {
        self.falls.f_div(&self.cubes)?.f_to_kind(Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cubes_cover_every_voxel_and_none_is_larger_than_the_image() {
        let occlusion = Occlusion {
            window: 4,
            stride: 3,
            value: 0.0,
        };
        let cubes = occlusion.cubes(&[9, 3]);
        assert_eq!(
            cubes,
            [
                vec![(0, 4), (0, 3)],
                vec![(3, 4), (0, 3)],
                vec![(6, 3), (0, 3)],
            ]
        );
    }
}
