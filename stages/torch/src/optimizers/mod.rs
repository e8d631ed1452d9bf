//! Optimizers: one update rule per file, and the table [`RULES`].
//!
//! The rules are those of `torch.optim` 2.13. Everything an optimizer remembers between steps is in [`Optimizer::tensors`] and
//! [`Memory`], so that a training goes on bit for bit where it stopped.

mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod adamw;
mod asgd;
mod nadam;
mod radam;
mod rmsprop;
mod sgd;

use engine::StageError;
use serde::{Deserialize, Serialize};
use stages::learning::optimizers::OptimizerParams;
use tch::{TchError, Tensor};

use crate::error::During;

/// How the weights follow from gradients.
pub(crate) trait Rule {
    /// Names of the tensors remembered for each parameter; they start as zeros.
    fn slots(&self) -> &'static [&'static str] {
        &[]
    }

    /// Numbers remembered for all parameters together, before the first step.
    fn initial_scalars(&self, learning_rate: f64) -> Vec<f64> {
        let _ = learning_rate;
        Vec::new()
    }

    /// Changes the remembered numbers, once before the updates of a step.
    fn advance(&self, scalars: &mut [f64], step: f64, learning_rate: f64) {
        let _ = (scalars, step, learning_rate);
    }

    /// Whether [`Self::update`] sees to the weight decay itself; else it is added to the gradient.
    fn takes_decay(&self) -> bool {
        false
    }

    /// Updates one parameter in place; the gradient may be overwritten.
    fn update(
        &self,
        step: &Step<'_>,
        parameter: &mut Tensor,
        gradient: &mut Tensor,
        slots: &mut [Tensor],
    ) -> Result<(), TchError>;
}

/// What is the same for all parameters in a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    /// Number of this step, from 1.
    pub(crate) number: f64,
    /// Present learning rate.
    pub(crate) learning_rate: f64,
    /// The rule's remembered numbers, advanced to this step.
    pub(crate) scalars: &'a [f64],
    /// Weight decay λ; 0 for none.
    pub(crate) weight_decay: f64,
}

type Make = fn(&OptimizerParams) -> Box<dyn Rule>;

/// Every rule by its name, in the order of their declaration.
pub(crate) static RULES: &[(&str, Make)] = &[
    ("ASGD", |params| Box::new(asgd::Asgd(params.options()))),
    ("Adadelta", |params| {
        Box::new(adadelta::Adadelta(params.options()))
    }),
    ("Adagrad", |params| {
        Box::new(adagrad::Adagrad(params.options()))
    }),
    ("Adam", |params| Box::new(adam::Adam(params.options()))),
    ("AdamW", |params| Box::new(adamw::AdamW(params.options()))),
    ("Adamax", |params| {
        Box::new(adamax::Adamax(params.options()))
    }),
    ("NAdam", |params| Box::new(nadam::NAdam(params.options()))),
    ("RAdam", |params| Box::new(radam::RAdam(params.options()))),
    ("RMSprop", |params| {
        Box::new(rmsprop::RmsProp(params.options()))
    }),
    ("SGD", |params| Box::new(sgd::Sgd(params.options()))),
];

/// What an optimizer remembers besides tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    steps: u64,
    learning_rate: f64,
    scalars: Vec<f64>,
}

/// A rule at work on the parameters of a network.
pub(crate) struct Optimizer {
    rule: Box<dyn Rule>,
    weight_decay: f64,
    memory: Memory,
    parameters: Vec<Tensor>,
    slots: Vec<Vec<Tensor>>,
}

impl Optimizer {
    /// An optimizer before its first step.
    pub(crate) fn new(
        params: &OptimizerParams,
        parameters: Vec<Tensor>,
    ) -> Result<Self, StageError> {
        let name = params.name.as_str();
        let make = RULES.iter().find(|(known, _)| *known == name);
        let Some((_, make)) = make else {
            let message = format!("optimizer `{name}` is not built in");
            return Err(StageError::internal(message));
        };
        let rule = make(params);
        let (learning_rate, weight_decay) = (params.learning_rate(), params.weight_decay());
        let slots = parameters
            .iter()
            .map(|parameter| {
                rule.slots()
                    .iter()
                    .map(|_| parameter.f_detach()?.f_zeros_like())
                    .collect()
            })
            .collect::<Result<_, TchError>>()
            .during("set up the optimizer")?;
        Ok(Self {
            weight_decay,
            memory: Memory {
                steps: 0,
                learning_rate,
                scalars: rule.initial_scalars(learning_rate),
            },
            rule,
            parameters,
            slots,
        })
    }

