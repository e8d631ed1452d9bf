//! Voxels on their way into a file: their bytes, their digest and what is noticed of them.

use std::borrow::Cow;

use engine::Digest;
use ndarray::{ArrayView4, ArrayViewD};
use safetensors::View;
use safetensors::tensor::Dtype;

use crate::extraction::Parts;

/// What is noticed of voxels.
#[derive(Default)]
pub(super) struct Voxels {
    /// Number of voxels that are NaN or infinite.
    pub(super) not_finite: u64,
    first: Option<f32>,
    /// Whether not all finite voxels are equal.
    pub(super) varies: bool,
}

impl Voxels {
    #[expect(clippy::float_cmp, reason = "exactly equal voxels are looked for")]
    pub(super) fn add(&mut self, values: &[f32]) {
        // In numbers as wide as the voxels, several at a time.
        let not_finite = |some: &[f32]| some.iter().map(|v| u32::from(!v.is_finite())).sum::<u32>();
        let each = values.chunks(1 << 16).map(not_finite);
        self.not_finite += each.map(u64::from).sum::<u64>();
        let mut finite = values.iter().filter(|value| value.is_finite());
        if let Some(&one) = finite.next() {
            let first = *self.first.get_or_insert(one);
            self.varies = self.varies || one != first || finite.any(|&value| value != first);
        }
    }
}

/// Values of a tensor in C order.
pub(super) struct Held<'a> {
    shape: Vec<usize>,
    pub(super) values: Cow<'a, [f32]>,
}

impl<'a> Held<'a> {
    /// Those of an array; they are copied only if they have another order.
    pub(super) fn of(array: ArrayViewD<'a, f32>) -> Self {
        let values = match array.to_slice() {
            Some(values) => Cow::Borrowed(values),
            None => array.iter().copied().collect(),
        };
        Self {
            shape: array.shape().to_vec(),
            values,
        }
    }
}

/// A tensor on its way into a file.
pub(super) enum Tensor<'a> {
    /// It is there.
    Held(&'a Held<'a>),
    /// It is a part of an image, made when it is written, so that no memory is taken for all.
    Cut {
        image: ArrayView4<'a, f32>,
        parts: &'a Parts,
        index: usize,
        shape: Vec<usize>,
    },
}

impl<'a> Tensor<'a> {
    pub(super) fn cut(image: ArrayView4<'a, f32>, parts: &'a Parts, index: usize) -> Self {
        let (c, x, y, z) = image.dim();
        Self::Cut {
            image,
            parts,
            index,
            shape: parts.shape([c, x, y, z], index),
        }
    }
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Held(held) => &held.shape,
            Self::Cut { shape, .. } => shape,
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Held(held) => little_endian(&held.values),
            Self::Cut {
                image,
                parts,
                index,
                ..
            } => {
                let part = parts.cut(*image, *index);
                little_endian(&Held::of(part.view()).values)
                    .into_owned()
                    .into()
            }
        }
    }

    fn data_len(&self) -> usize {
        size_of::<f32>() * self.shape().iter().product::<usize>()
    }
}

fn little_endian(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(values))
    } else {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect()
    }
}

/// Digest of sizes and voxels.
pub(super) fn digest(tensors: &[Held<'_>]) -> Digest {
    let each = tensors.iter().map(|held| {
        let Held { shape, values } = held;
        format!("{shape:?} {}\n", Digest::of(&little_endian(values)))
    });
    Digest::of(each.collect::<String>().as_bytes())
}
