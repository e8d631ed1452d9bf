//! `Adam`.

use stages::learning::names::OptimizerName;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_quotient, average, average_square, root};

const BETAS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

/// m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − η·m̂/(√v̂ + ε); β = (0.9, 0.999), ε = 1e-8.
///
/// # Source
/// Kingma and Ba 2015, arXiv:1412.6980; PyTorch 2.13 `torch.optim.Adam`.
pub(super) struct Adam;

impl Rule for Adam {
    fn name(&self) -> OptimizerName {
        OptimizerName::Adam
    }

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
        update(step, parameter, gradient, slots)
    }
}

/// The update shared with `AdamW`, which differs in weight decay only.
pub(super) fn update(
    step: &Step<'_>,
    parameter: &mut Tensor,
    gradient: &Tensor,
    slots: &mut [Tensor],
) -> Result<(), TchError> {
    average(&mut slots[0], gradient, BETAS.0)?;
    average_square(&mut slots[1], gradient, BETAS.1)?;
    let corrections = (
        1.0 - BETAS.0.powf(step.number),
        1.0 - BETAS.1.powf(step.number),
    );
    let denominator = root(&slots[1], corrections.1, EPSILON)?;
    let size = step.learning_rate / corrections.0;
    add_quotient(parameter, &slots[0], denominator, -size)
}
