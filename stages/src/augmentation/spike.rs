//! Stripes.

use std::f64::consts::TAU;

use engine::ParamIssue;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rustfft::num_complex::Complex;

use super::{Augmentation, Picture, uniform};
use crate::learning::options::NamedOptions;

engine::params! {
    /// Adds stripes: single points of k-space that are far too bright.
    ///
    /// Source: `torchio.RandomSpike` 0.18. Deviation: every spike is measured by the centre of k-space of
    /// the image as it was, in absolute value; there, by the largest real part, earlier spikes included.
    pub struct Spike {
        /// Least and greatest number of spikes, at most 1000. Default 1 and 1.
        semantic num_spikes: [usize; 2] = [1, 1],
        /// Range of a spike's brightness, in parts of the centre of k-space, -100 to 100. Default 1 to 3.
        semantic intensity: [f64; 2] = [1.0, 3.0],
        /// Part of the images that it is applied to, 0 to 1. Default 1.
        semantic p: f64 = 1.0,
    }
}

impl NamedOptions for Spike {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::ranges(&[("intensity", self.intensity, -100.0, 100.0)]);
        problems.extend(super::probability("p", self.p));
        let [least, most] = self.num_spikes;
        if least > most || most > 1000 {
            let message = "expected two numbers from 0 to 1000, the smaller one first";
            problems.push(ParamIssue::new("num_spikes", message));
        }
        problems
    }
}

impl Augmentation for Spike {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        let (places, intensity) = self.draw(rng);
        add(picture, &places, intensity);
    }
}

impl Spike {
    /// Places in k-space, and the brightness of all of them.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> (Vec<[f64; 3]>, f64) {
        let [least, most] = self.num_spikes;
        let count = rng.random_range(least..=most);
        let intensity = uniform(self.intensity, rng);
        let place = |_| [0, 1, 2].map(|_| rng.random::<f64>());
        ((0..count).map(place).collect(), intensity)
    }
}

/// Adds spikes at places of k-space, 0 to 1 along each axis with the centre in the middle.
pub(super) fn add(picture: &mut Picture, places: &[[f64; 3]], intensity: f64) {
    let shape = picture.shape;
    let waves = places.iter().map(|place| {
        // A point of k-space is a wave; of the product of the axes' waves, the real part is seen.
        [0, 1, 2].map(|axis| {
            let size = shape[axis] as f64;
            let frequency = (place[axis] * size).floor() - (size / 2.0).floor();
            let phase = |at: usize| Complex::from_polar(1.0, TAU * frequency * at as f64 / size);
            (0..shape[axis]).map(phase).collect::<Vec<_>>()
        })
    });
    let waves: Vec<_> = waves.collect();
    picture.map_channels(|source| {
        let sum: f64 = source.iter().map(|&voxel| f64::from(voxel)).sum();
        let height = intensity * sum.abs() / source.len() as f64;
        let mut result = source.to_vec();
        for [wx, wy, wz] in &waves {
            let rows = wx.iter().flat_map(|x| wy.iter().map(move |y| x * y));
            for (row, phase) in result.chunks_exact_mut(shape[2]).zip(rows) {
                for (voxel, z) in row.iter_mut().zip(wz) {
                    let value = phase.re * z.re - phase.im * z.im;
                    #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
                    let value = (height * value) as f32;
                    *voxel += value;
                }
            }
        }
        result
    });
}
