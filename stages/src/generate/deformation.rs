//! Smooth random deformations.
//!
//! Displacements are drawn on a coarse grid, one knot every [`KNOT_MM`] millimetres, smoothed, and
//! interpolated linearly between knots: memory for a handful of numbers, whatever the image.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// Distance of the knots.
const KNOT_MM: f64 = 20.0;

/// A displacement for every voxel.
pub(super) struct Deformation {
    /// Knots along each axis.
    knots: [usize; 3],
    /// Knots per voxel along each axis.
    rate: [f32; 3],
    /// Displacements in voxels, per axis, last axis fastest.
    fields: [Vec<f32>; 3],
}

impl Deformation {
    /// Draws a deformation whose displacements have a standard deviation of about `size_mm`.
    pub(super) fn draw(
        shape: [usize; 3],
        spacing_mm: [f64; 3],
        size_mm: f64,
        rng: &mut impl Rng,
    ) -> Self {
        // No more knots than voxels, whatever size of a voxel the affine claims.
        let knots = [0, 1, 2].map(|axis| {
            let extent = (shape[axis] - 1) as f64 * spacing_mm[axis];
            let steps = (extent / KNOT_MM).ceil().min(shape[axis] as f64);
            (steps as usize + 1).max(2)
        });
        #[expect(clippy::cast_possible_truncation, reason = "displacements are float32")]
        let rate = [0, 1, 2]
            .map(|axis| ((knots[axis] - 1) as f64 / (shape[axis].max(2) - 1) as f64) as f32);
        let count = knots.iter().product();
        let fields = [0, 1, 2].map(|axis| {
            let raw: Vec<f64> = (0..count).map(|_| StandardNormal.sample(rng)).collect();
            let smooth = smooth(&raw, knots);
            let norm = (smooth.iter().map(|v| v * v).sum::<f64>() / count as f64).sqrt();
            let scale = if norm > 0.0 {
                size_mm / spacing_mm[axis] / norm
            } else {
                0.0
            };
            #[expect(clippy::cast_possible_truncation, reason = "displacements are float32")]
            smooth.into_iter().map(|v| (v * scale) as f32).collect()
        });
        Self {
            knots,
            rate,
            fields,
        }
    }

    /// Resamples an image, linearly; beyond its border the border goes on.
    pub(super) fn apply(&self, source: &[f32], shape: [usize; 3]) -> Vec<f32> {
        let mut result = Vec::with_capacity(source.len());
        for x in 0..shape[0] {
            let (kx, fx) = self.knot(0, x);
            for y in 0..shape[1] {
                let (ky, fy) = self.knot(1, y);
                // Along the last axis only the knots of this row matter.
                let row: Vec<[f32; 3]> = (0..self.knots[2])
                    .map(|kz| [0, 1, 2].map(|axis| self.between(axis, [kx, ky, kz], [fx, fy])))
                    .collect();
                for z in 0..shape[2] {
                    let (kz, fz) = self.knot(2, z);
                    let moved = [0, 1, 2]
                        .map(|axis| row[kz][axis] + (row[kz + 1][axis] - row[kz][axis]) * fz);
                    let at = [
                        x as f32 + moved[0],
                        y as f32 + moved[1],
                        z as f32 + moved[2],
                    ];
                    result.push(sample(source, shape, at));
                }
            }
        }
        result
    }

    /// The knot before a voxel, and how far the voxel is towards the next.
    fn knot(&self, axis: usize, voxel: usize) -> (usize, f32) {
        let position = voxel as f32 * self.rate[axis];
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "non-negative"
        )]
        let knot = (position as usize).min(self.knots[axis] - 2);
        (knot, position - knot as f32)
    }

    /// A displacement between knots of the first two axes.
    fn between(&self, axis: usize, [kx, ky, kz]: [usize; 3], [fx, fy]: [f32; 2]) -> f32 {
        let field = &self.fields[axis];
        let at = |x: usize, y: usize| field[(x * self.knots[1] + y) * self.knots[2] + kz];
        let low = at(kx, ky) + (at(kx, ky + 1) - at(kx, ky)) * fy;
        let high = at(kx + 1, ky) + (at(kx + 1, ky + 1) - at(kx + 1, ky)) * fy;
        low + (high - low) * fx
    }
}

