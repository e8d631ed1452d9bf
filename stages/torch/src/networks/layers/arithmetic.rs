//! Arithmetic of mixed precision.

use stages::learning::names::Precision;
use tch::{Kind, TchError, Tensor};

/// The numbers that convolutions and fully connected layers compute with.
///
/// Weights stay in 32 bits; they and the input are rounded for each product. What comes between
/// products keeps the numbers it is given, and statistics of batch norms are of 32 bits.
///
/// # Source
/// Micikevicius et al. 2018, arXiv:1710.03740; `torch.autocast` of PyTorch 2.13 rounds at the same layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arithmetic(Kind);

impl Arithmetic {
    pub(crate) fn of(precision: Precision) -> Self {
        Self(match precision {
            Precision::Float32 => Kind::Float,
            Precision::Bfloat16 => Kind::BFloat16,
            Precision::Float16 => Kind::Half,
        })
    }

    /// The numbers as they enter a product.
    pub(super) fn round(self, x: &Tensor) -> Result<Tensor, TchError> {
        if x.kind() == self.0 {
            Ok(x.shallow_clone())
        } else {
            x.f_to_kind(self.0)
        }
    }

    /// The same of a tensor that may be missing.
    pub(super) fn round_any(self, x: Option<&Tensor>) -> Result<Option<Tensor>, TchError> {
        x.map(|x| self.round(x)).transpose()
    }
}
