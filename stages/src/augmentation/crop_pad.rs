//! Shifts by whole voxels.

use engine::ParamIssue;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Picture};
use crate::learning::options::NamedOptions;

engine::params! {
    /// Shifts an image along every axis: cut off at one side, padded with 0 at the other.
    ///
    /// Source: `RandomCropPad` of ClinicaDL 1.6.1. Deviation: shifts are as often in both directions;
    /// there, they are -10 to 9.
    pub struct CropPad {
        /// Longest shift along each axis, in voxels. Default 10.
        semantic length: usize = 10,
        /// Part of the images that it is applied to, 0 to 1. Default 1.
        semantic p: f64 = 1.0,
    }
}

impl NamedOptions for CropPad {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::probability("p", self.p);
        if self.length > 10_000 {
            let message = format!("expected 0 to 10000, got {}", self.length);
            problems.push(ParamIssue::new("length", message));
        }
        problems
    }
}

impl Augmentation for CropPad {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        let most = self.length.cast_signed();
        let drawn = [0, 1, 2].map(|_| rng.random_range(-(most as i64)..=most as i64));
        let shifts = [0, 1, 2].map(|axis| {
            if picture.is_flat(axis) {
                0
            } else {
                drawn[axis]
            }
        });
        shift(picture, shifts);
    }
}

/// Takes each voxel from as many voxels further along each axis.
pub(super) fn shift(picture: &mut Picture, shifts: [i64; 3]) {
    let shape = picture.shape;
    let from = |axis: usize, at: usize| {
        let place = (at as i64).checked_add(shifts[axis])?;
        usize::try_from(place)
            .ok()
            .filter(|&place| place < shape[axis])
    };
    let [nx, ny, nz] = shape;
    picture.map_channels(|source| {
        let mut result = vec![0.0; source.len()];
        for x in 0..nx {
            for y in 0..ny {
                let (Some(fx), Some(fy)) = (from(0, x), from(1, y)) else {
                    continue;
                };
                let (to, row) = ((x * ny + y) * nz, (fx * ny + fy) * nz);
                for z in 0..nz {
                    if let Some(fz) = from(2, z) {
                        result[to + z] = source[row + fz];
                    }
                }
            }
        }
        result
    });
}