    /// Changes the weights by one step; one gradient per parameter, in their order.
    pub(crate) fn step(&mut self, gradients: &mut [Tensor]) -> Result<(), StageError> {
        tch::no_grad(|| self.try_step(gradients)).during("update the weights")
    }

    fn try_step(&mut self, gradients: &mut [Tensor]) -> Result<(), TchError> {
        let memory = &mut self.memory;
        memory.steps += 1;
        let number = memory.steps as f64;
        self.rule
            .advance(&mut memory.scalars, number, memory.learning_rate);
        let step = Step {
            number,
            learning_rate: memory.learning_rate,
            scalars: &memory.scalars,
            weight_decay: self.weight_decay,
        };
        for ((parameter, gradient), slots) in self
            .parameters
            .iter_mut()
            .zip(gradients)
            .zip(&mut self.slots)
        {
            if !self.rule.takes_decay() {
                decay(&step, false, parameter, gradient)?;
            }
            self.rule.update(&step, parameter, gradient, slots)?;
        }
        Ok(())
    }

    /// Changes the learning rate of the following steps.
    pub(crate) fn set_learning_rate(&mut self, learning_rate: f64) {
        self.memory.learning_rate = learning_rate;
    }

    /// What is remembered besides tensors.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The remembered tensors, named `<parameter number>.<slot>`.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.slots.iter().enumerate().flat_map(|(i, slots)| {
            self.rule
                .slots()
                .iter()
                .zip(slots)
                .map(move |(slot, tensor)| (format!("{i}.{slot}"), tensor))
        })
    }

    /// Goes on from a memory; the tensors of [`Self::tensors`] are restored by their handles.
    pub(crate) fn restore(&mut self, memory: Memory) {
        self.memory = memory;
    }
}

/// Shrinks the weights themselves, or adds their share to the gradient.
fn decay(
    step: &Step<'_>,
    decays_weights: bool,
    parameter: &mut Tensor,
    gradient: &mut Tensor,
) -> Result<(), TchError> {
    if step.weight_decay <= 0.0 {
        return Ok(());
    }
    match decays_weights {
        true => scale(parameter, 1.0 - step.learning_rate * step.weight_decay),
        false => add_scaled(gradient, parameter, step.weight_decay),
    }
}

/// `target += factor · source`, in one pass.
fn add_scaled(target: &mut Tensor, source: &Tensor, factor: f64) -> Result<(), TchError> {
    let factor = Tensor::f_from_slice(&[factor as f32])?
        .f_squeeze()?
        .f_to_device(target.device())?;
    drop(target.f_addcmul_(source, &factor)?);
    Ok(())
}

/// `target *= factor`.
fn scale(target: &mut Tensor, factor: f64) -> Result<(), TchError> {
    drop(target.f_multiply_scalar_(factor)?);
    Ok(())
}

/// `average = decay · average + (1 − decay) · value`.
fn average(average: &mut Tensor, value: &Tensor, decay: f64) -> Result<(), TchError> {
    drop(average.f_lerp_(value, 1.0 - decay)?);
    Ok(())
}

/// `average = decay · average + (1 − decay) · value²`.
fn average_square(average: &mut Tensor, value: &Tensor, decay: f64) -> Result<(), TchError> {
    scale(average, decay)?;
    add_scaled(average, &value.f_square()?, 1.0 - decay)
}

/// `√(tensor / divisor) + epsilon`, in a new tensor.
fn root(tensor: &Tensor, divisor: f64, epsilon: f64) -> Result<Tensor, TchError> {
    let mut root = tensor.f_sqrt()?;
    scale(&mut root, 1.0 / divisor.sqrt())?;
    drop(root.f_add_scalar_(epsilon)?);
    Ok(root)
}

/// `target += factor · numerator / denominator`; overwrites the denominator.
fn add_quotient(
    target: &mut Tensor,
    numerator: &Tensor,
    mut denominator: Tensor,
    factor: f64,
) -> Result<(), TchError> {
    scale(&mut denominator, 1.0 / factor)?;
    drop(target.f_addcdiv_(numerator, &denominator)?);
    Ok(())
}

#[cfg(test)]
mod tests;
