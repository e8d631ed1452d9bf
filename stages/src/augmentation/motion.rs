//! Motion of the head.

use engine::ParamIssue;
use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Picture};
use crate::generate::motion::{self, Movement};
use crate::learning::options::NamedOptions;
use crate::volume::Volume;

engine::params! {
    /// Composes k-space of an image at several positions of the head.
    ///
    /// Source: Shaw et al. 2019, <http://proceedings.mlr.press/v102/shaw19a.html>; `torchio.RandomMotion` 0.18.
    /// Deviation: the head turns about the centre of the image; there, about the origin of space.
    pub struct Motion {
        /// Range of the rotation about each axis, in degrees, -180 to 180. Default 2 to 4.
        semantic degrees: [f64; 2] = [2.0, 4.0],
        /// Range of the translation along each axis, in millimetres. Default 2 to 4.
        semantic translation: [f64; 2] = [2.0, 4.0],
        /// Movements during an acquisition, 1 to 100. Default 2.
        semantic num_transforms: usize = 2,
        /// Part of the images that it is applied to, 0 to 1. Default 1.
        semantic p: f64 = 1.0,
    }
}

impl NamedOptions for Motion {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::ranges(&[
            ("degrees", self.degrees, -180.0, 180.0),
            ("translation", self.translation, -1e6, 1e6),
        ]);
        problems.extend(super::probability("p", self.p));
        if !(1..=100).contains(&self.num_transforms) {
            let message = format!("expected 1 to 100, got {}", self.num_transforms);
            problems.push(ParamIssue::new("num_transforms", message));
        }
        problems
    }
}

impl Augmentation for Motion {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        move_head(picture, &self.draw(rng));
    }
}

impl Motion {
    /// Movements in order of time.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<Movement> {
        motion::draw(self.degrees, self.translation, self.num_transforms, rng)
    }
}

/// Moves the head during the acquisition.
pub(super) fn move_head(picture: &mut Picture, movements: &[Movement]) {
    // Planes are acquired along the last axis; where a slice lacks it, the axes change places, which
    // leaves the voxels where they are.
    let turn = if picture.is_flat(2) { 2 } else { 0 };
    let turned = |triple: [f64; 3]| [0, 1, 2].map(|axis| triple[(axis + turn) % 3]);
    let movements = movements.iter().map(|movement| Movement {
        degrees: turned(picture.about(movement.degrees)),
        translation_mm: turned(picture.along(movement.translation_mm)),
        time: movement.time,
    });
    let movements: Vec<Movement> = movements.collect();
    let spacing = turned(picture.spacing_mm);
    let shape = [0, 1, 2].map(|axis| picture.shape[(axis + turn) % 3]);
    let mut affine = [[0.0; 4]; 4];
    for axis in 0..3 {
        affine[axis][axis] = spacing[axis];
        affine[axis][3] = -spacing[axis] * (shape[axis] - 1) as f64 / 2.0;
    }
    affine[3][3] = 1.0;
    picture.map_channels(|source| {
        let volume = Volume {
            data: source.to_vec(),
            shape,
            affine,
        };
        // Voxels with a spacing have a volume, so there is no error.
        motion::apply(&volume, &movements, "image").unwrap_or_else(|_| source.to_vec())
    });
}
