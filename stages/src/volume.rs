//! Volumes: one image in memory with its place in space.

/// The map from voxel indices to millimetres: rows of a 4×4 matrix.
pub type Affine = [[f64; 4]; 4];

/// A three-dimensional image.
///
/// # Shapes
/// `data` is `[X, Y, Z]` with the last axis fastest; X, Y, Z are the voxel indices of the stored image.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// Intensities.
    pub data: Vec<f32>,
    /// Sizes of the axes.
    pub shape: [usize; 3],
    /// Voxel indices to millimetres.
    pub affine: Affine,
}

impl Volume {
    /// Distances of neighbouring voxels along each axis, in millimetres.
    pub fn spacing_mm(&self) -> [f64; 3] {
        spacing_mm(&self.affine)
    }
}

/// Distances of neighbouring voxels along each axis, in millimetres.
pub fn spacing_mm(affine: &Affine) -> [f64; 3] {
    [0, 1, 2].map(|axis| {
        let squares = affine[..3].iter().map(|row| row[axis] * row[axis]);
        squares.sum::<f64>().sqrt()
    })
}

/// The place of a voxel index, in millimetres.
pub fn to_world(affine: &Affine, index: [f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|row| {
        let r = affine[row];
        r[0] * index[0] + r[1] * index[1] + r[2] * index[2] + r[3]
    })
}

/// The affine of a grid that starts at voxel `start` and takes every `step`-th voxel.
pub fn sub_grid(affine: &Affine, start: [usize; 3], step: [usize; 3]) -> Affine {
    let origin = to_world(affine, start.map(|s| s as f64));
    let mut result = *affine;
    for row in 0..3 {
        for axis in 0..3 {
            result[row][axis] *= step[axis] as f64;
        }
        result[row][3] = origin[row];
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBLIQUE: Affine = [
        [0.9, -0.2, 0.1, 12.0],
        [0.3, 1.1, -0.4, -7.0],
        [-0.1, 0.5, 1.3, 30.0],
        [0.0, 0.0, 0.0, 1.0],
    ];

    #[test]
    fn a_voxel_of_a_sub_grid_is_where_the_whole_grid_has_it() {
        let sub = sub_grid(&OBLIQUE, [4, 8, 8], [2, 3, 2]);
        let (small, large) = (
            to_world(&sub, [5.0, 1.0, 2.0]),
            to_world(&OBLIQUE, [14.0, 11.0, 12.0]),
        );
        for (got, want) in small.iter().zip(large) {
            assert!((got - want).abs() < 1e-12);
        }
    }
}
