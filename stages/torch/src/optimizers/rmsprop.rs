//! `RMSprop`.

use stages::learning::names::OptimizerName;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_quotient, average_square, root};

const ALPHA: f64 = 0.99;
const EPSILON: f64 = 1e-8;

/// v ← αv + (1−α)g², w ← w − η·g/(√v + ε); α = 0.99, ε = 1e-8, neither centred nor with momentum.
///
/// # Source
/// Tieleman and Hinton 2012, lecture 6.5; PyTorch 2.13 `torch.optim.RMSprop`.
pub(super) struct RmsProp;

impl Rule for RmsProp {
    fn name(&self) -> OptimizerName {
        OptimizerName::RmsProp
    }

    fn slots(&self) -> &'static [&'static str] {
        &["square_avg"]
    }

    fn update(
        &self,
        step: &Step<'_>,
        parameter: &mut Tensor,
        gradient: &mut Tensor,
        slots: &mut [Tensor],
    ) -> Result<(), TchError> {
        average_square(&mut slots[0], gradient, ALPHA)?;
        let denominator = root(&slots[0], 1.0, EPSILON)?;
        add_quotient(parameter, gradient, denominator, -step.learning_rate)
    }
}
