//! Noise.

use engine::ParamIssue;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{Augmentation, Picture, uniform};
use crate::learning::options::NamedOptions;

engine::params! {
    /// Adds Gaussian noise to every voxel. Source: `RandomNoising` of ClinicaDL 1.6.1.
    pub struct Noise {
        /// Range of the standard deviation, at least 0, in units of the image. Default 0 to 0.1.
        semantic std: [f64; 2] = [0.0, 0.1],
        /// Part of the images that it is applied to, 0 to 1. Default 1.
        semantic p: f64 = 1.0,
    }
}

impl NamedOptions for Noise {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::ranges(&[("std", self.std, 0.0, 1e9)]);
        problems.extend(super::probability("p", self.p));
        problems
    }
}

impl Augmentation for Noise {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
        let std = self.draw(rng) as f32;
        for voxel in &mut picture.voxels {
            let drawn: f32 = StandardNormal.sample(rng);
            *voxel += std * drawn;
        }
    }
}

impl Noise {
    /// The standard deviation.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> f64 {
        uniform(self.std, rng)
    }
}
