//! From a header's fields to the map from voxel indices to millimetres, as nibabel chooses it.

use nifti::NiftiHeader;

use crate::volume::Affine;

/// The `sform` if it has a code, else the `qform` if it has, else voxel sizes round the centre.
pub(super) fn of(header: &NiftiHeader, shape: [usize; 3]) -> Affine {
    if header.sform_code > 0 {
        let row = |r: [f32; 4]| r.map(f64::from);
        [row(header.srow_x), row(header.srow_y), row(header.srow_z), [0.0, 0.0, 0.0, 1.0]]
    } else if header.qform_code > 0 {
        quaternion(header)
    } else {
        base(header, shape)
    }
}

fn sizes(header: &NiftiHeader) -> [f64; 3] {
    [1, 2, 3].map(|axis| f64::from(header.pixdim[axis]).abs())
}

/// Rotation by a unit quaternion, whose first component is stored through its norm.
fn quaternion(header: &NiftiHeader) -> Affine {
    let [b, c, d] = [header.quatern_b, header.quatern_c, header.quatern_d].map(f64::from);
    // Rounding may make the vector part slightly longer than 1: the first component is then 0.
    let a = (1.0 - (b * b + c * c + d * d)).max(0.0).sqrt();
    let norm = a * a + b * b + c * c + d * d;
    let s = if norm > 0.0 { 2.0 / norm } else { 0.0 };
    let rotation = [
        [1.0 - s * (c * c + d * d), s * (b * c - d * a), s * (b * d + c * a)],
        [s * (b * c + d * a), 1.0 - s * (b * b + d * d), s * (c * d - b * a)],
        [s * (b * d - c * a), s * (c * d + b * a), 1.0 - s * (b * b + c * c)],
    ];
    let [sx, sy, sz] = sizes(header);
    let flip = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let offset = [header.quatern_x, header.quatern_y, header.quatern_z].map(f64::from);
    let row = |i: usize| {
        let r = rotation[i];
        [r[0] * sx, r[1] * sy, r[2] * sz * flip, offset[i]]
    };
    [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]
}

/// Without an orientation: the first axis runs to the left, the origin is the centre.
fn base(header: &NiftiHeader, shape: [usize; 3]) -> Affine {
    let mut zooms = sizes(header);
    zooms[0] = -zooms[0];
    let mut affine = [[0.0; 4]; 4];
    for axis in 0..3 {
        affine[axis][axis] = zooms[axis];
        affine[axis][3] = -(shape[axis] as f64 - 1.0) / 2.0 * zooms[axis];
    }
    affine[3][3] = 1.0;
    affine
}
