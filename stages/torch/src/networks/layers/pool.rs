//! Pooling.

use std::cell::RefCell;

use tch::{TchError, Tensor};

use super::{Builder, Layer, Make, Mode, on_each, tuple};

/// Pooling with equal edges on every axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    /// The greatest of each window.
    Max {
        axes: usize,
        kernel: i64,
        stride: i64,
        padding: i64,
    },
}

impl Make for Pool {
    fn make(self, _: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        Ok(Box::new(self))
    }
}

impl Layer for Pool {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        let Self::Max {
            axes,
            kernel,
            stride,
            padding,
        } = *self;
        let each = |value| on_each(value, axes);
        let (kernel, stride, padding) = (each(kernel), each(stride), each(padding));
        if axes == 2 {
            x.f_max_pool2d(&kernel, &stride, &padding, each(1), false)
        } else {
            x.f_max_pool3d(&kernel, &stride, &padding, each(1), false)
        }
    }

    fn describe(&self) -> Vec<String> {
        let Self::Max {
            axes,
            kernel,
            stride,
            padding,
        } = self;
        vec![format!(
            "MaxPool{axes}d(kernel_size={kernel}, stride={stride}, padding={padding}, dilation=1, ceil_mode=False)"
        )]
    }
}

/// Max pooling of 2 voxels per axis; an odd axis is padded with a zero at its beginning.
///
/// # Shapes
/// `[B, C, X, Y(, Z)]` → `[B, C, ⌈X/2⌉, ⌈Y/2⌉(, ⌈Z/2⌉)]`.
///
/// # Source
/// `PadMaxPool2d` and `PadMaxPool3d` of ClinicaDL 1.6.1.
#[derive(Debug)]
pub(crate) struct PadMaxPool {
    pool: Pool,
    /// Of the last map that passed: PyTorch's text tells it.
    padding: RefCell<Vec<i64>>,
}

impl PadMaxPool {
    /// For maps of so many axes.
    pub(crate) fn new(axes: usize) -> Self {
        Self {
            pool: Pool::Max {
                axes,
                kernel: 2,
                stride: 2,
                padding: 0,
            },
            padding: RefCell::new(vec![0; 2 * axes]),
        }
    }
}

impl Make for PadMaxPool {
    fn make(self, _: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        Ok(Box::new(self))
    }
}

impl Layer for PadMaxPool {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let padding = front_padding(&x.size()[2..]);
        let padded = if padding.iter().any(|&p| p != 0) {
            &x.f_constant_pad_nd(&padding)?
        } else {
            x
        };
        self.padding.replace(padding);
        self.pool.forward(padded, mode)
    }

    fn describe(&self) -> Vec<String> {
        let padding = self.padding.borrow();
        let axes = padding.len() / 2;
        let mut lines = vec![format!("PadMaxPool{axes}d(")];
        let pool = self.pool.describe();
        lines.extend(pool.into_iter().map(|line| format!("  (pool): {line}")));
        let padding = tuple(&padding);
        lines.push(format!(
            "  (pad): ConstantPad{axes}d(padding={padding}, value=0)"
        ));
        lines.push(")".to_owned());
        lines
    }
}

/// Padding in libtorch's order, last axis first, before and after: 1 before each odd axis.
fn front_padding(axes: &[i64]) -> Vec<i64> {
    axes.iter().rev().flat_map(|axis| [axis % 2, 0]).collect()
}
