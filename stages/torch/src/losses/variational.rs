//! Losses of variational autoencoders: reconstruction and divergence.
//!
//! Both are sums over an image, and their mean is over the batch: the negative evidence lower bound, up
//! to constants. The weights are those of [`Weighting`].
//!
//! # Source
//! Kingma and Welling 2014, arXiv:1312.6114; ClinicaDL 1.6.1 `network/vae/vae_utils.py`. Deviations:
//! there the reconstruction is not divided by the size of the batch (`recons_weight` of that size gives
//! its numbers); the two terms of the continuous Bernoulli loss take each other's weight there, and its
//! constant is added, although a greater density is a smaller loss.

use stages::learning::names::LossName;
use tch::{Kind, Reduction, TchError, Tensor};

use super::{Loss, Weighting};
use crate::networks::Outputs;

/// Σ(x̂ − x)².
pub(super) struct Gaussian;

/// Binary cross-entropy of x̂, for x and x̂ from 0 to 1.
pub(super) struct Bernoulli;

/// [`Bernoulli`] and the logarithm of the normalising constant of the continuous distribution.
///
/// # Source
/// Loaiza-Ganem and Cunningham 2019, arXiv:1907.06845.
pub(super) struct ContinuousBernoulli;

impl Loss for Gaussian {
    fn name(&self) -> LossName {
        LossName::VaeGaussian
    }

    fn mean(
        &self,
        outputs: &Outputs,
        target: &Tensor,
        weights: &Weighting,
    ) -> Result<Tensor, TchError> {
        let squares = outputs.prediction.f_mse_loss(target, Reduction::Sum)?;
        total(&squares, outputs, target, weights)
    }
}

impl Loss for Bernoulli {
    fn name(&self) -> LossName {
        LossName::VaeBernoulli
    }

    fn mean(
        &self,
        outputs: &Outputs,
        target: &Tensor,
        weights: &Weighting,
    ) -> Result<Tensor, TchError> {
        total(&cross_entropy(outputs, target)?, outputs, target, weights)
    }
}

impl Loss for ContinuousBernoulli {
    fn name(&self) -> LossName {
        LossName::VaeContinuousBernoulli
    }

    fn mean(
        &self,
        outputs: &Outputs,
        target: &Tensor,
        weights: &Weighting,
    ) -> Result<Tensor, TchError> {
        let constant = log_constant(&outputs.prediction)?;
        let loss = total(&cross_entropy(outputs, target)?, outputs, target, weights)?;
        // The density is the constant times that of the Bernoulli distribution.
        loss.f_sub(&constant.f_divide_scalar(images(target))?)
    }
}

fn cross_entropy(outputs: &Outputs, target: &Tensor) -> Result<Tensor, TchError> {
    outputs
        .prediction
        .f_binary_cross_entropy(target, None::<&Tensor>, Reduction::Sum)
}

/// The logarithm of 2 artanh(1 − 2x) / (1 − 2x), summed; near ½, where that is 0 / 0, its expansion.
fn log_constant(x: &Tensor) -> Result<Tensor, TchError> {
    const NEAR: f64 = 1e-5;
    let x = x.f_clamp(NEAR, 1.0 - NEAR)?;
    let distance = x.f_mul_scalar(-2.0)?.f_add_scalar(1.0)?;
    let is_far = distance.f_abs()?.f_ge(2.0 * NEAR)?;
    let safe = distance.f_where_self(&is_far, &distance.f_ones_like()?)?;
    let log_ratio = x
        .f_mul_scalar(-1.0)?
        .f_log1p()?
        .f_sub(&x.f_log()?)?
        .f_div(&safe)?;
    let safe_ratio = log_ratio.f_where_self(&is_far, &log_ratio.f_ones_like()?)?;
    let near = distance
        .f_square()?
        .f_divide_scalar(3.0)?
        .f_log1p()?
        .f_add_scalar(2.0_f64.ln())?;
    safe_ratio
        .f_log()?
        .f_where_self(&is_far, &near)?
        .f_sum(None::<Kind>)
}

/// The weighted sum of a reconstruction and the divergence, by image.
fn total(
    reconstruction: &Tensor,
    outputs: &Outputs,
    target: &Tensor,
    weights: &Weighting,
) -> Result<Tensor, TchError> {
    let mut total = reconstruction.f_mul_scalar(weights.reconstruction)?;
    if let Some(latent) = &outputs.latent {
        // ½ Σ (μ² + σ² − log σ² − 1).
        let divergence = latent
            .mean
            .f_square()?
            .f_add(&latent.log_variance.f_exp()?)?
            .f_sub(&latent.log_variance)?
            .f_add_scalar(-1.0)?
            .f_sum(None::<Kind>)?;
        total = total.f_add(&divergence.f_mul_scalar(0.5 * weights.divergence)?)?;
    }
    total.f_divide_scalar(images(target))
}

fn images(target: &Tensor) -> f64 {
    target.size().first().copied().unwrap_or(1) as f64
}
