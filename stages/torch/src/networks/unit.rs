//! A convolution and what follows it, as MONAI names them.

use stages::learning::networks::configurable::AnyAct;
use stages::learning::networks::unet::Act as Declared;
use tch::TchError;

use super::layers::{Activation, Builder, Conv, Dropout, Layer, Make, Norm, PRelu, Sequential};

/// `conv`, then in `adn` where there are any: `N` (norm), `D` (dropout), `A` (activation).
///
/// # Source
/// `monai.networks.blocks.Convolution` of MONAI 1.5 with `adn_ordering="NDA"`.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    conv: Conv,
    norm: Option<Norm>,
    dropout: Option<f64>,
    act: Option<Act>,
}

/// An activation, perhaps with a slope that is fitted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Fixed(Activation),
    PRelu,
}

impl From<Activation> for Act {
    fn from(activation: Activation) -> Self {
        Self::Fixed(activation)
    }
}

impl From<Declared> for Act {
    fn from(act: Declared) -> Self {
        match act {
            Declared::Prelu => Self::PRelu,
            Declared::Relu => Activation::Relu.into(),
            Declared::LeakyRelu => Activation::LeakyRelu(0.01).into(),
            Declared::Elu => Activation::Elu.into(),
            Declared::Gelu => Activation::Gelu.into(),
        }
    }
}

impl Act {
    /// The activation, if there is one.
    pub(super) fn of(act: AnyAct) -> Option<Self> {
        let fixed = match act {
            AnyAct::None => return None,
            AnyAct::Prelu => return Some(Self::PRelu),
            AnyAct::Relu => Activation::Relu,
            AnyAct::Relu6 => Activation::Relu6,
            AnyAct::LeakyRelu => Activation::LeakyRelu(0.01),
            AnyAct::Elu => Activation::Elu,
            AnyAct::Celu => Activation::Celu,
            AnyAct::Selu => Activation::Selu,
            AnyAct::Gelu => Activation::Gelu,
            AnyAct::Mish => Activation::Mish,
            AnyAct::Tanh => Activation::Tanh,
            AnyAct::Sigmoid => Activation::Sigmoid,
            AnyAct::Softmax => Activation::Softmax,
            AnyAct::LogSoftmax => Activation::LogSoftmax,
        };
        Some(Self::Fixed(fixed))
    }
}

impl Unit {
    /// A convolution by itself.
    pub(super) fn new(conv: Conv) -> Self {
        Self {
            conv,
            norm: None,
            dropout: None,
            act: None,
        }
    }

    pub(super) fn stride(mut self, stride: i64) -> Self {
        self.conv = self.conv.stride(stride);
        self
    }

    pub(super) fn norm(mut self, norm: Norm) -> Self {
        self.norm = Some(norm);
        self
    }

    pub(super) fn dropout(mut self, dropout: f64) -> Self {
        self.dropout = Some(dropout);
        self
    }

    pub(super) fn act(mut self, act: impl Into<Act>) -> Self {
        self.act = Some(act.into());
        self
    }
}

impl Make for Unit {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let conv = builder.layer("conv", self.conv)?;
        let rest = Sequential::make_in(builder, "adn", |s| {
            if let Some(norm) = self.norm {
                s.add_as("N", norm)?;
            }
            if let Some(dropout) = self.dropout {
                s.add_as("D", Dropout(dropout))?;
            }
            match self.act {
                None => Ok(()),
                Some(Act::Fixed(activation)) => s.add_as("A", activation),
                Some(Act::PRelu) => s.add_as("A", PRelu),
            }
        })?;
        let both = [("conv", conv), ("adn", Box::new(rest) as Box<dyn Layer>)];
        Ok(Box::new(Sequential::named(builder, both)))
    }
}
