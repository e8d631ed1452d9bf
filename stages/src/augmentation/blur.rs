//! Blur, in voxels and in millimetres.

use engine::ParamIssue;
use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Picture, uniform};
use crate::generate::blur::gaussian;
use crate::learning::options::NamedOptions;

engine::params! {
    /// Blurs an image by as many voxels along every axis.
    ///
    /// Source: `RandomSmoothing` of ClinicaDL 1.6.1. Deviation: channels are not mixed.
    pub struct Smoothing {
        /// Range of the standard deviation, in voxels, 0 to 100. Default 0 to 1.
        semantic sigma: [f64; 2] = [0.0, 1.0],
        /// Part of the images that it is applied to, 0 to 1. Default 1.
        semantic p: f64 = 1.0,
    }
}

engine::params! {
    /// Blurs an image along each axis by itself. Source: `torchio.RandomBlur` 0.18.
    pub struct RandomBlur {
        /// Range of the standard deviation, in millimetres, 0 to 100. Default 0 to 2.
        semantic std: [f64; 2] = [0.0, 2.0],
        /// Part of the images that it is applied to, 0 to 1. Default 1.
        semantic p: f64 = 1.0,
    }
}

impl NamedOptions for Smoothing {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::ranges(&[("sigma", self.sigma, 0.0, 100.0)]);
        problems.extend(super::probability("p", self.p));
        problems
    }
}

impl NamedOptions for RandomBlur {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::ranges(&[("std", self.std, 0.0, 100.0)]);
        problems.extend(super::probability("p", self.p));
        problems
    }
}

impl Augmentation for Smoothing {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        blur(picture, [uniform(self.sigma, rng); 3]);
    }
}

impl Augmentation for RandomBlur {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        let drawn = self.draw(rng);
        blur(
            picture,
            [0, 1, 2].map(|axis| drawn[axis] / picture.spacing_mm[axis]),
        );
    }
}

impl RandomBlur {
    /// Standard deviations along the axes, in millimetres.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> [f64; 3] {
        [0, 1, 2].map(|_| uniform(self.std, rng))
    }
}

/// Blurs by standard deviations in voxels.
pub(super) fn blur(picture: &mut Picture, sigma: [f64; 3]) {
    // A wider blur than the image is that of the image's width.
    let sigma = picture.along([0, 1, 2].map(|axis| sigma[axis].min(picture.shape[axis] as f64)));
    let shape = picture.shape;
    picture.map_channels(|source| {
        let wide = source.iter().map(|&voxel| f64::from(voxel)).collect();
        let blurred = gaussian(wide, &shape, &sigma).into_iter();
        #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
        blurred.map(|voxel| voxel as f32).collect()
    });
}
