//! Scaling of the loss, so that small gradients are not lost in 16 bits of little range.

use serde::{Deserialize, Serialize};
use stages::learning::names::Precision;
use tch::{TchError, Tensor};

/// The factor at the start.
const START: f64 = 65536.0;
/// Updates without an overflow after which the factor doubles.
const INTERVAL: u32 = 2000;

/// The factor that losses are multiplied with before gradients are computed.
///
/// It is halved where gradients overflow, whose update is left out, and doubles after 2000 updates in a
/// row; it is always a power of two, so that it changes no digit.
///
/// # Source
/// Micikevicius et al. 2018, arXiv:1710.03740; `torch.amp.GradScaler` of PyTorch 2.13.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LossScale {
    /// `None` where the numbers have the range of 32 bits.
    factor: Option<f64>,
    /// Updates since it changed.
    updates: u32,
}

impl LossScale {
    pub(super) fn of(precision: Precision) -> Self {
        Self {
            factor: (precision == Precision::Float16).then_some(START),
            updates: 0,
        }
    }

    /// What losses are multiplied with.
    pub(super) fn factor(&self) -> f64 {
        self.factor.unwrap_or(1.0)
    }

    /// Gives gradients their own length again; false where they overflowed and mean nothing.
    pub(super) fn undo(&mut self, gradients: &mut [Tensor]) -> Result<bool, TchError> {
        let Some(factor) = &mut self.factor else {
            return Ok(true);
        };
        let mut is_finite = true;
        for gradient in gradients.iter_mut() {
            drop(gradient.f_mul_scalar_(1.0 / *factor)?);
            is_finite &= gradient.f_isfinite()?.f_all()?.f_int64_value(&[])? == 1;
        }
        if !is_finite {
            *factor /= 2.0;
            self.updates = 0;
            return Ok(false);
        }
        self.updates += 1;
        if self.updates == INTERVAL {
            *factor *= 2.0;
            self.updates = 0;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overflow_halves_the_factor_and_two_thousand_updates_double_it() {
        let mut scale = LossScale::of(Precision::Float16);
        let scaled = || [Tensor::from_slice(&[65536.0_f32, -131072.0])];
        let mut gradients = scaled();
        assert!(scale.undo(&mut gradients).unwrap());
        assert_eq!(Vec::<f32>::try_from(&gradients[0]).unwrap(), [1.0, -2.0]);
        let mut overflown = [Tensor::from_slice(&[1.0_f32, f32::INFINITY])];
        assert!(!scale.undo(&mut overflown).unwrap());
        assert_eq!(scale.factor().to_bits(), 32768.0_f64.to_bits());
        for _ in 0..INTERVAL {
            assert!(scale.undo(&mut scaled()).unwrap());
        }
        assert_eq!(scale.factor().to_bits(), 65536.0_f64.to_bits());
    }

    #[test]
    fn other_numbers_are_not_scaled() {
        let mut scale = LossScale::of(Precision::Bfloat16);
        let mut gradients = [Tensor::from_slice(&[f32::NAN])];
        assert!(scale.undo(&mut gradients).unwrap());
        assert_eq!(scale.factor().to_bits(), 1.0_f64.to_bits());
    }
}
