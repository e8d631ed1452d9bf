//! Passes over feature maps for which libtorch makes several: batch norm, ReLU and pooling in one.
//!
//! Maps `[B, C, X, Y(, Z)]` have their channels next to each other in memory, as oneDNN likes them, and
//! numbers of 32 bits or bfloat16. Sums are added up in an order that does not depend on the number of
//! threads. The loops are written once, in C++, and compiled for several kinds of processors; which one
//! is taken is told by libtorch's own `cpu_capability`, as they ask for the same instructions.
//!
//! # Source
//! The operators equal `batch_norm`, `relu`, `constant_pad_nd` and `max_pool3d` of PyTorch 2.13 one after
//! the other, but for rounding.

use std::ffi::{CStr, c_char, c_int};

use tch::{Device, Kind, TchError, Tensor};
use torch_sys::C_tensor;

// The C++ side sees `at::Tensor`, which is what torch-sys hides behind `C_tensor`.
unsafe extern "C" {
    fn kernels_message() -> *const c_char;
    fn kernels_norm(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        running_mean: *const C_tensor,
        running_variance: *const C_tensor,
        of_batch: bool,
        momentum: f64,
        epsilon: f64,
        rectify: bool,
        pools: bool,
        may_overwrite: bool,
        y: *mut *mut C_tensor,
        places: *mut *mut C_tensor,
    ) -> bool;
    fn kernels_first_convolution(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        y: *mut *mut C_tensor,
    ) -> bool;
    fn kernels_first_block(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        norm_weight: *const C_tensor,
        norm_bias: *const C_tensor,
        running_mean: *const C_tensor,
        running_variance: *const C_tensor,
        of_batch: bool,
        momentum: f64,
        epsilon: f64,
        y: *mut *mut C_tensor,
        places: *mut *mut C_tensor,
    ) -> bool;
    fn kernels_unpool(
        x: *const C_tensor,
        places: *const C_tensor,
        sizes: *const i64,
        axes: c_int,
        y: *mut *mut C_tensor,
    ) -> bool;
    fn kernels_adam(
        weights: *const C_tensor,
        gradient: *const C_tensor,
        first: *const C_tensor,
        second: *const C_tensor,
        how: *const f32,
    );
    fn kernels_channels_last(x: *const C_tensor, y: *mut *mut C_tensor) -> bool;
    fn kernels_stacked(
        arrays: *const *const f32,
        count: i64,
        length: i64,
        y: *mut *mut C_tensor,
    ) -> bool;
    fn kernels_keep_memory();
    fn kernels_most_memory() -> u64;
}

/// A batch norm: (x − mean) / √(variance + epsilon) · weight + bias, by channel.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'t> {
    /// `[C]`, float32.
    pub weight: &'t Tensor,
    /// `[C]`, float32.
    pub bias: &'t Tensor,
    /// Running mean and variance, `[C]`, float32: they move on if statistics are those of the batch.
    pub running: Option<[&'t Tensor; 2]>,
    /// Whether the statistics are those of the batch; else they are the running ones.
    pub of_batch: bool,
    /// Share of the batch in the new running statistics.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
}

/// What else the pass of a norm does.
#[derive(Debug, Clone, Copy, Default)]
pub struct After {
    /// At least zero.
    pub rectify: bool,
    /// The backward pass may write the gradient of `x` over `x`: nobody else needs its numbers.
    pub may_overwrite: bool,
}

impl Norm<'_> {
    /// A map of the shape of `x`.
    ///
    /// # Errors
    /// Tensors do not fit, memory runs out, or the statistics are running ones that are missing.
    pub fn forward(&self, x: &Tensor, after: After) -> Result<Tensor, TchError> {
        let [y, _] = self.call(x, after, false)?;
        Ok(y)
    }

    /// The greatest voxel in windows of two per axis, at least zero, and the places where they were, for
    /// [`unpool`]. An odd axis has a zero before its first voxel: `[B, C, ⌈X/2⌉, ⌈Y/2⌉(, ⌈Z/2⌉)]`.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_pooled(&self, x: &Tensor, may_overwrite: bool) -> Result<[Tensor; 2], TchError> {
        let after = After {
            may_overwrite,
            rectify: true,
        };
        self.call(x, after, true)
    }

    /// Running statistics, or null, if everything is as C++ takes it for granted.
    fn statistics(&self, channels: i64) -> Result<[*const C_tensor; 2], TchError> {
        let running = self.running.unwrap_or([self.weight; 2]);
        for tensor in [self.weight, self.bias].into_iter().chain(running) {
            if tensor.size() != [channels] || !is_plain(tensor) {
                let message = format!("a norm of {channels} channels has {tensor:?}");
                return Err(TchError::Shape(message));
            }
        }
        if self.running.is_none() && !self.of_batch {
            let message = "there are no running statistics".to_owned();
            return Err(TchError::Shape(message));
        }
        Ok(match self.running {
            Some(running) => running.map(Tensor::as_ptr),
            None => [std::ptr::null(); 2],
        })
    }

    fn call(&self, x: &Tensor, after: After, pools: bool) -> Result<[Tensor; 2], TchError> {
        if !is_map(x) {
            return Err(TchError::Shape(format!("{x:?} cannot be normalised")));
        }
        let [mean, variance] = self.statistics(x.size()[1])?;
        let mut made = [std::ptr::null_mut(); 2];
        let [y, places] = &mut made;
        // SAFETY: the pointers are those of tensors that live until the call returns, or null where that
        // is allowed; their shapes and kinds were looked at; what it makes is ours.
        let is_made = unsafe {
            kernels_norm(
                x.as_ptr(),
                self.weight.as_ptr(),
                self.bias.as_ptr(),
                mean,
                variance,
                self.of_batch,
                self.momentum,
                self.epsilon,
                after.rectify,
                pools,
                after.may_overwrite,
                y,
                if pools { places } else { std::ptr::null_mut() },
            )
        };
        if !is_made {
            return Err(error());
        }
        Ok(made.map(taken))
    }
}

