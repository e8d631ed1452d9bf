//! Losses: one file each, and the table [`LOSSES`].

mod cross_entropy;
mod multi_margin;

use engine::StageError;
use stages::learning::names::LossName;
use tch::{TchError, Tensor};

/// A loss of classification.
pub(crate) trait Loss: Sync {
    /// Name in manifests and in `maps.json`.
    fn name(&self) -> LossName;

    /// The mean over the batch.
    ///
    /// # Shapes
    /// `logits` `[B, K]`, `targets` `[B]` of int64 codes → scalar.
    fn mean(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor, TchError>;
}

/// Every loss, sorted by name.
pub(crate) static LOSSES: &[&dyn Loss] =
    &[&cross_entropy::CrossEntropy, &multi_margin::MultiMargin];

/// The loss of this name; `null` in a `maps.json` means the default of classification.
///
/// # Errors
/// It is none of ours; the message lists them.
pub(crate) fn parse(name: Option<&str>) -> Result<&'static dyn Loss, StageError> {
    let name = name.unwrap_or(LossName::CrossEntropy.name());
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
