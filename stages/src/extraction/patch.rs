//! Cubes on a regular grid; voxels at the end that do not fill one are left out.

use ndarray::{ArrayD, Axis, Slice};

use super::Window;

/// Cubes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patches {
    /// Voxels along each edge, at least 1.
    pub size: usize,
    /// Voxels between neighbours, at least 1: below `size` they overlap, above they leave gaps.
    pub stride: usize,
}

impl Patches {
    fn grid(self, shape: [usize; 4]) -> Option<[usize; 3]> {
        let along = |axis: usize| Some(shape[axis].checked_sub(self.size)? / self.stride + 1);
        Some([along(1)?, along(2)?, along(3)?])
    }

    pub(super) fn count(self, shape: [usize; 4]) -> Result<usize, String> {
        let grid = self.grid(shape);
        let size = self.size;
        grid.map(|grid| grid.iter().product())
            .ok_or_else(|| format!("has {:?} voxels, fewer than a patch of {size}", &shape[1..]))
    }

    /// The first voxel of a patch. Patches are numbered in C order of their places.
    pub(super) fn start(self, image: [usize; 4], index: usize) -> [usize; 3] {
        let [_, across, along] = self.grid(image).unwrap_or([1; 3]);
        let place = [
            index / (across * along),
            index / along % across,
            index % along,
        ];
        place.map(|step| step * self.stride)
    }

    pub(super) fn cut(self, window: Window<'_>, index: usize) -> ArrayD<f32> {
        let [x, y, z] = self.start(window.image, index);
        let start = [x - window.start[0], y - window.start[1], z];
        let n = self.size;
        let mut part = window.voxels;
        for (axis, start) in start.into_iter().enumerate() {
            part.slice_axis_inplace(Axis(1 + axis), Slice::from(start..start + n));
        }
        part.to_owned().into_dyn()
    }

    pub(super) fn shape(self, image: [usize; 4]) -> Vec<usize> {
        vec![image[0], self.size, self.size, self.size]
    }

    pub(super) fn entities(self, index: usize) -> String {
        format!(
            "patchsize-{}_stride-{}_patch-{index}",
            self.size, self.stride
        )
    }
}