/// The convolution of images of one channel, `[B, 1, X, Y, Z]`, by kernels `[C, 1, 3, 3, 3]`, with a voxel of
/// zeros around each image.
///
/// # Source
/// `conv3d` of PyTorch 2.13 with padding 1, but for rounding.
#[derive(Debug, Clone, Copy)]
pub struct FirstConvolution<'t> {
    x: &'t Tensor,
    weight: &'t Tensor,
    bias: Option<&'t Tensor>,
}

impl<'t> FirstConvolution<'t> {
    /// `None` where it is another convolution, or not as it is known here: C is a multiple of 8, everything is
    /// contiguous, of 32 bits, and on the processor.
    pub fn of(x: &'t Tensor, weight: &'t Tensor, bias: Option<&'t Tensor>) -> Option<Self> {
        let &[channels, 1, 3, 3, 3] = weight.size().as_slice() else {
            return None;
        };
        let is_image = x.dim() == 5 && x.size()[1] == 1 && x.numel() > 0;
        let fits = bias.is_none_or(|bias| is_plain(bias) && bias.size() == [channels]);
        let is_known = channels % 8 == 0 && is_image && fits && is_plain(x) && is_plain(weight);
        is_known.then_some(Self { x, weight, bias })
    }

    fn bias(&self) -> *const C_tensor {
        self.bias.map_or(std::ptr::null(), Tensor::as_ptr)
    }

    /// The map, `[B, C, X, Y, Z]`, its channels next to each other in memory.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn forward(&self) -> Result<Tensor, TchError> {
        let (x, weight, bias) = (self.x.as_ptr(), self.weight.as_ptr(), self.bias());
        // SAFETY: the pointers are those of living tensors whose shapes and kinds were looked at, or null; what
        // it makes is ours.
        made_by(|y| unsafe { kernels_first_convolution(x, weight, bias, y) })
    }

    /// The map normalised and pooled as by [`Norm::forward_pooled`]. Before that it is never in memory: it is
    /// the largest of a network, and computing it twice takes less time than writing it.
    ///
    /// # Errors
    /// The norm does not fit, or memory runs out.
    pub fn forward_pooled(&self, norm: &Norm<'_>) -> Result<[Tensor; 2], TchError> {
        let [mean, variance] = norm.statistics(self.weight.size()[0])?;
        let mut made = [std::ptr::null_mut(); 2];
        let [y, places] = &mut made;
        // SAFETY: as above.
        let is_made = unsafe {
            kernels_first_block(
                self.x.as_ptr(),
                self.weight.as_ptr(),
                self.bias(),
                norm.weight.as_ptr(),
                norm.bias.as_ptr(),
                mean,
                variance,
                norm.of_batch,
                norm.momentum,
                norm.epsilon,
                y,
                places,
            )
        };
        match is_made {
            true => Ok(made.map(taken)),
            false => Err(error()),
        }
    }
}

/// Puts the voxels of a pooled map back to their places in a map of `sizes`, with zeros elsewhere.
///
/// # Errors
/// Pooling a map of `sizes` does not give one of the shape of `x`.
pub fn unpool(x: &Tensor, places: &Tensor, sizes: &[i64]) -> Result<Tensor, TchError> {
    let axes = c_int::try_from(sizes.len()).unwrap_or(c_int::MAX);
    let is_known = is_map(x) && places.device() == Device::Cpu && places.kind() == Kind::Uint8;
    if sizes.len() != x.dim() || sizes.iter().any(|&size| size < 1) || !is_known {
        let message = format!("{x:?} cannot be put back to {sizes:?}");
        return Err(TchError::Shape(message));
    }
    // SAFETY: the pointers are those of living tensors and of `axes` numbers; what it makes is ours.
    made_by(|y| unsafe { kernels_unpool(x.as_ptr(), places.as_ptr(), sizes.as_ptr(), axes, y) })
}

