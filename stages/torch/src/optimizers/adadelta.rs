//! `Adadelta`.

use stages::learning::optimizers as options;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_scaled, average_square};

/// v ← ρv + (1−ρ)g², δ = √(d + ε)/√(v + ε)·g, d ← ρd + (1−ρ)δ², w ← w − η·δ; ρ = 0.9, ε = 1e-6.
///
/// # Source
/// Zeiler 2012, arXiv:1212.5701; PyTorch 2.13 `torch.optim.Adadelta`.
pub(super) struct Adadelta(pub(super) options::Adadelta);

impl Rule for Adadelta {
    fn slots(&self) -> &'static [&'static str] {
        &["square_avg", "acc_delta"]
    }

    fn update(
        &self,
        step: &Step<'_>,
        parameter: &mut Tensor,
        gradient: &mut Tensor,
        slots: &mut [Tensor],
    ) -> Result<(), TchError> {
        average_square(&mut slots[0], gradient, self.0.rho)?;
        let deviation = slots[0].f_add_scalar(self.0.eps)?.f_sqrt_()?;
        let mut delta = slots[1].f_add_scalar(self.0.eps)?.f_sqrt_()?;
        drop(delta.f_divide_(&deviation)?);
        drop(delta.f_multiply_(gradient)?);
        average_square(&mut slots[1], &delta, self.0.rho)?;
        add_scaled(parameter, &delta, -step.learning_rate)
    }
}
