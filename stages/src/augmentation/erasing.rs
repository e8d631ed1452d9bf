//! Parts that are erased.

use engine::ParamIssue;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Picture, uniform};
use crate::learning::options::NamedOptions;

/// Draws of a rectangle before the image is left as it is.
const TRIES: usize = 10;

engine::params! {
    /// Sets a rectangle of the last two axes to 0, through the whole of the other axis.
    ///
    /// Source: Zhong et al. 2020, <https://doi.org/10.1609/aaai.v34i07.7000>; `RandomErasing` of torchvision
    /// 0.28, as ClinicaDL 1.6.1 uses it. Of a slice, the two axes are its own.
    pub struct Erasing {
        /// Range of the rectangle's part of the area, 0 to 1. Default 0.02 to 0.33.
        semantic scale: [f64; 2] = [0.02, 0.33],
        /// Range of its height by its width, 0.01 to 100. Default 0.3 to 3.3.
        semantic ratio: [f64; 2] = [0.3, 3.3],
        /// Part of the images that it is applied to, 0 to 1. Default 0.5.
        semantic p: f64 = 0.5,
    }
}

impl NamedOptions for Erasing {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::ranges(&[
            ("scale", self.scale, 0.0, 1.0),
            ("ratio", self.ratio, 0.01, 100.0),
        ]);
        problems.extend(super::probability("p", self.p));
        problems
    }
}

impl Augmentation for Erasing {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        let mut axes = picture.full_axes(&[0, 1, 2]).into_iter().rev();
        let (Some(width_axis), Some(height_axis)) = (axes.next(), axes.next()) else {
            return;
        };
        let sizes = [picture.shape[height_axis], picture.shape[width_axis]];
        if let Some((start, lengths)) = self.draw(sizes, rng) {
            let mut bounds = picture.shape.map(|size| (0, size));
            bounds[height_axis] = (start[0], lengths[0]);
            bounds[width_axis] = (start[1], lengths[1]);
            erase(picture, bounds);
        }
    }
}

impl Erasing {
    /// The rectangle's start and lengths.
    fn draw(&self, sizes: [usize; 2], rng: &mut ChaCha8Rng) -> Option<([usize; 2], [usize; 2])> {
        let area = (sizes[0] * sizes[1]) as f64;
        for _ in 0..TRIES {
            let erased = area * uniform(self.scale, rng);
            let aspect = uniform(self.ratio.map(f64::ln), rng).exp();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "non-negative, and at most ten times a size"
            )]
            let lengths = [erased * aspect, erased / aspect]
                .map(|square| square.sqrt().round_ties_even() as usize);
            if lengths[0] < sizes[0] && lengths[1] < sizes[1] {
                let start = [0, 1].map(|axis| rng.random_range(0..=sizes[axis] - lengths[axis]));
                return Some((start, lengths));
            }
        }
        None
    }
}

/// Sets a block to 0: its start and length along each axis.
fn erase(picture: &mut Picture, bounds: [(usize, usize); 3]) {
    let [nx, ny, nz] = picture.shape;
    let [(x, lx), (y, ly), (z, lz)] = bounds;
    for channel in picture.voxels.chunks_exact_mut(nx * ny * nz) {
        for i in x..x + lx {
            for j in y..y + ly {
                let row = (i * ny + j) * nz + z;
                channel[row..row + lz].fill(0.0);
            }
        }
    }
}
