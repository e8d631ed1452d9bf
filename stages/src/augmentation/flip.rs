//! Mirror images.

use engine::ParamIssue;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Picture};
use crate::learning::options::NamedOptions;

engine::params! {
    /// Mirrors an image along axes, each by itself. Source: `torchio.RandomFlip` 0.18.
    pub struct Flip {
        /// Axes that may be mirrored: 0, 1, 2. Default: 0, from left to right in images of this program.
        semantic axes: Vec<usize> = vec![0],
        /// Part of the images that are mirrored along each of them, 0 to 1. Default 0.5.
        semantic flip_probability: f64 = 0.5,
        /// Part of the images that it is applied to, 0 to 1. Default 1.
        semantic p: f64 = 1.0,
    }
}

impl NamedOptions for Flip {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::axes("axes", &self.axes);
        problems.extend(super::probability(
            "flip_probability",
            self.flip_probability,
        ));
        problems.extend(super::probability("p", self.p));
        problems
    }
}

impl Augmentation for Flip {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        mirror(picture, self.draw(rng));
    }
}

impl Flip {
    /// Which axes are mirrored.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> [bool; 3] {
        let drawn = [0, 1, 2].map(|_| rng.random::<f64>() < self.flip_probability);
        [0, 1, 2].map(|axis| drawn[axis] && self.axes.contains(&axis))
    }
}

/// Mirrors an image along the axes that are set.
pub(super) fn mirror(picture: &mut Picture, axes: [bool; 3]) {
    if axes == [false; 3] {
        return;
    }
    let [nx, ny, nz] = picture.shape;
    let place = |axis: usize, at: usize, size: usize| if axes[axis] { size - 1 - at } else { at };
    picture.map_channels(|source| {
        let mut result = Vec::with_capacity(source.len());
        for x in 0..nx {
            for y in 0..ny {
                let row = (place(0, x, nx) * ny + place(1, y, ny)) * nz;
                let row = &source[row..row + nz];
                if axes[2] {
                    result.extend(row.iter().rev());
                } else {
                    result.extend(row);
                }
            }
        }
        result
    });
}
