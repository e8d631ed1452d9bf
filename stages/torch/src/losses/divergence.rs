//! `KLDivLoss`.

use stages::learning::names::LossName;
use tch::{Reduction, TchError, Tensor};

use super::{Loss, Weighting};
use crate::networks::Outputs;

/// The mean of y (log y − z), the outputs z being logarithms.
///
/// # Source
/// PyTorch 2.13 `torch.nn.KLDivLoss` with its defaults, as ClinicaDL 1.6.1 uses it.
pub(super) struct KlDiv;

impl Loss for KlDiv {
    fn name(&self) -> LossName {
        LossName::KlDiv
    }

    fn mean(&self, outputs: &Outputs, target: &Tensor, _: &Weighting) -> Result<Tensor, TchError> {
        outputs.prediction.f_kl_div(target, Reduction::Mean, false)
    }
}
