//! Pooling.

use std::cell::RefCell;
use std::rc::Rc;

use tch::{TchError, Tensor};

use super::{Builder, Layer, Make, Mode, Passing, on_each, tuple, widen};

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
    /// The mean of each window, without padding; one length for each axis.
    Mean([i64; 2]),
    /// The greatest of windows of three voxels per axis, two apart; the last may reach beyond the map.
    MaxOfRest { axes: usize },
    /// The mean of windows of two voxels per axis; what is left of an odd axis is dropped.
    Halve { axes: usize },
    /// The mean of all voxels.
    Global { axes: usize },
}

impl Make for Pool {
    fn make(self, _: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        Ok(Box::new(self))
    }
}

impl Layer for Pool {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        let (axes, kernel, stride, padding) = match *self {
            Self::Global { axes: 2 } => return x.f_adaptive_avg_pool2d([1_i64; 2]),
            Self::Global { .. } => return x.f_adaptive_avg_pool3d([1_i64; 3]),
            Self::MaxOfRest { axes } => {
                let each = |value| on_each(value, axes);
                let (three, two, none) = (each(3), each(2), each(0));
                return if axes == 2 {
                    x.f_max_pool2d(&three, &two, &none, each(1), true)
                } else {
                    x.f_max_pool3d(&three, &two, &none, each(1), true)
                };
            }
            Self::Halve { axes } => {
                let (two, none) = (on_each(2, axes), on_each(0, axes));
                return if axes == 2 {
                    x.f_avg_pool2d(&two, &two, &none, false, true, None)
                } else {
                    // libtorch has none for 16 bits.
                    let x = widen(x)?;
                    x.f_avg_pool3d(&two, &two, &none, false, true, None)
                };
            }
            Self::Max {
                axes,
                kernel,
                stride,
                padding,
            } => (axes, kernel, stride, padding),
            Self::Mean(kernel) => {
                let (one, none) = ([1_i64; 2], [0_i64; 2]);
                return x.f_avg_pool2d(kernel, one, none, false, true, None);
            }
        };
        let each = |value| on_each(value, axes);
        let (kernel, stride, padding) = (each(kernel), each(stride), each(padding));
        if axes == 2 {
            x.f_max_pool2d(&kernel, &stride, &padding, each(1), false)
        } else {
            x.f_max_pool3d(&kernel, &stride, &padding, each(1), false)
        }
    }

    fn describe(&self) -> Vec<String> {
        let text = match self {
            Self::Max {
                axes,
                kernel,
                stride,
                padding,
            } => format!(
                "MaxPool{axes}d(kernel_size={kernel}, stride={stride}, padding={padding}, dilation=1, ceil_mode=False)"
            ),
            Self::MaxOfRest { axes } => format!(
                "MaxPool{axes}d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=True)"
            ),
            Self::Halve { axes } => {
                format!("AvgPool{axes}d(kernel_size=2, stride=2, padding=0)")
            }
            Self::Global { axes } => format!("AdaptiveAvgPool{axes}d(output_size=1)"),
            Self::Mean(kernel) => {
                format!(
                    "AvgPool2d(kernel_size={}, stride=1, padding=0)",
                    tuple(kernel)
                )
            }
        };
        vec![text]
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
    axes: usize,
    /// Of the last map that passed: PyTorch's text tells it.
    padding: RefCell<Vec<i64>>,
    /// Where the greatest were in the last map, for the layer that puts them back.
    kept: Option<Kept>,
}

/// What a pooling layer tells the one that undoes it.
type Kept = Rc<RefCell<Option<Places>>>;

