//! Where the tensors of layers come from.

use tch::{Device, Kind, TchError, Tensor};

use super::{Arithmetic, Layer, Make, Tape};
use crate::session::{Session, Start};
use crate::state::{Role, State};

/// Collects the tensors of the layers that are made.
pub(crate) struct Builder<'s> {
    state: State,
    place: Vec<String>,
    session: &'s Session,
}

impl<'s> Builder<'s> {
    /// A network without layers, drawing from the session's generator.
    pub(crate) fn new(session: &'s Session) -> Self {
        Self {
            state: State::default(),
            place: Vec::new(),
            session,
        }
    }

    /// The numbers that its layers compute with.
    pub(super) fn arithmetic(&self) -> Arithmetic {
        self.session.arithmetic()
    }

    /// Where its ReLUs leave their cuts.
    pub(super) fn tape(&self) -> Tape {
        self.session.tape().clone()
    }

    /// The tensors of every layer made.
    pub(crate) fn finish(self) -> State {
        self.state
    }

    /// Number of tensors so far.
    pub(crate) fn length(&self) -> usize {
        self.state.entries().len()
    }

    /// Handles of the parameters so far.
    pub(crate) fn parameters(&self) -> Vec<Tensor> {
        self.state.parameters()
    }

    /// Makes a layer under a name.
    pub(crate) fn layer(
        &mut self,
        name: &str,
        layer: impl Make,
    ) -> Result<Box<dyn Layer>, TchError> {
        self.within(name, |builder| layer.make(builder))
    }

    /// Makes a layer that is in the state dict and in no forward pass.
    pub(crate) fn idle(&mut self, name: &str, layer: impl Make) -> Result<(), TchError> {
        let before = self.length();
        drop(self.layer(name, layer)?);
        self.state.set_idle(before);
        Ok(())
    }

    /// Makes several things under a name.
    pub(crate) fn within<T>(
        &mut self,
        name: &str,
        make: impl FnOnce(&mut Self) -> Result<T, TchError>,
    ) -> Result<T, TchError> {
        self.place.push(name.to_owned());
        let made = make(self);
        self.place.pop();
        made
    }

    /// A tensor that is fitted, with the given initial values.
    pub(crate) fn parameter(&mut self, name: &str, tensor: Tensor) -> Tensor {
        let name = self.full(name);
        self.state.add(name, Role::Parameter, tensor)
    }

    /// A tensor that forward passes update.
    pub(crate) fn buffer(&mut self, name: &str, tensor: Tensor) -> Tensor {
        let name = self.full(name);
        self.state.add(name, Role::Buffer, tensor)
    }

    /// A weight and, where wanted, its bias, uniform as in PyTorch's convolutions and linear layers.
    pub(super) fn affine(
        &mut self,
        shape: &[i64],
        fan_in: i64,
        bias: Option<i64>,
    ) -> Result<(Tensor, Option<Tensor>), TchError> {
        let uniform = |shape: &[i64], bound| match self.session.start() {
            Start::Drawn => uniform(shape, bound),
            Start::Replaced => Tensor::f_zeros(shape, (Kind::Float, Device::Cpu)),
        };
        let weight = uniform(shape, weight_bound(fan_in))?;
        let weight = self.parameter("weight", weight);
        let bias = bias
            .map(|length| uniform(&[length], 1.0 / (fan_in as f64).sqrt()))
            .transpose()?
            .map(|bias| self.parameter("bias", bias));
        Ok((weight, bias))
    }

    /// What names begin with at its place.
    pub(super) fn place(&self) -> String {
        let parts = self.place.iter().map(|part| format!("{part}."));
        parts.collect()
    }

    fn full(&self, name: &str) -> String {
        let mut parts = self.place.clone();
        parts.push(name.to_owned());
        parts.join(".")
    }
}

fn uniform(shape: &[i64], bound: f64) -> Result<Tensor, TchError> {
    let mut tensor = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
    drop(tensor.f_uniform_(-bound, bound)?);
    Ok(tensor)
}

/// The bound of PyTorch's `kaiming_uniform_(a=√5)`, by its own steps so that rounding is the same.
fn weight_bound(fan_in: i64) -> f64 {
    let a = 5.0_f64.sqrt();
    let gain = (2.0 / (1.0 + a * a)).sqrt();
    let deviation = gain / (fan_in as f64).sqrt();
    3.0_f64.sqrt() * deviation
}
