//! `CrossEntropyLoss`.

use stages::learning::names::LossName;
use tch::{Reduction, TchError, Tensor};

use super::Loss;

/// Mean over the batch of −log softmax(z)ᵧ, y being the true class.
///
/// # Source
/// PyTorch 2.13 `torch.nn.CrossEntropyLoss` with its defaults.
pub(super) struct CrossEntropy;

impl Loss for CrossEntropy {
    fn name(&self) -> LossName {
        LossName::CrossEntropy
    }

    fn mean(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor, TchError> {
        logits.f_cross_entropy_loss(targets, None::<&Tensor>, Reduction::Mean, -100, 0.0)
    }
}
