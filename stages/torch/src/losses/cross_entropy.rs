//! `CrossEntropyLoss`.

use stages::learning::names::LossName;
use tch::{Reduction, TchError, Tensor};

use super::{Loss, Weighting};
use crate::networks::Outputs;

/// Mean over the batch of −log softmax(z)ᵧ, y being the true class; weighted by class, it is the mean by
/// weight.
///
/// # Source
/// PyTorch 2.13 `torch.nn.CrossEntropyLoss`.
pub(super) struct CrossEntropy;

impl Loss for CrossEntropy {
    fn name(&self) -> LossName {
        LossName::CrossEntropy
    }

    fn mean(
        &self,
        outputs: &Outputs,
        target: &Tensor,
        weights: &Weighting,
    ) -> Result<Tensor, TchError> {
        outputs.prediction.f_cross_entropy_loss(
            target,
            weights.classes.as_ref(),
            Reduction::Mean,
            -100,
            weights.label_smoothing,
        )
    }
}
