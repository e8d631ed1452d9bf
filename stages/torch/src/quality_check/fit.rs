//! Networks made of the tensors of a state dict, each of which must fit.

use std::collections::BTreeSet;

use engine::StageError;
use maps::weights::{Array, Dtype, Weights};
use stages::listed::listed;
use tch::{Device, TchError, Tensor};

use crate::error::During;
use crate::weights::to_tensor;

/// Names listed of one kind of problem before the rest is only counted.
const LISTED: usize = 8;

/// Takes tensors out of a state dict by name and notes what does not fit.
pub(super) struct Fit<'w> {
    weights: &'w Weights,
    device: Device,
    taken: BTreeSet<String>,
    missing: Vec<String>,
    wrong: Vec<String>,
}

impl<'w> Fit<'w> {
    pub(super) fn new(weights: &'w Weights, device: Device) -> Self {
        Self {
            weights,
            device,
            taken: BTreeSet::new(),
            missing: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// What does not fit the network that was taken, in one sentence; `None` if everything does.
    pub(super) fn problem(&self) -> Option<String> {
        let is_unknown = |name: &&String| !self.taken.contains(*name);
        let unknown = self.weights.keys().filter(is_unknown);
        let unknown: Vec<String> = unknown.map(|name| format!("`{name}`")).collect();
        let parts: Vec<String> = [
            ("missing: ", &self.missing),
            ("not expected: ", &unknown),
            ("of another shape or type: ", &self.wrong),
        ]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}{}", listed(names, LISTED, ", ")))
        .collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// A convolution, with or without bias.
    pub(super) fn convolution(
        &mut self,
        name: &str,
        channels: (usize, usize),
        geometry: Geometry,
        has_bias: bool,
    ) -> Result<Convolution, StageError> {
        let (input, output) = channels;
        let kernel = geometry.kernel;
        let shape = [output, input, kernel, kernel];
        let weight = self.take(&format!("{name}.weight"), &shape, Dtype::F32)?;
        let bias = if has_bias {
            Some(self.take(&format!("{name}.bias"), &[output], Dtype::F32)?)
        } else {
            None
        };
        Ok(Convolution {
            weight,
            bias,
            geometry,
        })
    }

    /// A batch norm with its running statistics.
    pub(super) fn batch_norm(&mut self, name: &str, size: usize) -> Result<BatchNorm, StageError> {
        let mut take = |field: &str| self.take(&format!("{name}.{field}"), &[size], Dtype::F32);
        let norm = BatchNorm {
            weight: take("weight")?,
            bias: take("bias")?,
            mean: take("running_mean")?,
            variance: take("running_var")?,
        };
        drop(self.take(&format!("{name}.num_batches_tracked"), &[], Dtype::I64)?);
        Ok(norm)
    }

    /// A fully connected layer that is in the state dict and has no part in the output.
    pub(super) fn unused_linear(
        &mut self,
        name: &str,
        input: usize,
        output: usize,
    ) -> Result<(), StageError> {
        drop(self.take(&format!("{name}.weight"), &[output, input], Dtype::F32)?);
        drop(self.take(&format!("{name}.bias"), &[output], Dtype::F32)?);
        Ok(())
    }

    fn take(&mut self, name: &str, shape: &[usize], dtype: Dtype) -> Result<Tensor, StageError> {
        self.taken.insert(name.to_owned());
        let Some(array) = self.weights.get(name) else {
            self.missing.push(format!("`{name}`"));
            return Ok(Tensor::new());
        };
        if let Some(problem) = misfit(array, shape, dtype) {
            self.wrong.push(format!("`{name}` {problem}"));
            return Ok(Tensor::new());
        }
        to_tensor(array)?
            .f_to_device(self.device)
            .during("load weights")
    }
}

fn misfit(array: &Array, shape: &[usize], dtype: Dtype) -> Option<String> {
    if array.shape() != shape {
        return Some(format!("has shape {:?}, expected {shape:?}", array.shape()));
    }
    (array.dtype() != dtype).then(|| {
        let (got, expected) = (array.dtype().name(), dtype.name());
        format!("has type {got}, expected {expected}")
    })
}

/// Kernel, stride and padding, equal on both axes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    kernel: usize,
    stride: i64,
    padding: i64,
}

impl Geometry {
    /// A kernel that moves by one pixel and keeps within the map.
    pub(super) fn of_kernel(kernel: usize) -> Self {
        Self {
            kernel,
            stride: 1,
            padding: 0,
        }
    }

    pub(super) fn stride(self, stride: i64) -> Self {
        Self { stride, ..self }
    }

    pub(super) fn padding(self, padding: i64) -> Self {
        Self { padding, ..self }
    }
}

/// A convolution of maps `[B, C, X, Y]`.
#[derive(Debug)]
pub(super) struct Convolution {
    weight: Tensor,
    bias: Option<Tensor>,
    geometry: Geometry,
}

impl Convolution {
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let on_both = |value: i64| [value; 2];
        x.f_convolution(
            &self.weight,
            self.bias.as_ref(),
            on_both(self.geometry.stride),
            on_both(self.geometry.padding),
            on_both(1),
            false,
            on_both(0),
            1,
        )
    }
}

/// Batch normalisation by running statistics: eps 1e-5.
#[derive(Debug)]
pub(super) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
}

impl BatchNorm {
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.mean),
            Some(&self.variance),
            false,
            0.1,
            1e-5,
            true,
        )
    }
}