#[derive(Debug)]
enum Places {
    /// Those of libtorch, with the axes that had a zero before them.
    Indices(Tensor, Vec<bool>),
    /// Those found in the pass of the norm, with the shape of the map.
    InWindows(Tensor, Vec<i64>),
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
            axes,
            padding: RefCell::new(vec![0; 2 * axes]),
            kept: None,
        }
    }

    /// A pooling layer and the layer that undoes it.
    pub(crate) fn with_inverse(axes: usize) -> (Self, CropMaxUnpool) {
        let kept = Kept::default();
        let pool = Self {
            kept: Some(kept.clone()),
            ..Self::new(axes)
        };
        (pool, CropMaxUnpool { axes, kept })
    }

    fn pooled(&self, x: &Tensor, mode: Mode, is_padded: Vec<bool>) -> Result<Tensor, TchError> {
        let Some(kept) = &self.kept else {
            return self.pool.forward(x, mode);
        };
        let each = |value| on_each(value, self.axes);
        let (two, none, one) = (each(2), each(0), each(1));
        let (pooled, indices) = if self.axes == 2 {
            x.f_max_pool2d_with_indices(&two, &two, &none, &one, false)?
        } else {
            x.f_max_pool3d_with_indices(&two, &two, &none, &one, false)?
        };
        kept.replace(Some(Places::Indices(indices, is_padded)));
        Ok(pooled)
    }
}

impl Make for PadMaxPool {
    fn make(self, _: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        Ok(Box::new(self))
    }
}

impl PadMaxPool {
    /// Takes down what was pooled in the pass of another layer.
    pub(super) fn note(&self, sizes: &[i64], places: Tensor) {
        let (_, padding) = paddings(sizes);
        self.padding.replace(padding);
        if let Some(kept) = &self.kept {
            kept.replace(Some(Places::InWindows(places, sizes.to_vec())));
        }
    }
}

/// Axes of odd length, which get a zero before them; and that in libtorch's order: last axis first, before
/// and after.
fn paddings(sizes: &[i64]) -> (Vec<bool>, Vec<i64>) {
    let is_padded: Vec<bool> = sizes[2..].iter().map(|axis| axis % 2 == 1).collect();
    let padding = is_padded
        .iter()
        .rev()
        .flat_map(|&is_padded| [i64::from(is_padded), 0])
        .collect();
    (is_padded, padding)
}

impl Layer for PadMaxPool {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let (is_padded, padding) = paddings(&x.size());
        let padded = if is_padded.contains(&true) {
            &x.f_constant_pad_nd(&padding)?
        } else {
            x
        };
        self.padding.replace(padding);
        self.pooled(padded, mode, is_padded)
    }

    fn passing(&self) -> Option<Passing<'_>> {
        Some(Passing::Pool(self))
    }

    fn describe(&self) -> Vec<String> {
        let padding = self.padding.borrow();
        let axes = self.axes;
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

/// Puts voxels back to where a [`PadMaxPool`] took them from, zeros elsewhere.
///
/// # Source
/// `CropMaxUnpool2d` and `CropMaxUnpool3d` of ClinicaDL 1.6.1.
#[derive(Debug)]
pub(crate) struct CropMaxUnpool {
    axes: usize,
    kept: Kept,
}

impl Make for CropMaxUnpool {
    fn make(self, _: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        Ok(Box::new(self))
    }
}

impl Layer for CropMaxUnpool {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        let kept = self.kept.borrow();
        let (indices, is_padded) = match kept.as_ref() {
            Some(Places::Indices(indices, is_padded)) => (indices, is_padded),
            Some(Places::InWindows(places, shape)) => {
                let mut shape = shape.clone();
                shape[..2].copy_from_slice(&x.size()[..2]);
                return kernels::unpool(x, places, &shape);
            }
            None => return Err(TchError::Shape("nothing was pooled before".to_owned())),
        };
        let sizes: Vec<i64> = x.size()[2..].iter().map(|size| 2 * size).collect();
        let mut whole = if self.axes == 2 {
            x.f_max_unpool2d(indices, &sizes)?
        } else {
            let (two, none) = (on_each(2, 3), on_each(0, 3));
            x.f_max_unpool3d(indices, &sizes, &two, &none)?
        };
        for (axis, _) in is_padded.iter().enumerate().filter(|(_, padded)| **padded) {
            whole = whole.f_narrow(2 + axis as i64, 1, sizes[axis] - 1)?;
        }
        Ok(whole)
    }

    fn describe(&self) -> Vec<String> {
        let axes = self.axes;
        let each = |value| tuple(&on_each(value, axes));
        let (two, none) = (each(2), each(0));
        vec![
            format!("CropMaxUnpool{axes}d("),
            format!(
                "  (unpool): MaxUnpool{axes}d(kernel_size={two}, stride={two}, padding={none})"
            ),
            ")".to_owned(),
        ]
    }
}
