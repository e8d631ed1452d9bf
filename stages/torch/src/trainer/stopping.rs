//! When a training ends early.

use serde::{Deserialize, Serialize};

use crate::exact::Exact;

/// Ends a training whose validation loss no longer improves.
///
/// # Source
/// `EarlyStopping` of ClinicaDL 1.6.1 in mode `min`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EarlyStopping {
    patience: u32,
    tolerance: Exact,
    best: Option<Exact>,
    bad_epochs: u32,
}

impl EarlyStopping {
    /// A patience of 0 never stops.
    pub(crate) fn new(patience: u32, tolerance: f64) -> Self {
        Self {
            patience,
            tolerance: Exact(tolerance),
            best: None,
            bad_epochs: 0,
        }
    }

    /// Notes the validation loss of an epoch; whether the training should end.
    ///
    /// A loss that is no number ends it. An improvement is a loss below `best · (1 − tolerance)`.
    pub(crate) fn should_stop(&mut self, loss: f64) -> bool {
        if self.patience == 0 {
            return false;
        }
        if loss.is_nan() {
            return true;
        }
        match self.best {
            Some(Exact(best)) if loss >= best - best * self.tolerance.0 => self.bad_epochs += 1,
            _ => {
                self.best = Some(Exact(loss));
                self.bad_epochs = 0;
            }
        }
        self.bad_epochs >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The epoch, from 1, after which a training with these losses stops.
    fn stops_after(patience: u32, tolerance: f64, losses: &[f64]) -> Option<usize> {
        let mut stopping = EarlyStopping::new(patience, tolerance);
        losses
            .iter()
            .position(|&loss| stopping.should_stop(loss))
            .map(|i| i + 1)
    }

    #[test]
    fn trainings_stop_after_as_many_bad_epochs_as_patience_says() {
        let nan = f64::NAN;
        for (patience, tolerance, losses, expected) in [
            (0, 0.0, vec![1.0, 2.0, nan, 4.0], None),
            (1, 0.0, vec![1.0, 0.9, 0.9], Some(3)),
            (2, 0.0, vec![1.0, 1.1, 0.9, 1.0, 0.95], Some(5)),
            (2, 0.0, vec![1.0, 1.1, 0.9, 1.0, 0.89], None),
            (2, 0.1, vec![1.0, 0.95, 0.91], Some(3)),
            (2, 0.1, vec![1.0, 0.95, 0.89, 0.85, 0.81], Some(5)),
            (5, 0.0, vec![1.0, nan], Some(2)),
            (1, 0.0, vec![nan], Some(1)),
        ] {
            assert_eq!(
                stops_after(patience, tolerance, &losses),
                expected,
                "{losses:?}"
            );
        }
    }
}
