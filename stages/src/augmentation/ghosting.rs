//! Ghosts.

use engine::ParamIssue;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

use super::{Augmentation, Picture, uniform};
use crate::learning::options::NamedOptions;

engine::params! {
    /// Repeats the image along an axis, as something that moves regularly during an acquisition does: every
    /// n-th plane of k-space is darker.
    ///
    /// Source: `torchio.RandomGhosting` 0.18. Deviation: `restore` is obeyed; there, it is always one plane.
    pub struct Ghosting {
        /// Least and greatest number of ghosts, 0 to 1000. Default 4 and 10.
        semantic num_ghosts: [usize; 2] = [4, 10],
        /// Axes of which one is drawn: 0, 1, 2. Default all.
        semantic axes: Vec<usize> = vec![0, 1, 2],
        /// Range of the ghosts' strength, 0 to 100. Default 0.5 to 1.
        semantic intensity: [f64; 2] = [0.5, 1.0],
        /// Part of k-space around its centre that stays, 0 to 1; the central plane always does. Default 0.02.
        semantic restore: f64 = 0.02,
        /// Part of the images that it is applied to, 0 to 1. Default 1.
        semantic p: f64 = 1.0,
    }
}

impl NamedOptions for Ghosting {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::ranges(&[("intensity", self.intensity, 0.0, 100.0)]);
        problems.extend(super::axes("axes", &self.axes));
        problems.extend(super::probability("restore", self.restore));
        problems.extend(super::probability("p", self.p));
        let [least, most] = self.num_ghosts;
        if least > most || most > 1000 {
            let message = "expected two numbers from 0 to 1000, the smaller one first";
            problems.push(ParamIssue::new("num_ghosts", message));
        }
        problems
    }
}

impl Augmentation for Ghosting {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        if let Some((count, axis, intensity)) = self.draw(picture, rng) {
            haunt(picture, count, axis, intensity, self.restore);
        }
    }
}

impl Ghosting {
    /// Number of ghosts, their axis if there is one, and their strength.
    pub(super) fn draw(
        &self,
        picture: &Picture,
        rng: &mut ChaCha8Rng,
    ) -> Option<(usize, usize, f64)> {
        let axes = picture.full_axes(&self.axes);
        let [least, most] = self.num_ghosts;
        let count = rng.random_range(least..=most);
        let intensity = uniform(self.intensity, rng);
        (!axes.is_empty()).then(|| (count, axes[rng.random_range(0..axes.len())], intensity))
    }
}

/// Adds ghosts along an axis. Along the others k-space is entered and left unchanged, which is nothing:
/// a transform of each line is enough.
pub(super) fn haunt(
    picture: &mut Picture,
    ghosts: usize,
    axis: usize,
    intensity: f64,
    restore: f64,
) {
    if ghosts == 0 || intensity == 0.0 {
        return;
    }
    let size = picture.shape[axis];
    let factors = factors(size, ghosts, intensity, restore);
    let mut planner = FftPlanner::<f64>::new();
    let (forward, backward) = (
        planner.plan_fft_forward(size),
        planner.plan_fft_inverse(size),
    );
    let stride: usize = picture.shape[axis + 1..].iter().product();
    let mut line = vec![Complex::default(); size];
    for start in 0..picture.voxels.len() / size {
        let start = start / stride * stride * size + start % stride;
        for (at, value) in line.iter_mut().enumerate() {
            *value = Complex::new(f64::from(picture.voxels[start + at * stride]), 0.0);
        }
        forward.process(&mut line);
        for (value, factor) in line.iter_mut().zip(&factors) {
            *value *= factor;
        }
        backward.process(&mut line);
        for (at, value) in line.iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
            let value = (value.re / size as f64) as f32;
            picture.voxels[start + at * stride] = value;
        }
    }
}

/// What each frequency is multiplied by, from frequency 0 on.
fn factors(size: usize, ghosts: usize, intensity: f64, restore: f64) -> Vec<f64> {
    let middle = size / 2;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most the size"
    )]
    let kept = ((restore * size as f64).round() as usize).max(1);
    let first = middle - (kept / 2).min(middle);
    let shifted = |place: usize| {
        let is_darker = place.is_multiple_of(ghosts) && !(first..first + kept).contains(&place);
        if is_darker { 1.0 - intensity } else { 1.0 }
    };
    (0..size)
        .map(|frequency| shifted((frequency + middle) % size))
        .collect()
}
