//! `AdamW`.

use stages::learning::optimizers as options;
use tch::{TchError, Tensor};

use super::{Rule, Step, adam};

/// Adam whose weight decay shrinks the weights by 1 − η·λ instead of entering the moments.
///
/// # Source
/// Loshchilov and Hutter 2019, arXiv:1711.05101; PyTorch 2.13 `torch.optim.AdamW`.
pub(super) struct AdamW(pub(super) options::Adam);

impl Rule for AdamW {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn takes_decay(&self) -> bool {
        true
    }

    fn update(
        &self,
        step: &Step<'_>,
        parameter: &mut Tensor,
        gradient: &mut Tensor,
        slots: &mut [Tensor],
    ) -> Result<(), TchError> {
        adam::update(&self.0, step, true, parameter, gradient, slots)
    }
}
