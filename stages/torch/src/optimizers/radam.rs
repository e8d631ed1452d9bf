//! `RAdam`.

use stages::learning::optimizers as options;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_quotient, add_scaled, average, average_square, root};

/// Adam whose adaptive step is rectified by the variance of v, and left out while that is unknown.
///
/// With ρ∞ = 2/(1−β₂) − 1 and ρₜ = ρ∞ − 2tβ₂ᵗ/(1−β₂ᵗ): for ρₜ > 5,
/// w ← w − η·m̂·r·√(1−β₂ᵗ)/(√v + ε) with r = √((ρₜ−4)(ρₜ−2)ρ∞/((ρ∞−4)(ρ∞−2)ρₜ)); else w ← w − η·m̂.
///
/// # Source
/// Liu et al. 2020, arXiv:1908.03265; PyTorch 2.13 `torch.optim.RAdam`.
pub(super) struct RAdam(pub(super) options::Adam);

impl Rule for RAdam {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
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
        let power = self.0.beta2.powf(step.number);
        let size = step.learning_rate / (1.0 - self.0.beta1.powf(step.number));
        let limit = 2.0 / (1.0 - self.0.beta2) - 1.0;
        let length = limit - 2.0 * step.number * power / (1.0 - power);
        if length <= 5.0 {
            return add_scaled(parameter, &slots[0], -size);
        }
        let rectification = ((length - 4.0) * (length - 2.0) * limit
            / ((limit - 4.0) * (limit - 2.0) * length))
            .sqrt();
        let denominator = root(&slots[1], 1.0, self.0.eps)?;
        let size = size * rectification * (1.0 - power).sqrt();
        add_quotient(parameter, &slots[0], denominator, -size)
    }
}
