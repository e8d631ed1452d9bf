//! Uneven brightness.

use engine::ParamIssue;
use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Picture, uniform};
use crate::learning::options::NamedOptions;

engine::params! {
    /// Multiplies intensities by the exponential of a random polynomial of the place.
    ///
    /// Source: Sudre et al. 2017, <https://doi.org/10.1007/978-3-319-67558-9_28>; `torchio.RandomBiasField` 0.18.
    pub struct BiasField {
        /// Range of the coefficients, -100 to 100. Default -0.5 to 0.5.
        semantic coefficients: [f64; 2] = [-0.5, 0.5],
        /// Degree of the polynomial, 0 to 10. Default 3.
        semantic order: usize = 3,
        /// Part of the images that it is applied to, 0 to 1. Default 1.
        semantic p: f64 = 1.0,
    }
}

impl NamedOptions for BiasField {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::ranges(&[("coefficients", self.coefficients, -100.0, 100.0)]);
        problems.extend(super::probability("p", self.p));
        if self.order > 10 {
            let message = format!("expected 0 to 10, got {}", self.order);
            problems.push(ParamIssue::new("order", message));
        }
        problems
    }
}

impl Augmentation for BiasField {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        brighten(picture, self.order, &self.draw(rng));
    }
}

impl BiasField {
    /// Coefficients of the polynomial.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let terms = terms(self.order);
        terms.map(|_| uniform(self.coefficients, rng)).collect()
    }
}

/// The powers of each coordinate in the terms of a polynomial, in the order of their coefficients.
fn terms(order: usize) -> impl Iterator<Item = [usize; 3]> {
    (0..=order).flat_map(move |x| {
        let left = order - x;
        (0..=left).flat_map(move |y| (0..=left - y).map(move |z| [x, y, z]))
    })
}

/// Multiplies an image by a field; coordinates are -1 to 1 within the image.
pub(super) fn brighten(picture: &mut Picture, order: usize, coefficients: &[f64]) {
    let powers = picture.shape.map(|size| {
        let farthest = (size as f64 - 1.0) / 2.0;
        let at = |voxel: usize| (voxel as f64 - farthest) / farthest.max(0.5);
        let powers = (0..size).map(|voxel| {
            let place = at(voxel);
            (0_u32..)
                .take(order + 1)
                .map(|power| place.powi(power.cast_signed()))
                .collect::<Vec<f64>>()
        });
        powers.collect::<Vec<_>>()
    });
    let [px, py, pz] = &powers;
    let mut field = Vec::with_capacity(picture.shape.iter().product());
    let mut along = vec![0.0; order + 1];
    for x in px {
        for y in py {
            // The polynomial of the last coordinate in this row.
            along.fill(0.0);
            for ([i, j, k], coefficient) in terms(order).zip(coefficients) {
                along[k] += coefficient * x[i] * y[j];
            }
            field.extend(pz.iter().map(|z| {
                let sum: f64 = along.iter().zip(z).map(|(a, b)| a * b).sum();
                #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
                let factor = sum.exp() as f32;
                factor
            }));
        }
    }
    picture.map_channels(|source| source.iter().zip(&field).map(|(a, b)| a * b).collect());
}
