//! Layers beside a shortcut.

use tch::{TchError, Tensor};

use super::{Layer, Mode, Sequential, block};

/// The sum of what layers give and of what a shortcut gives, or of the input itself.
#[derive(Debug)]
pub(crate) struct Residual {
    pub(crate) branch: Sequential,
    pub(crate) shortcut: Option<Box<dyn Layer>>,
    /// What follows, where there is something.
    pub(crate) activation: Option<Box<dyn Layer>>,
}

impl Layer for Residual {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let y = self.branch.forward(x, mode)?;
        let sum = match &self.shortcut {
            None => y.f_add(x)?,
            Some(shortcut) => y.f_add(&shortcut.forward(x, mode)?)?,
        };
        match &self.activation {
            None => Ok(sum),
            Some(activation) => activation.forward(&sum, mode),
        }
    }

    fn is_block(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        let mut parts = vec![("branch", self.branch.describe())];
        let shortcut = self.shortcut.iter();
        parts.extend(shortcut.map(|layer| ("shortcut", layer.describe())));
        block("Residual", parts.into_iter())
    }
}
