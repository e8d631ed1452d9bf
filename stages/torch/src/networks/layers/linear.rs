//! Fully connected layers.

use engine::profile::operations;
use tch::{TchError, Tensor};

use super::{Arithmetic, Builder, Layer, Make, Mode};

/// A fully connected layer to make.
///
/// # Shapes
/// `[…, F]` → `[…, F']`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dense {
    pub(crate) input: i64,
    pub(crate) output: i64,
    pub(crate) bias: bool,
}

impl Dense {
    /// From `input` to `output` features, with a bias.
    pub(crate) fn new(input: i64, output: i64) -> Self {
        Self {
            input,
            output,
            bias: true,
        }
    }
}

impl Make for Dense {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let shape = [self.output, self.input];
        let (weight, bias) =
            builder.affine(&shape, self.input, self.bias.then_some(self.output))?;
        Ok(Box::new(Linear {
            weight,
            bias,
            arithmetic: builder.arithmetic(),
            dense: self,
        }))
    }
}

#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    arithmetic: Arithmetic,
    dense: Dense,
}

impl Layer for Linear {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        let weight = self.arithmetic.round(&self.weight)?;
        let bias = self.arithmetic.round_any(self.bias.as_ref())?;
        let y = self.arithmetic.round(x)?.f_linear(&weight, bias.as_ref())?;
        operations(|| 2.0 * y.numel() as f64 * self.dense.input as f64);
        Ok(y)
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        let Dense {
            input,
            output,
            bias,
        } = self.dense;
        let bias = if bias { "True" } else { "False" };
        vec![format!(
            "Linear(in_features={input}, out_features={output}, bias={bias})"
        )]
    }
}
