//! Layers with the initialisation, the parameter names and the text of PyTorch.
//!
//! A layer is described by a value ([`Conv`], [`Norm`], …) that [`Make`]s it: its tensors go into the
//! network's [`State`](crate::state::State), under the name of the place where it is made, and are drawn
//! from libtorch's default generator, weight before bias, in the order of construction.

mod activation;
mod arithmetic;
mod builder;
mod convolution;
mod dropout;
mod linear;
mod norm;
mod pool;
mod residual;
mod sequential;
mod shape;
mod shown;
mod tape;

use tch::{TchError, Tensor};

pub(crate) use activation::{Activation, PRelu};
pub(crate) use arithmetic::{Arithmetic, widen};
pub(crate) use builder::Builder;
pub(crate) use convolution::Conv;
pub(crate) use dropout::Dropout;
pub(crate) use linear::Dense;
pub(crate) use norm::{LayerNorm, Norm, ONE_NUMBER};
pub(crate) use pool::{CropMaxUnpool, PadMaxPool, Pool};
pub(crate) use residual::Residual;
pub(crate) use sequential::{Sequential, Stack, block, forward_all};
pub(crate) use shape::{Flatten, Unflatten, Upsample, UpsampleTo};
pub(crate) use shown::Shown;
pub(crate) use tape::{Cut, Tape};

/// What a forward pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Batch statistics are used and accumulated, dropout drops.
    Train,
    /// The same, operator by operator as PyTorch does it: where maps are almost constant their statistics
    /// are rounding, which has to be the same.
    TrainPlain,
    /// The same where the pass will be made again: what dropout drops is kept.
    TrainFirst,
    /// The same again: statistics are not accumulated twice, and the same numbers are dropped.
    TrainAgain,
    /// Accumulated statistics are used, dropout does nothing.
    Evaluate,
    /// The same, operator by operator: libtorch takes down what was computed.
    EvaluatePlain,
}

impl Mode {
    /// Whether gradients will be asked for.
    pub(crate) fn is_training(self) -> bool {
        !matches!(self, Self::Evaluate | Self::EvaluatePlain)
    }

    /// Whether every operator is one of libtorch.
    pub(crate) fn is_plain(self) -> bool {
        matches!(self, Self::TrainPlain | Self::EvaluatePlain)
    }
}

/// A function of tensors with tensors of its own.
pub(crate) trait Layer: std::fmt::Debug {
    /// Its value.
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError>;

    /// Its value where nobody else needs `x`: an activation writes over it.
    fn forward_owned(&self, x: Tensor, mode: Mode) -> Result<Tensor, TchError> {
        self.forward(&x, mode)
    }

    /// The value after it and the first of `next`, as many as it does the work of in the same pass over
    /// the map, and how many these are. `is_free` if nobody else needs `x`.
    fn forward_with(
        &self,
        x: Tensor,
        is_free: bool,
        next: &[&dyn Layer],
        mode: Mode,
    ) -> Result<(Tensor, usize), TchError> {
        let _ = next;
        let y = match is_free {
            true => self.forward_owned(x, mode)?,
            false => self.forward(&x, mode)?,
        };
        Ok((y, 0))
    }

    /// What it is for a layer before it.
    fn passing(&self) -> Option<Passing<'_>> {
        None
    }

    /// Whether its value is memory of its own that no backward pass reads.
    fn is_fresh(&self) -> bool {
        false
    }

    /// The layers that it is, one after the other, if it is nothing but these, with their names in the network.
    fn parts(&self) -> Option<Vec<(String, &dyn Layer)>> {
        None
    }

    /// Whether it keeps several maps for the backward pass.
    fn is_block(&self) -> bool {
        false
    }

    /// PyTorch's textual representation, by line.
    fn describe(&self) -> Vec<String>;
}

/// A layer whose work may be done in the pass of the one before it, or for which that one can prepare.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Passing<'l> {
    /// A batch norm.
    Norm(&'l norm::BatchNorm),
    /// max(0, x).
    Rectify,
    /// Pooling by two.
    Pool(&'l PadMaxPool),
}

/// What a layer is made from.
pub(crate) trait Make {
    /// Makes the layer; its tensors are named after the builder's place.
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError>;
}

/// A value for each of `axes` axes.
fn on_each(value: i64, axes: usize) -> Vec<i64> {
    vec![value; axes]
}

/// Values as PyTorch writes a tuple.
fn tuple(values: &[i64]) -> String {
    let values: Vec<String> = values.iter().map(i64::to_string).collect();
    format!("({})", values.join(", "))
}
