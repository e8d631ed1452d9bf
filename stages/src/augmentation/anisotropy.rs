//! Thick slices.

use engine::ParamIssue;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Picture, uniform};
use crate::learning::options::NamedOptions;

engine::params! {
    /// Thins an image along one axis and fills it up again.
    ///
    /// Source: Billot et al. 2020, <https://proceedings.mlr.press/v121/billot20a.html>;
    /// `torchio.RandomAnisotropy` 0.18: nearest voxels, then linear between them. Deviation: at the end of
    /// the axis the last voxel goes on; there, it becomes 0.
    pub struct Anisotropy {
        /// Axes of which one is drawn: 0, 1, 2. Default all.
        semantic axes: Vec<usize> = vec![0, 1, 2],
        /// Range of the factor, 1 to 100. Default 1.5 to 5.
        semantic downsampling: [f64; 2] = [1.5, 5.0],
        /// Part of the images that it is applied to, 0 to 1. Default 1.
        semantic p: f64 = 1.0,
    }
}

impl NamedOptions for Anisotropy {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::ranges(&[("downsampling", self.downsampling, 1.0, 100.0)]);
        problems.extend(super::axes("axes", &self.axes));
        problems.extend(super::probability("p", self.p));
        problems
    }
}

impl Augmentation for Anisotropy {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        if let Some((axis, factor)) = self.draw(picture, rng) {
            thicken(picture, axis, factor);
        }
    }
}

impl Anisotropy {
    /// An axis and a factor, if there is an axis.
    pub(super) fn draw(&self, picture: &Picture, rng: &mut ChaCha8Rng) -> Option<(usize, f64)> {
        let axes = picture.full_axes(&self.axes);
        let factor = uniform(self.downsampling, rng);
        (!axes.is_empty()).then(|| (axes[rng.random_range(0..axes.len())], factor))
    }
}

/// Thins an image along an axis and fills it up again.
pub(super) fn thicken(picture: &mut Picture, axis: usize, factor: f64) {
    let size = picture.shape[axis];
    let start = 0.5 * (factor - 1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most the size"
    )]
    let count = (size as f64 / factor).ceil() as usize;
    let last = (size - 1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped"
    )]
    let nearest = |thick: usize| {
        (start + thick as f64 * factor + 0.5)
            .floor()
            .clamp(0.0, last) as usize
    };
    let nearest: Vec<usize> = (0..count).map(nearest).collect();
    // Of each voxel: the two thin ones on either side, and how far it is towards the second.
    let sides = (0..size).map(|at| {
        let place = ((at as f64 - start) / factor).clamp(0.0, (count - 1) as f64);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped"
        )]
        let low = place as usize;
        (
            nearest[low],
            nearest[(low + 1).min(count - 1)],
            place - low as f64,
        )
    });
    let sides: Vec<(usize, usize, f64)> = sides.collect();
    let [_, ny, nz] = picture.shape;
    picture.map_channels(|source| {
        let value = |at: [usize; 3]| f64::from(source[(at[0] * ny + at[1]) * nz + at[2]]);
        let mut result = Vec::with_capacity(source.len());
        for index in 0..source.len() {
            let mut at = [index / nz / ny, index / nz % ny, index % nz];
            let (low, high, part) = sides[at[axis]];
            at[axis] = low;
            let low = value(at);
            at[axis] = high;
            #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
            result.push((low + (value(at) - low) * part) as f32);
        }
        result
    });
}
