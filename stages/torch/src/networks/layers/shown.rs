//! Layers that Python writes in another way.

use tch::{TchError, Tensor};

use super::{Builder, Layer, Make, Mode, Passing};

/// A layer with the text of the Python class that it stands for: `Shown("Flatten()", Flatten)`.
#[derive(Debug)]
pub(crate) struct Shown<L>(pub(crate) &'static str, pub(crate) L);

impl<L: Make> Make for Shown<L> {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        Ok(Box::new(Shown(self.0, self.1.make(builder)?)))
    }
}

impl Layer for Shown<Box<dyn Layer>> {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        self.1.forward(x, mode)
    }

    fn forward_owned(&self, x: Tensor, mode: Mode) -> Result<Tensor, TchError> {
        self.1.forward_owned(x, mode)
    }

    fn passing(&self) -> Option<Passing<'_>> {
        self.1.passing()
    }

    fn is_fresh(&self) -> bool {
        self.1.is_fresh()
    }

    fn describe(&self) -> Vec<String> {
        vec![self.0.to_owned()]
    }
}
