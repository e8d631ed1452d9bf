//! Layers without arithmetic.

use maps::files::python_repr;
use tch::{TchError, Tensor};

use super::{Builder, Layer, Make, Mode};

/// All but the batch axis as one: `[B, …]` → `[B, F]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flatten;

impl Make for Flatten {
    fn make(self, _: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        Ok(Box::new(self))
    }
}

impl Layer for Flatten {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        x.f_flatten(1, -1)
    }

    fn describe(&self) -> Vec<String> {
        vec!["Flatten(start_dim=1, end_dim=-1)".to_owned()]
    }
}

/// In training each number is dropped with this probability, and the others are scaled to make up for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dropout(pub(crate) f64);

impl Make for Dropout {
    fn make(self, _: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        Ok(Box::new(self))
    }
}

impl Layer for Dropout {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        x.f_dropout(self.0, mode == Mode::Train)
    }

    fn describe(&self) -> Vec<String> {
        let probability = python_repr(self.0);
        vec![format!("Dropout(p={probability}, inplace=False)")]
    }
}
