//! Losses: one file each, and the table [`LOSSES`].

mod binary;
mod cross_entropy;
mod divergence;
mod multi_margin;
mod norms;
mod variational;

use engine::StageError;
use stages::learning::names::LossName;
use tch::{TchError, Tensor};

use crate::networks::Outputs;

/// A loss.
pub(crate) trait Loss: Sync {
    /// Name in manifests and in `maps.json`.
    fn name(&self) -> LossName;

    /// The mean over the batch.
    ///
    /// # Shapes
    /// Classification: prediction `[B, K]` of logits, `target` `[B]` of int64 codes. Regression: both
    /// `[B, 1]`. Reconstruction: both `[B, C, X, Y(, Z)]`. → scalar.
    fn mean(
        &self,
        outputs: &Outputs,
        target: &Tensor,
        weights: &Weighting,
    ) -> Result<Tensor, TchError>;
}

/// What weighs more in a loss.
#[derive(Debug)]
pub(crate) struct Weighting {
    /// Weight of each class, `[K]`; `None` for equal ones.
    pub(crate) classes: Option<Tensor>,
    /// Share of a target that is spread over all classes, 0 to 1.
    pub(crate) label_smoothing: f64,
    /// Weight of the reconstruction in the loss of a variational autoencoder.
    pub(crate) reconstruction: f64,
    /// Weight of the divergence from the standard normal distribution.
    pub(crate) divergence: f64,
}

impl Default for Weighting {
    fn default() -> Self {
        Self {
            classes: None,
            label_smoothing: 0.0,
            reconstruction: 1.0,
            divergence: 1.0,
        }
    }
}

/// A loss with its weights.
pub(crate) struct Criterion {
    pub(crate) loss: &'static dyn Loss,
    pub(crate) weighting: Weighting,
}

impl Criterion {
    /// The mean over the batch, as [`Loss::mean`].
    pub(crate) fn mean(&self, outputs: &Outputs, target: &Tensor) -> Result<Tensor, TchError> {
        self.loss.mean(outputs, target, &self.weighting)
    }
}

/// Every loss, in the order of their declaration.
pub(crate) static LOSSES: &[&dyn Loss] = &[
    &cross_entropy::CrossEntropy,
    &multi_margin::MultiMargin,
    &binary::BceWithLogits,
    &norms::Huber,
    &divergence::KlDiv,
    &norms::L1,
    &norms::Mse,
    &norms::SmoothL1,
    &variational::Bernoulli,
    &variational::ContinuousBernoulli,
    &variational::Gaussian,
];

/// The loss of this name.
///
/// # Errors
/// It is none of ours; the message lists them.
pub(crate) fn parse(name: &str) -> Result<&'static dyn Loss, StageError> {
    LOSSES
        .iter()
        .copied()
        .find(|loss| loss.name().name() == name)
        .ok_or_else(|| {
            let known: Vec<String> = LOSSES
                .iter()
                .map(|loss| format!("`{}`", loss.name().name()))
                .collect();
            StageError::new(format!(
                "unknown loss `{name}`, expected one of {}",
                known.join(", ")
            ))
        })
}

#[cfg(test)]
mod tests;
