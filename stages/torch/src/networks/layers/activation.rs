//! Functions of single numbers.

use maps::files::python_repr;
use tch::{Device, Kind, TchError, Tensor};

use super::{Builder, Layer, Make, Mode, Passing, Tape};

/// An activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Activation {
    /// max(0, x).
    Relu,
    /// x above 0, a slope times x below.
    LeakyRelu(f64),
    /// max(0, x), at most 6.
    Relu6,
    /// x above 0, eˣ − 1 below.
    Elu,
    /// The same, by another name.
    Celu,
    /// An `Elu` scaled so that means and variances stay.
    Selu,
    /// x Φ(x), with the standard normal distribution.
    Gelu,
    /// x tanh(ln(1 + eˣ)).
    Mish,
    /// Parts of the whole over channels.
    Softmax,
    /// Their logarithms.
    LogSoftmax,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
}

impl Make for Activation {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        match self {
            Self::Relu => Ok(Box::new(Rectifier(builder.tape()))),
            other => Ok(Box::new(other)),
        }
    }
}

/// max(0, x), which can be told apart in a backward pass.
#[derive(Debug)]
struct Rectifier(Tape);

impl Layer for Rectifier {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        self.0.relu(x)
    }

    fn forward_owned(&self, x: Tensor, _: Mode) -> Result<Tensor, TchError> {
        self.0.relu_owned(x)
    }

    /// A pass that does its work leaves nothing to tell apart.
    fn passing(&self) -> Option<Passing<'_>> {
        (!self.0.is_recording()).then_some(Passing::Rectify)
    }

    fn describe(&self) -> Vec<String> {
        Activation::Relu.describe()
    }
}

impl Layer for Activation {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        match self {
            Self::Relu => x.f_relu(),
            Self::LeakyRelu(slope) if slope.to_bits() == 0.01_f64.to_bits() => x.f_leaky_relu(),
            // tch's function knows no other slope.
            Self::LeakyRelu(slope) => x.f_where_self(&x.f_gt(0.0)?, &x.f_mul_scalar(*slope)?),
            Self::Relu6 => x.f_relu6(),
            Self::Elu => x.f_elu(),
            Self::Celu => x.f_celu(),
            Self::Selu => x.f_selu(),
            Self::Mish => x.f_mish(),
            Self::Softmax => x.f_softmax(1, None::<Kind>),
            Self::LogSoftmax => x.f_log_softmax(1, None::<Kind>),
            Self::Gelu => x.f_gelu("none"),
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
            Self::Relu6 => "ReLU6()".to_owned(),
            Self::Elu => "ELU(alpha=1.0)".to_owned(),
            Self::Celu => "CELU(alpha=1.0)".to_owned(),
            Self::Selu => "SELU()".to_owned(),
            Self::Mish => "Mish()".to_owned(),
            Self::Softmax => "Softmax(dim=None)".to_owned(),
            Self::LogSoftmax => "LogSoftmax(dim=None)".to_owned(),
            Self::Gelu => "GELU(approximate='none')".to_owned(),
            Self::Tanh => "Tanh()".to_owned(),
            Self::Sigmoid => "Sigmoid()".to_owned(),
        };
        vec![text]
    }
}

/// x above 0, a fitted slope times x below; it starts at 1/4.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PRelu;

impl Make for PRelu {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let slope = Tensor::f_full([1], 0.25, (Kind::Float, Device::Cpu))?;
        Ok(Box::new(FittedSlope(builder.parameter("weight", slope))))
    }
}

#[derive(Debug)]
struct FittedSlope(Tensor);

impl Layer for FittedSlope {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        x.f_prelu(&self.0.f_to_kind(x.kind())?)
    }

    fn describe(&self) -> Vec<String> {
        vec!["PReLU(num_parameters=1)".to_owned()]
    }
}
