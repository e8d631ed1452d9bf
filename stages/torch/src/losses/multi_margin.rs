//! `MultiMarginLoss`.

use stages::learning::names::LossName;
use tch::{Kind, TchError, Tensor};

use super::{Loss, Weighting};
use crate::networks::Outputs;

/// Mean over the batch of wᵧ Σ max(0, 1 − zᵧ + zₖ) / K over the classes k other than the true one, y.
///
/// # Source
/// PyTorch 2.13 `torch.nn.MultiMarginLoss` with p = 1 and margin = 1.
pub(super) struct MultiMargin;

impl Loss for MultiMargin {
    fn name(&self) -> LossName {
        LossName::MultiMargin
    }

    fn mean(
        &self,
        outputs: &Outputs,
        target: &Tensor,
        weights: &Weighting,
    ) -> Result<Tensor, TchError> {
        let logits = &outputs.prediction;
        let size = logits.size();
        let entries = size.iter().product::<i64>() as f64;
        let of_truth = logits.f_gather(1, &target.f_unsqueeze(1)?, false)?;
        let margins = logits
            .f_sub(&of_truth)?
            .f_add_scalar(1.0)?
            .f_clamp_min(0.0)?;
        // The true class itself always contributes its margin of 1.
        let mut each = margins
            .f_sum_dim_intlist(1, false, None::<Kind>)?
            .f_add_scalar(-1.0)?;
        if let Some(classes) = &weights.classes {
            each = each.f_mul(&classes.f_index_select(0, target)?)?;
        }
        each.f_sum(None)?.f_divide_scalar(entries)
    }
}
