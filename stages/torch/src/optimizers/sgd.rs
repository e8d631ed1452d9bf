//! `SGD`.

use stages::learning::optimizers as options;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_scaled, scale};

/// w ← w − η·g; with momentum μ: b ← μb + g, w ← w − η·b.
///
/// # Source
/// PyTorch 2.13 `torch.optim.SGD` without dampening.
pub(super) struct Sgd(pub(super) options::Sgd);

impl Rule for Sgd {
    fn slots(&self) -> &'static [&'static str] {
        match self.0.momentum > 0.0 {
            true => &["momentum_buffer"],
            false => &[],
        }
    }

    fn update(
        &self,
        step: &Step<'_>,
        parameter: &mut Tensor,
        gradient: &mut Tensor,
        slots: &mut [Tensor],
    ) -> Result<(), TchError> {
        let [buffer] = slots else {
            return add_scaled(parameter, gradient, -step.learning_rate);
        };
        scale(buffer, self.0.momentum)?;
        drop(buffer.f_add_(gradient)?);
        add_scaled(parameter, buffer, -step.learning_rate)
    }
}
