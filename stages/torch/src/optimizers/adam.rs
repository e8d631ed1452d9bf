//! `Adam`.

use stages::learning::optimizers as options;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_quotient, average, average_square, root};

/// m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − η·m̂/(√v̂ + ε); β = (0.9, 0.999), ε = 1e-8.
///
/// # Source
/// Kingma and Ba 2015, arXiv:1412.6980; PyTorch 2.13 `torch.optim.Adam`.
pub(super) struct Adam(pub(super) options::Adam);

impl Rule for Adam {
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
        update(&self.0, step, parameter, gradient, slots)
    }
}

/// The update shared with `AdamW`, which differs in weight decay only.
pub(super) fn update(
    options: &options::Adam,
    step: &Step<'_>,
    parameter: &mut Tensor,
    gradient: &Tensor,
    slots: &mut [Tensor],
) -> Result<(), TchError> {
    average(&mut slots[0], gradient, options.beta1)?;
    average_square(&mut slots[1], gradient, options.beta2)?;
    let corrections = (
        1.0 - options.beta1.powf(step.number),
        1.0 - options.beta2.powf(step.number),
    );
    let denominator = root(&slots[1], corrections.1, options.eps)?;
    let size = step.learning_rate / corrections.0;
    add_quotient(parameter, &slots[0], denominator, -size)
}