/// Averages each knot with its neighbours, twice along each axis.
fn smooth(raw: &[f64], knots: [usize; 3]) -> Vec<f64> {
    let strides = [knots[1] * knots[2], knots[2], 1];
    let mut values = raw.to_vec();
    for axis in [0, 1, 2, 0, 1, 2] {
        values = (0..values.len())
            .map(|at| {
                let position = at / strides[axis] % knots[axis];
                let before = if position > 0 { at - strides[axis] } else { at };
                let after = if position + 1 < knots[axis] {
                    at + strides[axis]
                } else {
                    at
                };
                0.25 * values[before] + 0.5 * values[at] + 0.25 * values[after]
            })
            .collect();
    }
    values
}

/// Trilinear interpolation.
fn sample(source: &[f32], shape: [usize; 3], at: [f32; 3]) -> f32 {
    let mut low = [0; 3];
    let mut high = [0; 3];
    let mut part = [0.0; 3];
    for axis in 0..3 {
        let position = at[axis].clamp(0.0, (shape[axis] - 1) as f32);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped"
        )]
        let index = position as usize;
        low[axis] = index;
        high[axis] = (index + 1).min(shape[axis] - 1);
        part[axis] = position - index as f32;
    }
    let value = |x: usize, y: usize, z: usize| source[(x * shape[1] + y) * shape[2] + z];
    let along = |x: usize, y: usize| {
        let (a, b) = (value(x, y, low[2]), value(x, y, high[2]));
        a + (b - a) * part[2]
    };
    let plane = |x: usize| {
        let (a, b) = (along(x, low[1]), along(x, high[1]));
        a + (b - a) * part[1]
    };
    let (a, b) = (plane(low[0]), plane(high[0]));
    a + (b - a) * part[0]
}

#[cfg(test)]
mod tests {
    use engine::seed::Stream;

    use super::*;

    #[test]
    fn no_deformation_leaves_the_image_as_it_is() {
        let shape = [5, 6, 7];
        let image: Vec<f32> = (0..210).map(|v| v as f32).collect();
        let none = Deformation::draw(shape, [1.0; 3], 0.0, &mut Stream::root(1).rng());
        assert_eq!(none.apply(&image, shape), image);
    }

    #[test]
    fn interpolation_of_a_linear_image_is_exact_and_stays_inside() {
        let shape = [4, 4, 4];
        let image: Vec<f32> = (0..64)
            .map(|i| (i / 16) as f32 + 10.0 * (i / 4 % 4) as f32 + 100.0 * (i % 4) as f32)
            .collect();
        assert!((sample(&image, shape, [1.5, 2.25, 0.5]) - 74.0).abs() < 1e-4);
        assert!((sample(&image, shape, [-9.0, 99.0, 1.0]) - 130.0).abs() < 1e-4);
    }

    #[test]
    fn resampling_equals_that_of_scipy() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/reference/generate/deformation.json"
        );
        let text = std::fs::read_to_string(path).unwrap();
        let case: serde_json::Value = serde_json::from_str(&text).unwrap();
        let floats = |value: &serde_json::Value| -> Vec<f32> {
            serde_json::from_value(value.clone()).unwrap()
        };
        let sizes =
            |name: &str| -> [usize; 3] { serde_json::from_value(case[name].clone()).unwrap() };
        let (shape, knots) = (sizes("shape"), sizes("knots"));
        let deformation = Deformation {
            knots,
            rate: [0, 1, 2].map(|axis| (knots[axis] - 1) as f32 / (shape[axis] - 1) as f32),
            fields: [0, 1, 2].map(|axis| floats(&case["fields"][axis])),
        };
        let result = deformation.apply(&floats(&case["image"]), shape);
        for (got, want) in result.iter().zip(floats(&case["result"])) {
            // Positions are float32: some 1e-6 voxels, times 100 per voxel between neighbours.
            assert!((got - want).abs() < 1e-3, "{got} {want}");
        }
    }

    #[test]
    fn displacements_have_the_size_asked_for() {
        let field = Deformation::draw([169, 208, 179], [1.0; 3], 3.0, &mut Stream::root(2).rng());
        for values in &field.fields {
            let squares: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
            assert!(((squares / values.len() as f64).sqrt() - 3.0).abs() < 1e-3);
        }
    }
}
