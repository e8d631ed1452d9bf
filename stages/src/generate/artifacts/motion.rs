//! Motion: an image whose k-space was acquired at several positions of the head.
//!
//! The image and its moved copies are transformed to k-space, and the result takes consecutive blocks of
//! planes across the last axis from each. Along the other two axes every copy is transformed and
//! transformed back in the same way, which is nothing: one transform per row of voxels is enough, and
//! no copy of the image is ever held.
//!
//! # Source
//! Shaw et al. 2019, <http://proceedings.mlr.press/v102/shaw19a.html>; `torchio.RandomMotion` 0.18.

use engine::StageError;
use rand::Rng;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

use super::super::uniform;
use crate::grid::{after, inverse};
use crate::volume::{Affine, Volume, to_world};

/// How far times differ from even ones, in parts of the time between movements.
const PERTURBATION: f64 = 0.3;
/// From the axes of NIfTI (right, anterior, superior) to those of ITK (left, posterior, superior).
const RAS_TO_LPS: Affine = [
    [-1.0, 0.0, 0.0, 0.0],
    [0.0, -1.0, 0.0, 0.0],
    [0.0, 0.0, 1.0, 0.0],
    [0.0, 0.0, 0.0, 1.0],
];

/// A position of the head and when it is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Movement {
    /// Rotations about the axes, in degrees.
    pub(crate) degrees: [f64; 3],
    /// Translations along the axes, in millimetres.
    pub(crate) translation_mm: [f64; 3],
    /// From 0, the start of the acquisition, to 1, its end.
    pub(crate) time: f64,
}

/// Draws movements at about even times.
pub(crate) fn draw(
    rotation: [f64; 2],
    translation: [f64; 2],
    count: usize,
    rng: &mut impl Rng,
) -> Vec<Movement> {
    let step = 1.0 / (count + 1) as f64;
    let mut triple = |range: [f64; 2]| [0, 1, 2].map(|_| uniform(range, rng));
    let positions: Vec<_> = (0..count)
        .map(|_| (triple(rotation), triple(translation)))
        .collect();
    let jitter = [-PERTURBATION * step, PERTURBATION * step];
    positions
        .into_iter()
        .zip(1_u32..)
        .map(|((degrees, translation_mm), number)| Movement {
            degrees,
            translation_mm,
            time: f64::from(number) * step + uniform(jitter, rng),
        })
        .collect()
}

/// An image with motion.
///
/// # Errors
/// Its voxels have no volume.
pub(crate) fn apply(
    volume: &Volume,
    movements: &[Movement],
    shown: &str,
) -> Result<Vec<f32>, StageError> {
    let length = volume.shape[2];
    let mut planner = FftPlanner::<f64>::new();
    let forward = planner.plan_fft_forward(length);
    let backward = planner.plan_fft_inverse(length);
    let owners = owners(movements, length);
    let to_place = after(&RAS_TO_LPS, &volume.affine);
    let to_index = inverse(&to_place, shown)?;
    let maps: Vec<Affine> = movements
        .iter()
        .map(|movement| after(&to_index, &after(&rigid(movement), &to_place)))
        .collect();
    let outside = volume.data.iter().copied().fold(f32::INFINITY, f32::min);
    let mut row = Row {
        forward,
        spectrum: vec![Complex::default(); length],
    };
    let mut result = Vec::with_capacity(volume.data.len());
    let mut composed = vec![Complex::default(); length];
    for (number, values) in volume.data.chunks_exact(length).enumerate() {
        let (x, y) = (number / volume.shape[1], number % volume.shape[1]);
        row.take(&owners, 0, &mut composed, |z| values[z]);
        for (source, map) in (1..).zip(&maps) {
            row.take(&owners, source, &mut composed, |z| {
                let place = to_world(map, [x, y, z].map(|i| i as f64));
                sample(&volume.data, volume.shape, place).unwrap_or(outside)
            });
        }
        backward.process(&mut composed);
        #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
        result.extend(
            composed
                .iter()
                .map(|value| (value.re / length as f64) as f32),
        );
    }
    Ok(result)
}

/// A transform of single rows.
struct Row {
    forward: Arc<dyn Fft<f64>>,
    spectrum: Vec<Complex<f64>>,
}

impl Row {
    /// Puts the frequencies that a source owns into the composition.
    fn take(
        &mut self,
        owners: &[usize],
        source: usize,
        composed: &mut [Complex<f64>],
        value: impl Fn(usize) -> f32,
    ) {
        if !owners.contains(&source) {
            return;
        }
        for (z, target) in self.spectrum.iter_mut().enumerate() {
            *target = Complex::new(f64::from(value(z)), 0.0);
        }
        self.forward.process(&mut self.spectrum);
        for ((target, taken), owner) in composed.iter_mut().zip(&self.spectrum).zip(owners) {
            if *owner == source {
                *target = *taken;
            }
        }
    }
}

/// Which source each frequency comes from: 0 is the image, `i` is the movement `i − 1`.
///
/// Frequencies are acquired from the most negative to the most positive. The block in which the centre
/// of k-space falls is the image's, so that the result stays in its place.
fn owners(movements: &[Movement], length: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..=movements.len()).collect();
    let late = movements.iter().position(|movement| movement.time > 0.5);
    order.swap(0, late.unwrap_or(movements.len()));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times are positive"
    )]
    let ends = movements.iter().map(|m| (length as f64 * m.time) as usize);
    let mut owners = vec![0; length];
    let mut start = 0;
    for (source, end) in order.into_iter().zip(ends.chain([length])) {
        for shifted in start..end.min(length) {
            owners[(shifted + length - length / 2) % length] = source;
        }
        start = end;
    }
    owners
}

