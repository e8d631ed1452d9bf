//! What a manifest can say of optimizers: their names and options, with the defaults of PyTorch 2.13
//! (`torch.optim`) apart from learning rate and weight decay, which are those of ClinicaDL 1.6.1.

use engine::ParamIssue;

use super::options::{Kind, Named, NamedOptions, Options, above_zero, within};

/// Declares the options of an optimizer: those that all have, and its own.
macro_rules! optimizer {
    (
        $(#[$meta:meta])*
        $type:ident {
            $( $(#[$field_meta:meta])* $field:ident : $kind:ty = $default:expr, in $least:literal ..= $most:literal ),* $(,)?
        }
    ) => {
        engine::params! {
            $(#[$meta])*
            pub struct $type {
                /// Step size, above 0. Default 1e-4.
                #[schemars(range(min = 0.0))]
                semantic learning_rate: f64 = 1e-4,
                /// Pull of the weights towards zero, at least 0. Default 1e-4.
                #[schemars(range(min = 0.0))]
                semantic weight_decay: f64 = 1e-4,
                $( $(#[$field_meta])* semantic $field: $kind = $default, )*
            }
        }

        impl NamedOptions for $type {
            fn problems(&self) -> Vec<ParamIssue> {
                let mut problems = above_zero(&[("learning_rate", self.learning_rate)]);
                problems.extend(within(&[
                    ("weight_decay", self.weight_decay, 0.0, f64::MAX),
                    $( (stringify!($field), self.$field, $least, $most) ),*
                ]));
                problems
            }
        }
    };
}

optimizer! {
    /// Options of the average of the weights over the steps of a stochastic gradient descent.
    Asgd {
        /// Decay of the weights per step, 0 to 1. Default 1e-4.
        lambd: f64 = 1e-4, in 0.0..=1.0,
        /// Power of the decay of the learning rate, 0 to 10. Default 0.75.
        alpha: f64 = 0.75, in 0.0..=10.0,
        /// Step from which weights are averaged, 0 to 1e12. Default 1e6.
        t0: f64 = 1e6, in 0.0..=1e12,
    }
}

optimizer! {
    /// Options of adaptive steps without a global learning rate.
    Adadelta {
        /// Memory of squared gradients, 0 to 1. Default 0.9.
        rho: f64 = 0.9, in 0.0..=1.0,
        /// Added to denominators, 0 to 1. Default 1e-6.
        eps: f64 = 1e-6, in 0.0..=1.0,
    }
}

optimizer! {
    /// Options of steps that accumulated squared gradients shorten.
    Adagrad {
        /// Decay of the learning rate per step, 0 to 1. Default 0.
        lr_decay: f64 = 0.0, in 0.0..=1.0,
        /// Added to denominators, 0 to 1. Default 1e-10.
        eps: f64 = 1e-10, in 0.0..=1.0,
    }
}

optimizer! {
    /// Options of Adam and of what is made like it.
    Adam {
        /// Memory of gradients, 0 to 0.99999. Default 0.9.
        beta1: f64 = 0.9, in 0.0..=0.99999,
        /// Memory of squared gradients, 0 to 0.999999. Default 0.999.
        beta2: f64 = 0.999, in 0.0..=0.999999,
        /// Added to denominators, 0 to 1. Default 1e-8.
        eps: f64 = 1e-8, in 0.0..=1.0,
    }
}

optimizer! {
    /// Options of Adam with Nesterov momentum.
    NAdam {
        /// Memory of gradients, 0 to 0.99999. Default 0.9.
        beta1: f64 = 0.9, in 0.0..=0.99999,
        /// Memory of squared gradients, 0 to 0.999999. Default 0.999.
        beta2: f64 = 0.999, in 0.0..=0.999999,
        /// Added to denominators, 0 to 1. Default 1e-8.
        eps: f64 = 1e-8, in 0.0..=1.0,
        /// How fast momentum grows, 0 to 1. Default 4e-3.
        momentum_decay: f64 = 4e-3, in 0.0..=1.0,
    }
}

optimizer! {
    /// Options of gradients divided by their running root mean square.
    RmsProp {
        /// Memory of squared gradients, 0 to 1. Default 0.99.
        alpha: f64 = 0.99, in 0.0..=1.0,
        /// Added to denominators, 0 to 1. Default 1e-8.
        eps: f64 = 1e-8, in 0.0..=1.0,
        /// Memory of steps, 0 to 0.99999. Default 0.
        momentum: f64 = 0.0, in 0.0..=0.99999,
    }
}

optimizer! {
    /// Options of stochastic gradient descent.
    Sgd {
        /// Memory of gradients, 0 to 0.99999. Default 0.
        momentum: f64 = 0.0, in 0.0..=0.99999,
    }
}

/// The update rule: an optimizer by its name, and its options.
pub type OptimizerParams = Named<Optimizers>;

/// The kind of things in [`OPTIMIZERS`].
pub struct Optimizers;

/// Every optimizer, as PyTorch names them.
pub static OPTIMIZERS: &[(&str, Options)] = &[
    ("ASGD", Options::of::<Asgd>()),
    ("Adadelta", Options::of::<Adadelta>()),
    ("Adagrad", Options::of::<Adagrad>()),
    ("Adam", Options::of::<Adam>()),
    ("AdamW", Options::of::<Adam>()),
    ("Adamax", Options::of::<Adam>()),
    ("NAdam", Options::of::<NAdam>()),
    ("RAdam", Options::of::<Adam>()),
    ("RMSprop", Options::of::<RmsProp>()),
    ("SGD", Options::of::<Sgd>()),
];

impl Kind for Optimizers {
    const WHAT: &'static str = "optimizer";
    const DEFAULT: &'static str = "Adam";

    fn all() -> Vec<(&'static str, &'static Options)> {
        OPTIMIZERS
            .iter()
            .map(|(name, options)| (*name, options))
            .collect()
    }
}

impl OptimizerParams {
    /// Step size.
    pub fn learning_rate(&self) -> f64 {
        self.number("learning_rate")
    }

    /// Pull of the weights towards zero.
    pub fn weight_decay(&self) -> f64 {
        self.number("weight_decay")
    }
}
