//! Smooth deformations.

use engine::ParamIssue;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::resample::resample;
use super::{Augmentation, Picture};
use crate::learning::options::NamedOptions;

engine::params! {
    /// Deforms an image smoothly: cubic B-splines between control points that are moved at random.
    ///
    /// Source: `torchio.RandomElasticDeformation` 0.18, `BSplineTransform` of ITK 5. Deviation: the two
    /// outer layers of points stay on every axis; there, along the third they do not.
    pub struct Elastic {
        /// Control points along each axis, 4 to 100, those outside of the image included. Default 7.
        semantic num_control_points: usize = 7,
        /// Longest displacement of a control point along each axis, in millimetres, at least 0. Default 7.5.
        semantic max_displacement: f64 = 7.5,
        /// Outer layers of control points that stay, 0 to 2. Default 2.
        semantic locked_borders: usize = 2,
        /// Part of the images that it is applied to, 0 to 1. Default 1.
        semantic p: f64 = 1.0,
    }
}

impl NamedOptions for Elastic {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::probability("p", self.p);
        let mut refuse = |field: &str, message: String| {
            problems.push(ParamIssue::new(field, message));
        };
        let points = self.num_control_points;
        if !(4..=100).contains(&points) {
            refuse(
                "num_control_points",
                format!("expected 4 to 100, got {points}"),
            );
        }
        if !(0.0..=1e6).contains(&self.max_displacement) {
            let given = self.max_displacement;
            refuse(
                "max_displacement",
                format!("expected at least 0, got {given}"),
            );
        }
        if self.locked_borders > 2 || points <= 2 * self.locked_borders {
            let message = "expected 0, 1 or 2, and points that are left".to_owned();
            refuse("locked_borders", message);
        }
        problems
    }
}

impl Augmentation for Elastic {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        let field = self.draw(picture, rng);
        if self.max_displacement > 0.0 {
            deform(picture, &field);
        }
    }
}

impl Elastic {
    /// Displacements of every control point.
    pub(super) fn draw(&self, picture: &Picture, rng: &mut ChaCha8Rng) -> Field {
        let points = self.num_control_points;
        let inner = self.locked_borders..points - self.locked_borders;
        let mut field = Field {
            points: [points; 3],
            moves: Vec::with_capacity(points.pow(3)),
        };
        for index in 0..points.pow(3) {
            let place = [
                index / points / points,
                index / points % points,
                index % points,
            ];
            let drawn =
                [0, 1, 2].map(|_| (2.0 * rng.random::<f64>() - 1.0) * self.max_displacement);
            // Along the axis that a slice lacks there is no border.
            let is_free = (0..3).all(|axis| picture.is_flat(axis) || inner.contains(&place[axis]));
            field.moves.push(if is_free { drawn } else { [0.0; 3] });
        }
        field
    }
}

/// Displacements of control points.
pub(super) struct Field {
    /// Points along each axis, at least 4.
    pub(super) points: [usize; 3],
    /// Along the axes, in millimetres, last axis of the points fastest.
    pub(super) moves: Vec<[f64; 3]>,
}

/// The four points that matter at a voxel, the first of them, and their weights.
fn weights(voxel: usize, size: usize, points: usize) -> (usize, [f64; 4]) {
    // The inner points span the image and an eighth of a voxel on either side, as in ITK.
    let cells = points - 3;
    let place = (voxel as f64 + 0.625) / (size as f64 + 0.25) * cells as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the cells"
    )]
    let first = (place as usize).min(cells - 1);
    let t = place - first as f64;
    let rest = 1.0 - t;
    let weights = [
        rest.powi(3),
        3.0 * t.powi(3) - 6.0 * t * t + 4.0,
        3.0 * rest.powi(3) - 6.0 * rest * rest + 4.0,
        t.powi(3),
    ];
    (first, weights.map(|weight| weight / 6.0))
}

/// Deforms an image.
pub(super) fn deform(picture: &mut Picture, field: &Field) {
    let known = [0, 1, 2].map(|axis| {
        let size = picture.shape[axis];
        let at = |voxel| weights(voxel, size, field.points[axis]);
        (0..size).map(at).collect::<Vec<_>>()
    });
    let [_, py, pz] = field.points;
    let [nx, ny, nz] = picture.shape;
    // Of a row of voxels, the points along the last axis, with the first two axes summed up.
    let mut rows: Vec<[f64; 3]> = Vec::with_capacity(nx * ny * pz);
    for (fx, wx) in &known[0] {
        for (fy, wy) in &known[1] {
            for k in 0..pz {
                let mut sum = [0.0; 3];
                for (i, a) in wx.iter().enumerate() {
                    for (j, b) in wy.iter().enumerate() {
                        let moved = &field.moves[((fx + i) * py + fy + j) * pz + k];
                        for axis in 0..3 {
                            sum[axis] += a * b * moved[axis];
                        }
                    }
                }
                rows.push(sum);
            }
        }
    }
    let spacing = picture.spacing_mm;
    let is_flat = [0, 1, 2].map(|axis| picture.is_flat(axis));
    debug_assert_eq!(rows.len(), nx * ny * pz);
    let last = &known[2];
    debug_assert_eq!(last.len(), nz);
    resample(picture, |[x, y, z]| {
        let (first, weights) = &last[z];
        let row = (x * ny + y) * pz + first;
        [0, 1, 2].map(|axis| {
            let near = rows[row..row + 4].iter().zip(weights);
            let moved: f64 = near.map(|(moved, weight)| moved[axis] * weight).sum();
            let moved = if is_flat[axis] {
                0.0
            } else {
                moved / spacing[axis]
            };
            [x, y, z][axis] as f64 + moved
        })
    });
}
