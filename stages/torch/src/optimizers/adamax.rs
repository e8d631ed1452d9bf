//! `Adamax`.

use stages::learning::optimizers as options;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_quotient, average, scale};

/// m ← β₁m + (1−β₁)g, u ← max(β₂u, |g| + ε), w ← w − η/(1−β₁ᵗ)·m/u; β = (0.9, 0.999), ε = 1e-8.
///
/// # Source
/// Kingma and Ba 2015, arXiv:1412.6980 §7.1; PyTorch 2.13 `torch.optim.Adamax`.
pub(super) struct Adamax(pub(super) options::Adam);

impl Rule for Adamax {
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
        average(&mut slots[0], gradient, self.0.beta1)?;
        scale(&mut slots[1], self.0.beta2)?;
        let magnitude = gradient.f_abs()?.f_add_scalar(self.0.eps)?;
        let largest = slots[1].f_maximum(&magnitude)?;
        slots[1].f_copy_(&largest)?;
        let size = step.learning_rate / (1.0 - self.0.beta1.powf(step.number));
        add_quotient(parameter, &slots[0], largest, -size)
    }
}