/// One step of Adam or AdamW.
///
/// # Source
/// Kingma and Ba 2015, arXiv:1412.6980; PyTorch 2.13 `torch.optim.Adam`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// What the weights are multiplied with before anything else; 1 for Adam.
    pub keep: f64,
    /// What of the weights is added to the gradient; 0 for AdamW.
    pub decay: f64,
    /// Of both moments.
    pub beta: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Learning rate.
    pub rate: f64,
    /// Number of the step, from 1.
    pub number: f64,
}

impl Adam {
    /// Changes weights and both moments in one pass; false, and nothing is done, unless all four are on
    /// the processor, contiguous, of one shape and of 32 bits.
    pub fn step(
        &self,
        weights: &mut Tensor,
        gradient: &Tensor,
        [first, second]: [&mut Tensor; 2],
    ) -> bool {
        let all = [&*weights, gradient, &*first, &*second];
        let fits = |tensor: &Tensor| {
            tensor.device() == Device::Cpu
                && tensor.kind() == Kind::Float
                && tensor.is_contiguous()
                && tensor.size() == gradient.size()
        };
        if !all.into_iter().all(fits) {
            return false;
        }
        let corrections = self.beta.map(|beta| 1.0 - beta.powf(self.number));
        let how = [
            self.keep,
            self.decay,
            1.0 - self.beta[0],
            1.0 - self.beta[1],
            corrections[1].sqrt(),
            self.epsilon,
            self.rate / corrections[0],
        ]
        .map(|number| number as f32);
        let [weights, gradient, first, second] = all.map(Tensor::as_ptr);
        // SAFETY: the tensors live, have numbers of 32 bits in one block each, and as many of them.
        unsafe { kernels_adam(weights, gradient, first, second, how.as_ptr()) };
        true
    }
}

/// The same map with its channels next to each other in memory; a copy only where they are not.
///
/// # Errors
/// `x` is no map of this processor, or memory runs out.
pub fn channels_last(x: &Tensor) -> Result<Tensor, TchError> {
    if !is_map(x) {
        return Err(TchError::Shape(format!("{x:?} is no map")));
    }
    // SAFETY: the pointer is that of a living tensor; what it makes is ours.
    made_by(|y| unsafe { kernels_channels_last(x.as_ptr(), y) })
}

/// Arrays next to each other: `[N, length]`, float32, copied once by all threads.
///
/// # Errors
/// They are not of one length, or memory runs out.
pub fn stacked(arrays: &[&[f32]]) -> Result<Tensor, TchError> {
    let length = arrays.first().map_or(0, |array| array.len());
    if arrays.iter().any(|array| array.len() != length) {
        let message = "arrays to stack have several lengths".to_owned();
        return Err(TchError::Shape(message));
    }
    let starts: Vec<*const f32> = arrays.iter().map(|array| array.as_ptr()).collect();
    let (count, length) = (arrays.len() as i64, length as i64);
    // SAFETY: so many arrays of so many numbers are borrowed until it returns; what it makes is ours.
    made_by(|y| unsafe { kernels_stacked(starts.as_ptr(), count, length, y) })
}

/// Keeps the memory of tensors instead of giving it back: clearing pages anew takes longer than many passes
/// over them. On Linux, large tensors share the pages of as many bytes as were needed at once. For programs
/// whose life is short, such as a worker of one action; to be called before the first tensor is made.
pub fn keep_memory() {
    // SAFETY: no other thread makes tensors yet; the allocator lives as long as the program.
    unsafe { kernels_keep_memory() }
}

/// The most bytes of large tensors that were in use at once since [`keep_memory`]; 0 where nothing is kept.
pub fn most_memory() -> u64 {
    // SAFETY: reads a number under a lock.
    unsafe { kernels_most_memory() }
}

/// Whether numbers of 32 bits lie one after the other where the processor can read them.
fn is_plain(tensor: &Tensor) -> bool {
    tensor.device() == Device::Cpu && tensor.kind() == Kind::Float && tensor.is_contiguous()
}

/// Whether these are maps with two or three spatial axes, and with voxels, that the processor can read.
fn is_map(x: &Tensor) -> bool {
    matches!(x.dim(), 4 | 5) && x.numel() > 0 && x.device() == Device::Cpu
}

fn made_by(make: impl FnOnce(&mut *mut C_tensor) -> bool) -> Result<Tensor, TchError> {
    let mut made = std::ptr::null_mut();
    match make(&mut made) {
        true => Ok(taken(made)),
        false => Err(error()),
    }
}

fn taken(made: *mut C_tensor) -> Tensor {
    if made.is_null() {
        return Tensor::new();
    }
    // SAFETY: C++ made this tensor for us alone.
    unsafe { Tensor::from_ptr(made) }
}

/// The error of the last call of this thread.
fn error() -> TchError {
    // SAFETY: the message is a string of this thread that stays until its next call.
    let message = unsafe { CStr::from_ptr(kernels_message()) };
    TchError::Torch(message.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
