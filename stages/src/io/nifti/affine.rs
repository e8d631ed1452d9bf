//! From a header's fields to the map from voxel indices to millimetres, as nibabel chooses it.

use engine::StageError;

use super::header::Header;
use crate::volume::Affine;

/// How much longer than 1 rounding may make a unit quaternion (squared), as in nibabel.
const ROUNDING: f64 = 3.0 * f32::EPSILON as f64;

/// The `sform` if it has a code, else the `qform` if it has, else voxel sizes round the centre.
pub(super) fn of(header: &Header, shown: &str) -> Result<Affine, StageError> {
    let (source, affine) = if header.sform_code > 0 {
        let [x, y, z] = header.rows;
        ("sform", [x, y, z, [0.0, 0.0, 0.0, 1.0]])
    } else if header.qform_code > 0 {
        ("qform", quaternion(header, shown)?)
    } else {
        ("voxel sizes", base(header))
    };
    if affine.iter().flatten().all(|value| value.is_finite()) {
        Ok(affine)
    } else {
        let message = format!("`{shown}`: its place in space ({source}) is not finite");
        Err(StageError::new(message))
    }
}

/// Sizes of voxels in millimetres; those that are not given are 1, as in nibabel.
fn sizes(header: &Header) -> [f64; 3] {
    [1, 2, 3].map(|axis| match header.pixdim[axis].abs() {
        0.0 => 1.0,
        size => size,
    })
}

/// Rotation by a unit quaternion, whose first component is stored through its norm.
fn quaternion(header: &Header, shown: &str) -> Result<Affine, StageError> {
    let [b, c, d] = header.quaternion;
    let rest = 1.0 - (b * b + c * c + d * d);
    if rest < -ROUNDING {
        let message = format!("`{shown}`: quaternion [{b}, {c}, {d}] of its qform is no rotation");
        return Err(StageError::new(message));
    }
    let a = rest.max(0.0).sqrt();
    let norm = a * a + b * b + c * c + d * d;
    let s = if norm > 0.0 { 2.0 / norm } else { 0.0 };
    let rotation = [
        [
            1.0 - s * (c * c + d * d),
            s * (b * c - d * a),
            s * (b * d + c * a),
        ],
        [
            s * (b * c + d * a),
            1.0 - s * (b * b + d * d),
            s * (c * d - b * a),
        ],
        [
            s * (b * d - c * a),
            s * (c * d + b * a),
            1.0 - s * (b * b + c * c),
        ],
    ];
    let [sx, sy, sz] = sizes(header);
    let flip = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let row = |i: usize| {
        let r = rotation[i];
        [r[0] * sx, r[1] * sy, r[2] * sz * flip, header.offset[i]]
    };
    Ok([row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]])
}

/// Without an orientation: the first axis runs to the left, the origin is the centre.
fn base(header: &Header) -> Affine {
    let shape = header.shape();
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
