//! `NAdam`.

use stages::learning::names::OptimizerName;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_quotient, add_scaled, average, average_square, root, scale};

const BETAS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;
const MOMENTUM_DECAY: f64 = 4e-3;

/// Adam with Nesterov momentum; β = (0.9, 0.999), ε = 1e-8, momentum decay 4e-3.
///
/// With μₜ = β₁(1 − ½·0.96^(t·ψ)) and Mₜ = Πμ:
/// w ← w − η·[(1−μₜ)/(1−Mₜ)·g + μₜ₊₁/(1−Mₜ₊₁)·m]/(√v̂ + ε).
///
/// # Source
/// Dozat 2016, "Incorporating Nesterov momentum into Adam"; PyTorch 2.13 `torch.optim.NAdam`.
pub(super) struct NAdam;

fn momentum(step: f64) -> f64 {
    BETAS.0 * (1.0 - 0.5 * 0.96_f64.powf(step * MOMENTUM_DECAY))
}

impl Rule for NAdam {
    fn name(&self) -> OptimizerName {
        OptimizerName::NAdam
    }

    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn initial_scalars(&self, _: f64) -> Vec<f64> {
        vec![1.0]
    }

    fn advance(&self, scalars: &mut [f64], step: f64, _: f64) {
        scalars[0] *= momentum(step);
    }

    fn update(
        &self,
        step: &Step<'_>,
        parameter: &mut Tensor,
        gradient: &mut Tensor,
        slots: &mut [Tensor],
    ) -> Result<(), TchError> {
        average(&mut slots[0], gradient, BETAS.0)?;
        average_square(&mut slots[1], gradient, BETAS.1)?;
        let denominator = root(&slots[1], 1.0 - BETAS.1.powf(step.number), EPSILON)?;
        let (now, next) = (momentum(step.number), momentum(step.number + 1.0));
        let product = step.scalars[0];
        let of_gradient = -step.learning_rate * (1.0 - now) / (1.0 - product);
        let of_average = -step.learning_rate * next / (1.0 - product * next);
        scale(gradient, of_gradient)?;
        add_scaled(gradient, &slots[0], of_average)?;
        add_quotient(parameter, gradient, denominator, 1.0)
    }
}
