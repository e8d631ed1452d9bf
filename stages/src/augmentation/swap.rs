//! Blocks that change places.

use engine::ParamIssue;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Picture};
use crate::learning::options::NamedOptions;

/// Draws of a second block before a swap is left out.
const TRIES: usize = 100;

engine::params! {
    /// Swaps blocks of the image, many times.
    ///
    /// Source: Chen et al. 2019, <https://doi.org/10.1016/j.media.2019.101539>; `torchio.RandomSwap` 0.18.
    /// Deviations: the two blocks never overlap, the last place of an axis is drawn too, and along an axis
    /// that is shorter than two blocks they are half as long as it.
    pub struct RandomSwap {
        /// Length of the blocks along each axis, in voxels, at least 1. Default 15.
        semantic patch_size: usize = 15,
        /// Number of swaps. Default 100.
        semantic num_iterations: usize = 100,
        /// Part of the images that it is applied to, 0 to 1. Default 1.
        semantic p: f64 = 1.0,
    }
}

impl NamedOptions for RandomSwap {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::probability("p", self.p);
        if self.patch_size == 0 {
            problems.push(ParamIssue::new("patch_size", "expected at least 1, got 0"));
        }
        if self.num_iterations > 1_000_000 {
            let message = format!("expected 0 to 1000000, got {}", self.num_iterations);
            problems.push(ParamIssue::new("num_iterations", message));
        }
        problems
    }
}

impl Augmentation for RandomSwap {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        let shape = picture.shape;
        let block = shape.map(|size| self.patch_size.min(size / 2).max(1));
        for _ in 0..self.num_iterations {
            if let Some((first, second)) = draw(shape, block, rng) {
                swap(picture, block, first, second);
            }
        }
    }
}

/// Starts of two blocks that do not overlap, unless none were found.
pub(super) fn draw(
    shape: [usize; 3],
    block: [usize; 3],
    rng: &mut ChaCha8Rng,
) -> Option<([usize; 3], [usize; 3])> {
    let mut place = || [0, 1, 2].map(|axis| rng.random_range(0..=shape[axis] - block[axis]));
    let first: [usize; 3] = place();
    let mut tries = std::iter::repeat_with(&mut place).take(TRIES);
    let is_apart =
        |second: &[usize; 3]| (0..3).any(|axis| first[axis].abs_diff(second[axis]) >= block[axis]);
    Some((first, tries.find(is_apart)?))
}

/// Swaps two blocks that do not overlap.
pub(super) fn swap(
    picture: &mut Picture,
    block: [usize; 3],
    first: [usize; 3],
    second: [usize; 3],
) {
    let [nx, ny, nz] = picture.shape;
    for channel in picture.voxels.chunks_exact_mut(nx * ny * nz) {
        for x in 0..block[0] {
            for y in 0..block[1] {
                let row = |start: [usize; 3]| ((start[0] + x) * ny + start[1] + y) * nz + start[2];
                let (a, b) = (row(first), row(second));
                for z in 0..block[2] {
                    channel.swap(a + z, b + z);
                }
            }
        }
    }
}
