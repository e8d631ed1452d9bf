//! `Adamax`.

use stages::learning::names::OptimizerName;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_quotient, average, scale};

const BETAS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

/// m ← β₁m + (1−β₁)g, u ← max(β₂u, |g| + ε), w ← w − η/(1−β₁ᵗ)·m/u; β = (0.9, 0.999), ε = 1e-8.
///
/// # Source
/// Kingma and Ba 2015, arXiv:1412.6980 §7.1; PyTorch 2.13 `torch.optim.Adamax`.
pub(super) struct Adamax;

impl Rule for Adamax {
    fn name(&self) -> OptimizerName {
        OptimizerName::Adamax
    }

    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_inf"]
    }

    fn update(
        &self,
        step: &Step<'_>,
        parameter: &mut Tensor,
        gradient: &mut Tensor,
        slots: &mut [Tensor],
    ) -> Result<(), TchError> {
        average(&mut slots[0], gradient, BETAS.0)?;
        scale(&mut slots[1], BETAS.1)?;
        let magnitude = gradient.f_abs()?.f_add_scalar(EPSILON)?;
        let largest = slots[1].f_maximum(&magnitude)?;
        slots[1].f_copy_(&largest)?;
        let size = step.learning_rate / (1.0 - BETAS.0.powf(step.number));
        add_quotient(parameter, &slots[0], largest, -size)
    }
}
