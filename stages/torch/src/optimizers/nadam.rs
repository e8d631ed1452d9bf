//! `NAdam`.

use stages::learning::optimizers as options;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_quotient, add_scaled, average, average_square, root, scale};

/// Adam with Nesterov momentum; β = (0.9, 0.999), ε = 1e-8, momentum decay 4e-3.
///
/// With μₜ = β₁(1 − ½·0.96^(t·ψ)) and Mₜ = Πμ:
/// w ← w − η·[(1−μₜ)/(1−Mₜ)·g + μₜ₊₁/(1−Mₜ₊₁)·m]/(√v̂ + ε).
///
/// # Source
/// Dozat 2016, "Incorporating Nesterov momentum into Adam"; PyTorch 2.13 `torch.optim.NAdam`.
pub(super) struct NAdam(pub(super) options::NAdam);

impl NAdam {
    fn momentum(&self, step: f64) -> f64 {
        self.0.beta1 * (1.0 - 0.5 * 0.96_f64.powf(step * self.0.momentum_decay))
    }
}

impl Rule for NAdam {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn initial_scalars(&self, _: f64) -> Vec<f64> {
        vec![1.0]
    }

    fn advance(&self, scalars: &mut [f64], step: f64, _: f64) {
        scalars[0] *= self.momentum(step);
    }

    fn update(
        &self,
        step: &Step<'_>,
        parameter: &mut Tensor,
        gradient: &mut Tensor,
        slots: &mut [Tensor],
    ) -> Result<(), TchError> {
        average(&mut slots[0], gradient, self.0.beta1)?;
        average_square(&mut slots[1], gradient, self.0.beta2)?;
        let denominator = root(&slots[1], 1.0 - self.0.beta2.powf(step.number), self.0.eps)?;
        let (now, next) = (self.momentum(step.number), self.momentum(step.number + 1.0));
        let product = step.scalars[0];
        let of_gradient = -step.learning_rate * (1.0 - now) / (1.0 - product);
        let of_average = -step.learning_rate * next / (1.0 - product * next);
        scale(gradient, of_gradient)?;
        add_scaled(gradient, &slots[0], of_average)?;
        add_quotient(parameter, gradient, denominator, 1.0)
    }
}
