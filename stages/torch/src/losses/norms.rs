//! Losses that measure a distance between numbers.

use stages::learning::names::LossName;
use tch::{Reduction, TchError, Tensor};

use super::{Loss, Weighting};
use crate::networks::Outputs;

/// A loss that is a mean over numbers.
macro_rules! distance {
    ($(#[$doc:meta])* $type:ident, $name:ident, $compute:expr) => {
        $(#[$doc])*
        pub(super) struct $type;

        impl Loss for $type {
            fn name(&self) -> LossName {
                LossName::$name
            }

            fn mean(
                &self,
                outputs: &Outputs,
                target: &Tensor,
                _: &Weighting,
            ) -> Result<Tensor, TchError> {
                let compute: fn(&Tensor, &Tensor) -> Result<Tensor, TchError> = $compute;
                compute(&outputs.prediction, target)
            }
        }
    };
}

distance! {
    /// The mean of |ŷ − y|. PyTorch 2.13 `torch.nn.L1Loss`.
    L1, L1, |prediction, target| prediction.f_l1_loss(target, Reduction::Mean)
}

distance! {
    /// The mean of (ŷ − y)². PyTorch 2.13 `torch.nn.MSELoss`.
    Mse, Mse, |prediction, target| prediction.f_mse_loss(target, Reduction::Mean)
}

distance! {
    /// ½(ŷ − y)² below an error of 1, |ŷ − y| − ½ above; their mean. PyTorch 2.13 `torch.nn.HuberLoss`
    /// with δ = 1.
    Huber, Huber, |prediction, target| prediction.f_huber_loss(target, Reduction::Mean, 1.0)
}

distance! {
    /// As [`Huber`] with δ = 1. PyTorch 2.13 `torch.nn.SmoothL1Loss` with β = 1.
    SmoothL1, SmoothL1, |prediction, target| prediction.f_smooth_l1_loss(target, Reduction::Mean, 1.0)
}