/// A movement as ITK's Euler transform: a rotation, then the translation.
///
/// The centre is the origin of space rather than that of the image, as there.
fn rigid(movement: &Movement) -> Affine {
    let [a, b, c] = rotation(movement.degrees);
    let [tx, ty, tz] = movement.translation_mm;
    let row = |row: [f64; 3], shift| [row[0], row[1], row[2], shift];
    [row(a, tx), row(b, ty), row(c, tz), [0.0, 0.0, 0.0, 1.0]]
}

/// Rotations by degrees about y, x, z in this order, as ITK's Euler transform has them.
pub(crate) fn rotation(degrees: [f64; 3]) -> [[f64; 3]; 3] {
    let [(sx, cx), (sy, cy), (sz, cz)] = degrees.map(|degrees| degrees.to_radians().sin_cos());
    [
        [cz * cy - sz * sx * sy, -sz * cx, cz * sy + sz * sx * cy],
        [sz * cy + cz * sx * sy, cz * cx, sz * sy - cz * sx * cy],
        [-cx * sy, sx, cx * cy],
    ]
}

/// Linear interpolation at a place in voxels; none more than half a voxel outside of the image.
pub(crate) fn sample(data: &[f32], shape: [usize; 3], place: [f64; 3]) -> Option<f32> {
    let mut low = [0; 3];
    let mut high = [0; 3];
    let mut part = [0.0; 3];
    for axis in 0..3 {
        let last = (shape[axis] - 1) as f64;
        if !(-0.5..last + 0.5).contains(&place[axis]) {
            return None;
        }
        let position = place[axis].clamp(0.0, last);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped"
        )]
        let index = position as usize;
        low[axis] = index;
        high[axis] = (index + 1).min(shape[axis] - 1);
        part[axis] = position - index as f64;
    }
    let [_, ny, nz] = shape;
    let value = |x: usize, y: usize, z: usize| f64::from(data[(x * ny + y) * nz + z]);
    let mix = |a: f64, b: f64, part: f64| if part > 0.0 { a + (b - a) * part } else { a };
    let along = |x: usize, y: usize| mix(value(x, y, low[2]), value(x, y, high[2]), part[2]);
    let plane = |x: usize| mix(along(x, low[1]), along(x, high[1]), part[1]);
    #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
    let result = mix(plane(low[0]), plane(high[0]), part[0]) as f32;
    Some(result)
}

#[cfg(test)]
mod tests {
    use engine::seed::Stream;
    use serde_json::Value;

    use super::super::super::tests::oracle::{distance, of, vectors, volume};
    use super::*;

    #[test]
    fn given_movements_make_the_image_of_torchio() {
        let vectors = vectors();
        let motion = &vectors["motion"];
        for (number, case) in motion["cases"].as_array().unwrap().iter().enumerate() {
            let image = volume(&motion["image"], &motion["shape"], &case["affine"]);
            let rows = |name: &str| -> Vec<Value> { case[name].as_array().unwrap().clone() };
            let movements: Vec<Movement> = rows("degrees")
                .iter()
                .zip(&rows("translation"))
                .zip(&rows("times"))
                .map(|((degrees, shift), time)| Movement {
                    degrees: of(degrees),
                    translation_mm: of(shift),
                    time: of(time),
                })
                .collect();
            let got = apply(&image, &movements, "image").unwrap();
            let want: Vec<f32> = of(&case["result"]);
            let changed = want.iter().zip(&image.data).map(|(a, b)| (a - b).abs());
            assert!(changed.fold(0.0, f32::max) > 5.0);
            for (got, want) in got.iter().zip(&want) {
                // Intensities are 3 to 103; there, all is float32.
                assert!((got - want).abs() < 1e-3, "case {number}: {got} {want}");
            }
        }
    }

    #[test]
    fn movements_are_distributed_as_those_of_torchio() {
        let vectors = vectors();
        let case = &vectors["movements"];
        let mut rng = Stream::root(1).rng();
        let drawn: Vec<Vec<Movement>> = (0..4000)
            .map(|_| draw([2.0, 4.0], [2.0, 4.0], 2, &mut rng))
            .collect();
        // 4000 times on either side: 1.95 √(2 / 4000) at the level 0.001.
        for (index, quantiles) in case["times"].as_array().unwrap().iter().enumerate() {
            let times: Vec<f64> = drawn.iter().map(|m| m[index].time).collect();
            assert!(distance(&times, quantiles) < 0.0436);
        }
        let all = || drawn.iter().flatten();
        let degrees: Vec<f64> = all().flat_map(|m| m.degrees).collect();
        assert!(distance(&degrees, &case["degrees"]) < 0.0178);
        let shifts: Vec<f64> = all().flat_map(|m| m.translation_mm).collect();
        assert!(distance(&shifts, &case["translation"]) < 0.0178);
    }

    #[test]
    fn no_movement_leaves_the_image() {
        let vectors = vectors();
        let motion = &vectors["motion"];
        let image = volume(
            &motion["image"],
            &motion["shape"],
            &motion["cases"][0]["affine"],
        );
        let still = Movement {
            degrees: [0.0; 3],
            translation_mm: [0.0; 3],
            time: 0.4,
        };
        let got = apply(&image, &[still], "image").unwrap();
        for (got, want) in got.iter().zip(&image.data) {
            assert!((got - want).abs() < 1e-4);
        }
    }
}
