//! Initial weights as PyTorch draws them.
//!
//! tch has defaults of its own, so every bound is explicit here. The arithmetic follows PyTorch's
//! `kaiming_uniform_` with `a = √5` step by step: the same bounds to the last bit, hence the same
//! weights from the same seed.
//!
//! # Source
//! PyTorch 2.13, `torch.nn.modules.conv._ConvNd.reset_parameters` and `Linear.reset_parameters`;
//! He et al. 2015, doi:10.1109/ICCV.2015.123.

use tch::{Device, Kind, Tensor};

/// Weight and bias of a convolution or linear layer, the weight drawn first.
///
/// # Shapes
/// Weight `shape`, bias `[shape[0]]`; the fan-in is the product of all other axes.
pub(super) fn weight_and_bias(shape: &[i64], device: Device) -> (Tensor, Tensor) {
    let fan_in = shape[1..].iter().product::<i64>() as f64;
    let a = 5_f64.sqrt();
    let gain = (2.0 / (1.0 + a.powi(2))).sqrt();
    let bound = 3_f64.sqrt() * (gain / fan_in.sqrt());
    let weight = uniform(shape, bound);
    let bias = uniform(&shape[..1], 1.0 / fan_in.sqrt());
    (weight.to_device(device), bias.to_device(device))
}

/// Drawn on the CPU whatever the device, so that a seed means the same weights everywhere.
fn uniform(shape: &[i64], bound: f64) -> Tensor {
    tch::no_grad(|| Tensor::empty(shape, (Kind::Float, Device::Cpu)).uniform_(-bound, bound))
}
