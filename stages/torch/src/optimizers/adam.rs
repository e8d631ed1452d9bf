//! `Adam`.

use stages::learning::optimizers as options;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_quotient, average, average_square, decay, root};

/// m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − η·m̂/(√v̂ + ε); β = (0.9, 0.999), ε = 1e-8.
///
/// # Source
/// Kingma and Ba 2015, arXiv:1412.6980; PyTorch 2.13 `torch.optim.Adam`.
pub(super) struct Adam(pub(super) options::Adam);

impl Rule for Adam {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn takes_decay(&self) -> bool {
        true
    }

    fn update(
        &self,
        step: &Step<'_>,
        parameter: &mut Tensor,
        gradient: &mut Tensor,
        slots: &mut [Tensor],
    ) -> Result<(), TchError> {
        update(&self.0, step, false, parameter, gradient, slots)
    }
}

/// The update shared with `AdamW`, which differs in weight decay only.
pub(super) fn update(
    options: &options::Adam,
    step: &Step<'_>,
    decays_weights: bool,
    parameter: &mut Tensor,
    gradient: &mut Tensor,
    slots: &mut [Tensor],
) -> Result<(), TchError> {
    let (shrinks, adds) = match decays_weights {
        true => (step.learning_rate * step.weight_decay, 0.0),
        false => (0.0, step.weight_decay),
    };
    let in_one_pass = kernels::Adam {
        keep: 1.0 - shrinks,
        decay: adds,
        beta: [options.beta1, options.beta2],
        epsilon: options.eps,
        rate: step.learning_rate,
        number: step.number,
    };
    let [first, second] = slots else {
        return Err(TchError::Shape("Adam remembers two moments".to_owned()));
    };
    if in_one_pass.step(parameter, gradient, [first, second]) {
        return Ok(());
    }
    decay(step, decays_weights, parameter, gradient)?;
    average(first, gradient, options.beta1)?;
    average_square(second, gradient, options.beta2)?;
    let corrections = in_one_pass.beta.map(|beta| 1.0 - beta.powf(step.number));
    let denominator = root(second, corrections[1], options.eps)?;
    let size = step.learning_rate / corrections[0];
    add_quotient(parameter, first, denominator, -size)
}
