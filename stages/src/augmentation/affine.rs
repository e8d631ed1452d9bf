//! Another position, orientation and size.

use engine::ParamIssue;
use rand_chacha::ChaCha8Rng;

use super::resample::resample;
use super::{Augmentation, Picture, uniform};
use crate::generate::motion::rotation;
use crate::learning::options::NamedOptions;

engine::params! {
    /// Turns, moves and scales an image. Source: `torchio.RandomAffine` 0.18.
    pub struct Affine {
        /// Range of the factor along each axis, 0.1 to 10: above 1, things look larger. Default 0.9 to 1.1.
        semantic scales: [f64; 2] = [0.9, 1.1],
        /// Range of the rotation about each axis, in degrees, -180 to 180. Default -10 to 10.
        semantic degrees: [f64; 2] = [-10.0, 10.0],
        /// Range of the translation along each axis, in millimetres. Default 0.
        semantic translation: [f64; 2] = [0.0, 0.0],
        /// Use one factor along all axes. Default false.
        semantic isotropic: bool = false,
        /// Part of the images that it is applied to, 0 to 1. Default 1.
        semantic p: f64 = 1.0,
    }
}

impl NamedOptions for Affine {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::ranges(&[
            ("scales", self.scales, 0.1, 10.0),
            ("degrees", self.degrees, -180.0, 180.0),
            ("translation", self.translation, -1e6, 1e6),
        ]);
        problems.extend(super::probability("p", self.p));
        problems
    }
}

impl Augmentation for Affine {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        let [scales, degrees, translation] = self.draw(rng);
        transform(picture, scales, degrees, translation);
    }
}

impl Affine {
    /// Factors, rotations and translations along or about the axes.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> [[f64; 3]; 3] {
        let mut triple = |range| [0, 1, 2].map(|_| uniform(range, rng));
        let mut scales = triple(self.scales);
        if self.isotropic {
            scales = [scales[0]; 3];
        }
        [scales, triple(self.degrees), triple(self.translation)]
    }
}

/// Turns an image about its centre, then moves it, then scales it.
pub(super) fn transform(
    picture: &mut Picture,
    scales: [f64; 3],
    degrees: [f64; 3],
    translation_mm: [f64; 3],
) {
    let turned = rotation(picture.about(degrees));
    let moved = picture.along(translation_mm);
    let scales = [0, 1, 2].map(|axis| {
        if picture.is_flat(axis) {
            1.0
        } else {
            scales[axis]
        }
    });
    let spacing = picture.spacing_mm;
    let centre = picture.shape.map(|size| (size - 1) as f64 / 2.0);
    resample(picture, |voxel| {
        let before = [0, 1, 2].map(|axis| {
            let place = (voxel[axis] as f64 - centre[axis]) * spacing[axis];
            place / scales[axis] - moved[axis]
        });
        // The inverse of a rotation is its transpose.
        [0, 1, 2].map(|axis| {
            let sum: f64 = (0..3).map(|row| turned[row][axis] * before[row]).sum();
            sum / spacing[axis] + centre[axis]
        })
    });
}
