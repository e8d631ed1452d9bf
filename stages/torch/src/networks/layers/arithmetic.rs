//! Arithmetic of mixed precision.

use stages::learning::names::Precision;
use tch::{Device, Kind, TchError, Tensor};

/// Axes of fewer voxels are short: with kernels of up to 7, only maps of up to 7 go wrong.
const SHORT: i64 = 8;

/// The numbers that convolutions and fully connected layers compute with.
///
/// Weights stay in 32 bits; they and the input are rounded for each product. What comes between
/// products keeps the numbers it is given, and statistics of batch norms are of 32 bits.
///
/// # Source
/// Micikevicius et al. 2018, arXiv:1710.03740; `torch.autocast` of PyTorch 2.13 rounds at the same layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arithmetic(Option<Kind>);

impl Arithmetic {
    pub(crate) fn of(precision: Precision) -> Self {
        Self(match precision {
            // As weights are, so that tests can compute in 64 bits.
            Precision::Float32 => None,
            Precision::Bfloat16 => Some(Kind::BFloat16),
            Precision::Float16 => Some(Kind::Half),
        })
    }

    /// Whether products are of numbers of 32 bits, or of what weights have.
    pub(super) fn is_float32(self) -> bool {
        matches!(self.0, None | Some(Kind::Float))
    }

    /// The numbers as they enter a product.
    pub(super) fn round(self, x: &Tensor) -> Result<Tensor, TchError> {
        match self.0 {
            Some(kind) if x.kind() != kind => x.f_to_kind(kind),
            _ => Ok(x.shallow_clone()),
        }
    }

    /// What a convolution of maps `[B, C, X, Y(, Z)]` computes with: 32 bits on a processor, where an axis
    /// is short. oneDNN (PyTorch 2.13) writes beyond gradients of weights there on processors with
    /// AVX512_BF16 but without AMX: numbers are wrong, or the process ends. Such maps take no time.
    pub(super) fn of_convolution(self, x: &Tensor) -> Self {
        let is_short = x.size().iter().skip(2).any(|&axis| axis < SHORT);
        match self.0 {
            Some(_) if is_short && x.device() == Device::Cpu => Self(Some(Kind::Float)),
            _ => self,
        }
    }

    /// The same of a tensor that may be missing.
    pub(super) fn round_any(self, x: Option<&Tensor>) -> Result<Option<Tensor>, TchError> {
        x.map(|x| self.round(x)).transpose()
    }
}

/// The tensor in 32 bits if it has 16.
pub(crate) fn widen(x: &Tensor) -> Result<Tensor, TchError> {
    match x.kind() {
        Kind::Half | Kind::BFloat16 => x.f_to_kind(Kind::Float),
        _ => Ok(x.shallow_clone()),
    }
}
