//! Contrast.

use engine::ParamIssue;
use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Picture, uniform};
use crate::generate::intensity::contrast;
use crate::learning::options::NamedOptions;

engine::params! {
    /// Raises intensities to a power, negative ones by their absolute value.
    ///
    /// Source: `torchio.RandomGamma` 0.18. Deviation: all channels have one power.
    pub struct Gamma {
        /// Range of the natural logarithm of the power, -10 to 10. Default -0.3 to 0.3.
        semantic log_gamma: [f64; 2] = [-0.3, 0.3],
        /// Part of the images that it is applied to, 0 to 1. Default 1.
        semantic p: f64 = 1.0,
    }
}

impl NamedOptions for Gamma {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = super::ranges(&[("log_gamma", self.log_gamma, -10.0, 10.0)]);
        problems.extend(super::probability("p", self.p));
        problems
    }
}

impl Augmentation for Gamma {
    fn probability(&self) -> f64 {
        self.p
    }

    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        contrast(&mut picture.voxels, self.draw(rng));
    }
}

impl Gamma {
    /// The power.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> f64 {
        uniform(self.log_gamma, rng).exp()
    }
}
