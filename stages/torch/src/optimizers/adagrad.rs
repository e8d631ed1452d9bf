//! `Adagrad`.

use stages::learning::optimizers as options;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_quotient, root};

/// s ← s + g², w ← w − η/(1 + (t−1)·d)·g/(√s + ε); ε = 1e-10, d = 0.
///
/// # Source
/// Duchi et al. 2011, jmlr.org/papers/v12/duchi11a.html; PyTorch 2.13 `torch.optim.Adagrad`.
pub(super) struct Adagrad(pub(super) options::Adagrad);

impl Rule for Adagrad {
    fn slots(&self) -> &'static [&'static str] {
        &["sum"]
    }

    fn update(
        &self,
        step: &Step<'_>,
        parameter: &mut Tensor,
        gradient: &mut Tensor,
        slots: &mut [Tensor],
    ) -> Result<(), TchError> {
        drop(slots[0].f_addcmul_(gradient, gradient)?);
        let denominator = root(&slots[0], 1.0, self.0.eps)?;
        let rate = step.learning_rate / (1.0 + (step.number - 1.0) * self.0.lr_decay);
        add_quotient(parameter, gradient, denominator, -rate)
    }
}
