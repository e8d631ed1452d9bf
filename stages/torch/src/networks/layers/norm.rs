//! Normalisation of feature maps.

use tch::{Device, Kind, TchError, Tensor};

use super::{Builder, Layer, Make, Mode, widen};

const EPS: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;
/// Why a batch cannot be normalised; errors with it are told as those of the parameters.
pub(crate) const ONE_NUMBER: &str = "a batch norm has one number per channel to normalise over";

/// A normalisation to make, with PyTorch's defaults: eps 1e-5, momentum 0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Norm {
    /// Over batch and voxels, with weight, bias and running statistics.
    Batch { axes: usize, channels: i64 },
    /// Over voxels, without tensors.
    Instance { axes: usize, channels: i64 },
    /// Over voxels and channels, so many groups of channels for themselves, with weight and bias.
    Group { groups: i64, channels: i64 },
}

impl Make for Norm {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        match self {
            Self::Batch { axes, channels } => {
                let float = (Kind::Float, Device::Cpu);
                let one = || Tensor::f_ones([channels], float);
                let zero = || Tensor::f_zeros([channels], float);
                let count = Tensor::f_zeros(&[] as &[i64], (Kind::Int64, Device::Cpu))?;
                Ok(Box::new(BatchNorm {
                    weight: builder.parameter("weight", one()?),
                    bias: builder.parameter("bias", zero()?),
                    running_mean: builder.buffer("running_mean", zero()?),
                    running_variance: builder.buffer("running_var", one()?),
                    batches: builder.buffer("num_batches_tracked", count),
                    channels,
                    axes,
                }))
            }
            Self::Instance { axes, channels } => Ok(Box::new(InstanceNorm { axes, channels })),
            Self::Group { groups, channels } => {
                let float = (Kind::Float, Device::Cpu);
                let weight = Tensor::f_ones([channels], float)?;
                let bias = Tensor::f_zeros([channels], float)?;
                Ok(Box::new(GroupNorm {
                    weight: builder.parameter("weight", weight),
                    bias: builder.parameter("bias", bias),
                    groups,
                }))
            }
        }
    }
}

#[derive(Debug)]
struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_variance: Tensor,
    batches: Tensor,
    channels: i64,
    axes: usize,
}

impl Layer for BatchNorm {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let accumulates = matches!(mode, Mode::Train | Mode::TrainFirst);
        if accumulates {
            if x.numel() as i64 == self.channels {
                return Err(TchError::Shape(ONE_NUMBER.to_owned()));
            }
            drop(self.batches.shallow_clone().f_add_scalar_(1)?);
        }
        // Statistics of the batch are not asked for where they were accumulated before.
        let (mean, variance) = match mode {
            Mode::TrainAgain => (None, None),
            _ => (Some(&self.running_mean), Some(&self.running_variance)),
        };
        x.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            mean,
            variance,
            mode.is_training(),
            MOMENTUM,
            EPS,
            true,
        )
    }

    /// The backward pass needs the input, not the output.
    fn is_fresh(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        vec![format!(
            "BatchNorm{}d({}, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
            self.axes, self.channels
        )]
    }
}

#[derive(Debug)]
struct InstanceNorm {
    axes: usize,
    channels: i64,
}

impl Layer for InstanceNorm {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        let none = None::<&Tensor>;
        x.f_instance_norm(none, none, none, none, true, MOMENTUM, EPS, true)
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        vec![format!(
            "InstanceNorm{}d({}, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)",
            self.axes, self.channels
        )]
    }
}

#[derive(Debug)]
struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
}

impl Layer for GroupNorm {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        // Sums over many voxels need 32 bits.
        let x = widen(x)?;
        x.f_group_norm(self.groups, Some(&self.weight), Some(&self.bias), EPS, true)
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        let (groups, channels) = (self.groups, self.weight.size()[0]);
        vec![format!(
            "GroupNorm({groups}, {channels}, eps=1e-05, affine=True, bias=True)"
        )]
    }
}

/// A normalisation over the last axis, with weight and bias, to make for so many features.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerNorm(pub(crate) i64);

impl Make for LayerNorm {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let float = (Kind::Float, Device::Cpu);
        let weight = builder.parameter("weight", Tensor::f_ones([self.0], float)?);
        let bias = builder.parameter("bias", Tensor::f_zeros([self.0], float)?);
        Ok(Box::new(NormOfLast { weight, bias }))
    }
}

#[derive(Debug)]
struct NormOfLast {
    weight: Tensor,
    bias: Tensor,
}

impl Layer for NormOfLast {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        // Sums over many features need 32 bits.
        let x = widen(x)?;
        x.f_layer_norm(
            self.weight.size(),
            Some(&self.weight),
            Some(&self.bias),
            EPS,
            true,
        )
    }

    fn describe(&self) -> Vec<String> {
        let features = self.weight.size()[0];
        vec![format!(
            "LayerNorm(({features},), eps=1e-05, elementwise_affine=True)"
        )]
    }
}
