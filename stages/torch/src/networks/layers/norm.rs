//! Normalisation of feature maps.

use kernels::{After, FirstConvolution};
use tch::{Device, Kind, TchError, Tensor};

use super::{Builder, Layer, Make, Mode, PadMaxPool, Passing, widen};

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

/// A batch norm with its tensors.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_variance: Tensor,
    batches: Tensor,
    channels: i64,
    axes: usize,
}

impl BatchNorm {
    /// Running statistics, unless this pass does not ask for them: those of the batch are not accumulated
    /// twice.
    fn running(&self, mode: Mode) -> Option<[&Tensor; 2]> {
        match mode {
            Mode::TrainAgain => None,
            _ => Some([&self.running_mean, &self.running_variance]),
        }
    }

    /// Counts the batch, which must have what can be normalised.
    fn count(&self, numbers: usize, mode: Mode) -> Result<(), TchError> {
        if matches!(mode, Mode::Train | Mode::TrainPlain | Mode::TrainFirst) {
            if numbers as i64 == self.channels {
                return Err(TchError::Shape(ONE_NUMBER.to_owned()));
            }
            drop(self.batches.shallow_clone().f_add_scalar_(1)?);
        }
        Ok(())
    }

    /// As the kernels have it.
    fn kernel(&self, mode: Mode) -> kernels::Norm<'_> {
        kernels::Norm {
            weight: &self.weight,
            bias: &self.bias,
            running: self.running(mode),
            of_batch: mode.is_training(),
            momentum: MOMENTUM,
            epsilon: EPS,
        }
    }

    /// With the convolution before it and the ReLU and pooling behind it.
    pub(super) fn behind_first(
        &self,
        convolution: &FirstConvolution<'_>,
        (sizes, pool): (&[i64], &PadMaxPool),
        mode: Mode,
    ) -> Result<Tensor, TchError> {
        self.count(sizes.iter().product::<i64>() as usize, mode)?;
        let [y, places] = convolution.forward_pooled(&self.kernel(mode))?;
        pool.note(sizes, places);
        Ok(y)
    }

    /// In one pass with what follows; `None` if libtorch has to do it.
    fn in_one_pass(
        &self,
        x: &Tensor,
        is_free: bool,
        next: &[&dyn Layer],
        mode: Mode,
    ) -> Result<Option<(Tensor, usize)>, TchError> {
        let is_known = matches!(x.kind(), Kind::Float | Kind::BFloat16);
        // libtorch adds up in few digits where channels are next to each other; this does not.
        let is_channels_last = matches!(x.dim(), 4 | 5) && x.stride()[1] == 1 && self.channels > 1;
        if mode.is_plain() || x.device() != Device::Cpu || !is_known || !is_channels_last {
            return Ok(None);
        }
        let norm = self.kernel(mode);
        let may_overwrite = is_free && mode.is_training();
        let mut following = next.iter().map(|layer| layer.passing());
        let rectify = matches!(following.next(), Some(Some(Passing::Rectify)));
        let Some(Some(Passing::Pool(pool))) = following.next().filter(|_| rectify) else {
            let after = After {
                rectify,
                may_overwrite,
            };
            return Ok(Some((norm.forward(x, after)?, usize::from(rectify))));
        };
        let [y, places] = norm.forward_pooled(x, may_overwrite)?;
        pool.note(&x.size(), places);
        Ok(Some((y, 2)))
    }
}

impl Layer for BatchNorm {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let (y, _) = self.forward_with(x.shallow_clone(), false, &[], mode)?;
        Ok(y)
    }

    fn forward_with(
        &self,
        x: Tensor,
        is_free: bool,
        next: &[&dyn Layer],
        mode: Mode,
    ) -> Result<(Tensor, usize), TchError> {
        self.count(x.numel(), mode)?;
        if let Some(done) = self.in_one_pass(&x, is_free, next, mode)? {
            return Ok(done);
        }
        let [mean, variance] = match self.running(mode) {
            Some(running) => running.map(Some),
            None => [None; 2],
        };
        let y = x.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            mean,
            variance,
            mode.is_training(),
            MOMENTUM,
            EPS,
            true,
        )?;
        Ok((y, 0))
    }

    fn passing(&self) -> Option<Passing<'_>> {
        Some(Passing::Norm(self))
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
