//! `Adagrad`.

use stages::learning::names::OptimizerName;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_quotient, root};

const EPSILON: f64 = 1e-10;

/// s ← s + g², w ← w − η·g/(√s + ε); ε = 1e-10, no decay of the learning rate.
///
/// # Source
/// Duchi et al. 2011, jmlr.org/papers/v12/duchi11a.html; PyTorch 2.13 `torch.optim.Adagrad`.
pub(super) struct Adagrad;

impl Rule for Adagrad {
    fn name(&self) -> OptimizerName {
        OptimizerName::Adagrad
    }

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
        let denominator = root(&slots[0], 1.0, EPSILON)?;
        add_quotient(parameter, gradient, denominator, -step.learning_rate)
    }
}
