//! `SGD`.

use stages::learning::names::OptimizerName;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_scaled};

/// w ← w − η·g, without momentum.
///
/// # Source
/// PyTorch 2.13 `torch.optim.SGD` with its defaults.
pub(super) struct Sgd;

impl Rule for Sgd {
    fn name(&self) -> OptimizerName {
        OptimizerName::Sgd
    }

    fn update(
        &self,
        step: &Step<'_>,
        parameter: &mut Tensor,
        gradient: &mut Tensor,
        _: &mut [Tensor],
    ) -> Result<(), TchError> {
        add_scaled(parameter, gradient, -step.learning_rate)
    }
}
