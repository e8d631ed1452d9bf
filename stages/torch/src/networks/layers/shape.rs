//! Layers without arithmetic.

use tch::{TchError, Tensor};

use super::{Builder, Layer, Make, Mode, tuple};

/// All but the batch axis as one: `[B, …]` → `[B, F]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flatten;

impl Make for Flatten {
    fn make(self, _: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        Ok(Box::new(self))
    }
}

impl Layer for Flatten {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        x.f_flatten(1, -1)
    }

    fn describe(&self) -> Vec<String> {
        vec!["Flatten(start_dim=1, end_dim=-1)".to_owned()]
    }
}

/// The opposite of [`Flatten`]: `[B, F]` → `[B, …]`.
#[derive(Debug, Clone)]
pub(crate) struct Unflatten(pub(crate) Vec<i64>);

impl Make for Unflatten {
    fn make(self, _: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        Ok(Box::new(self))
    }
}

impl Layer for Unflatten {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        let mut shape = vec![-1];
        shape.extend(&self.0);
        x.f_reshape(shape.as_slice())
    }

    fn describe(&self) -> Vec<String> {
        let sizes = tuple(&self.0);
        vec![format!("Unflatten(dim=1, unflattened_size={sizes})")]
    }
}

/// Every voxel as a cube of two by two by two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Upsample;

impl Make for Upsample {
    fn make(self, _: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        Ok(Box::new(self))
    }
}

impl Layer for Upsample {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        let sizes: Vec<i64> = x.size()[2..].iter().map(|size| 2 * size).collect();
        if sizes.len() == 2 {
            x.f_upsample_nearest2d(sizes, None, None)
        } else {
            x.f_upsample_nearest3d(sizes, None, None, None)
        }
    }

    fn describe(&self) -> Vec<String> {
        vec!["Upsample(scale_factor=2.0, mode='nearest')".to_owned()]
    }
}

/// A map of another size: voxels repeated, or between the next ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UpsampleTo {
    pub(crate) size: Vec<i64>,
    pub(crate) is_linear: bool,
}

impl Make for UpsampleTo {
    fn make(self, _: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        Ok(Box::new(self))
    }
}

impl Layer for UpsampleTo {
    fn forward(&self, x: &Tensor, _: Mode) -> Result<Tensor, TchError> {
        let size = self.size.as_slice();
        match (self.is_linear, size.len()) {
            (false, 2) => x.f_upsample_nearest2d(size, None, None),
            (false, _) => x.f_upsample_nearest3d(size, None, None, None),
            (true, 2) => x.f_upsample_bilinear2d(size, false, None, None),
            (true, _) => x.f_upsample_trilinear3d(size, false, None, None, None),
        }
    }

    fn describe(&self) -> Vec<String> {
        let mode = match (self.is_linear, self.size.len()) {
            (false, _) => "nearest",
            (true, 2) => "bilinear",
            (true, _) => "trilinear",
        };
        vec![format!(
            "Upsample(size={}, mode='{mode}')",
            tuple(&self.size)
        )]
    }
}
