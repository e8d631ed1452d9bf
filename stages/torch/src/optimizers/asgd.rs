//! `ASGD`.

use stages::learning::optimizers as options;
use tch::{TchError, Tensor};

use super::{Rule, Step, add_scaled, average, scale};

/// w ← (1−λη)w − ηg with η = η₀/(1+λη₀t)^α; λ = 1e-4, α = 0.75, averaging from step 10⁶.
///
/// The average of the weights is kept and, as in PyTorch, never used by the network.
///
/// # Source
/// Polyak and Juditsky 1992, doi:10.1137/0330046; PyTorch 2.13 `torch.optim.ASGD`.
pub(super) struct Asgd(pub(super) options::Asgd);

impl Rule for Asgd {
    fn slots(&self) -> &'static [&'static str] {
        &["ax"]
    }

    /// The decayed learning rate of this step and of the next.
    fn initial_scalars(&self, learning_rate: f64) -> Vec<f64> {
        vec![learning_rate, learning_rate]
    }

    fn advance(&self, scalars: &mut [f64], step: f64, learning_rate: f64) {
        scalars[0] = scalars[1];
        scalars[1] = learning_rate / (1.0 + self.0.lambd * learning_rate * step).powf(self.0.alpha);
    }

    fn update(
        &self,
        step: &Step<'_>,
        parameter: &mut Tensor,
        gradient: &mut Tensor,
        slots: &mut [Tensor],
    ) -> Result<(), TchError> {
        let rate = step.scalars[0];
        scale(parameter, 1.0 - self.0.lambd * rate)?;
        add_scaled(parameter, gradient, -rate)?;
        let weight = 1.0 / (step.number - 1.0 - self.0.t0).max(1.0);
        average(&mut slots[0], parameter, 1.0 - weight)
    }
}
