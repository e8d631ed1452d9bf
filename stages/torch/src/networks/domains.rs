//! What networks for two domains can do besides predicting.

use tch::{TchError, Tensor};

use super::Mode;

/// The last layers of a network for two domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// Says the class of images of the source, the domain with many labels.
    Source,
    /// Says the class of images of the target; the network's own prediction.
    Target,
    /// Says the domain: node 0 is the source, node 1 the target.
    Domain,
}

/// A network with features that both domains share, and heads that read them.
pub(crate) trait TwoDomains {
    /// The features of a batch.
    fn features(&self, images: &Tensor, mode: Mode) -> Result<Tensor, TchError>;

    /// What a head makes of features: `[B, K]`, in 32 bits.
    fn head(&self, head: Head, features: &Tensor, mode: Mode) -> Result<Tensor, TchError>;
}

/// The same numbers, with a gradient that is turned round: −`alpha` times that of what is made of them.
///
/// # Source
/// Ganin and Lempitsky 2015, arXiv:1409.7495; `ReverseLayerF` of ClinicaDL 1.6.1.
pub(crate) fn reversed(x: &Tensor, alpha: f64) -> Result<Tensor, TchError> {
    let still = x.f_detach()?;
    // Zeros, whose gradient is −`alpha`: no digit of the numbers changes.
    still.f_sub(x)?.f_mul_scalar(alpha)?.f_add(&still)
}
