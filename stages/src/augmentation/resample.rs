//! Values between voxels.

use super::Picture;
use crate::generate::motion::sample;

/// Replaces each voxel by the value at another place of the image, found by linear interpolation; beyond
/// half a voxel outside of it, by the smallest of its channel.
pub(super) fn resample(picture: &mut Picture, place: impl Fn([usize; 3]) -> [f64; 3]) {
    let shape = picture.shape;
    let [nx, ny, nz] = shape;
    picture.map_channels(|source| {
        let outside = source.iter().copied().fold(f32::INFINITY, f32::min);
        let mut result = Vec::with_capacity(source.len());
        for x in 0..nx {
            for y in 0..ny {
                let values = (0..nz).map(|z| sample(source, shape, place([x, y, z])));
                result.extend(values.map(|value| value.unwrap_or(outside)));
            }
        }
        result
    });
}
