//! `BCEWithLogitsLoss`.

use stages::learning::names::LossName;
use tch::{Reduction, TchError, Tensor};

use super::{Loss, Weighting};
use crate::networks::Outputs;

/// The mean of −y log σ(z) − (1 − y) log(1 − σ(z)), for targets y from 0 to 1.
///
/// # Source
/// PyTorch 2.13 `torch.nn.BCEWithLogitsLoss` with its defaults.
pub(super) struct BceWithLogits;

impl Loss for BceWithLogits {
    fn name(&self) -> LossName {
        LossName::BceWithLogits
    }

    fn mean(&self, outputs: &Outputs, target: &Tensor, _: &Weighting) -> Result<Tensor, TchError> {
        let none = None::<&Tensor>;
        outputs
            .prediction
            .f_binary_cross_entropy_with_logits(target, none, none, Reduction::Mean)
    }
}
