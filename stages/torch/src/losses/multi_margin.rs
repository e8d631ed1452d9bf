//! `MultiMarginLoss`.

use stages::learning::names::LossName;
use tch::{TchError, Tensor};

use super::Loss;

/// Mean over the batch of Σ max(0, 1 − zᵧ + zₖ) / K over the classes k other than the true one, y.
///
/// # Source
/// PyTorch 2.13 `torch.nn.MultiMarginLoss` with its defaults (p = 1, margin = 1).
pub(super) struct MultiMargin;

impl Loss for MultiMargin {
    fn name(&self) -> LossName {
        LossName::MultiMargin
    }

    fn mean(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor, TchError> {
        let size = logits.size();
        let entries = size.iter().product::<i64>() as f64;
        let rows = size.first().copied().unwrap_or(1) as f64;
        let of_truth = logits.f_gather(1, &targets.f_unsqueeze(1)?, false)?;
        let mut margins = logits
            .f_sub(&of_truth)?
            .f_add_scalar(1.0)?
            .f_clamp_min(0.0)?;
        margins = margins.f_sum(None)?;
        // The true class itself always contributes its margin of 1.
        margins.f_add_scalar(-rows)?.f_divide_scalar(entries)
    }
}
