//! `RMSprop`.

use stages::learning::optimizers as options;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_quotient, add_scaled, average_square, root, scale};

/// v ← αv + (1−α)g², w ← w − η·g/(√v + ε); α = 0.99, ε = 1e-8, not centred.
///
/// With momentum μ: b ← μb + g/(√v + ε), w ← w − η·b.
///
/// # Source
/// Tieleman and Hinton 2012, lecture 6.5; PyTorch 2.13 `torch.optim.RMSprop`.
pub(super) struct RmsProp(pub(super) options::RmsProp);

impl Rule for RmsProp {
    fn slots(&self) -> &'static [&'static str] {
        match self.0.momentum > 0.0 {
            true => &["square_avg", "momentum_buffer"],
            false => &["square_avg"],
        }
    }

    fn update(
        &self,
        step: &Step<'_>,
        parameter: &mut Tensor,
        gradient: &mut Tensor,
        slots: &mut [Tensor],
    ) -> Result<(), TchError> {
        average_square(&mut slots[0], gradient, self.0.alpha)?;
        let denominator = root(&slots[0], 1.0, self.0.eps)?;
        let [_, buffer] = slots else {
            return add_quotient(parameter, gradient, denominator, -step.learning_rate);
        };
        scale(buffer, self.0.momentum)?;
        add_quotient(buffer, gradient, denominator, 1.0)?;
        add_scaled(parameter, buffer, -step.learning_rate)
    }
}
