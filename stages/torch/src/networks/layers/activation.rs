//! Functions of single numbers.

use maps::files::python_repr;
use tch::{TchError, Tensor};

use super::{Builder, Layer, Make, Mode};

/// An activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Activation {
    /// max(0, x).
    Relu,
    /// x above 0, a slope times x below.
    LeakyRelu(f64),
    /// x above 0, eˣ − 1 below.
    Elu,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
}

impl Make for Activation {
    fn make(self, _: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        Ok(Box::new(self))
    }
}

impl Layer for Activation {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        match self {
            Self::Relu => x.f_relu(),
            Self::LeakyRelu(slope) if slope.to_bits() == 0.01_f64.to_bits() => x.f_leaky_relu(),
            // tch's function knows no other slope.
            Self::LeakyRelu(slope) => x.f_where_self(&x.f_gt(0.0)?, &x.f_mul_scalar(*slope)?),
            Self::Elu => x.f_elu(),
            Self::Tanh => x.f_tanh(),
            Self::Sigmoid => x.f_sigmoid(),
        }
    }

    fn forward_owned(&self, mut x: Tensor, mode: Mode) -> Result<Tensor, TchError> {
        match self {
            Self::Relu => {
                drop(x.f_relu_()?);
                Ok(x)
            }
            _ => self.forward(&x, mode),
        }
    }

    fn describe(&self) -> Vec<String> {
        let text = match self {
            Self::Relu => "ReLU()".to_owned(),
            Self::LeakyRelu(slope) => {
                format!("LeakyReLU(negative_slope={})", python_repr(*slope))
            }
            Self::Elu => "ELU(alpha=1.0)".to_owned(),
            Self::Tanh => "Tanh()".to_owned(),
            Self::Sigmoid => "Sigmoid()".to_owned(),
        };
        vec![text]
    }
}
