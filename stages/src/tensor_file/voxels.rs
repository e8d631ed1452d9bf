//! Voxels on their way into a file: their bytes, their digest and what is noticed of them.

use std::borrow::Cow;

use engine::Digest;
use ndarray::{ArrayView, Dimension};

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
        let not_finite = values.iter().filter(|value| !value.is_finite());
        self.not_finite += not_finite.count() as u64;
        let mut finite = values.iter().filter(|value| value.is_finite());
        if let Some(&one) = finite.next() {
            let first = *self.first.get_or_insert(one);
            self.varies = self.varies || one != first || finite.any(|&value| value != first);
        }
    }
}

/// The values in C order, as they are if they already have it.
pub(super) fn c_order<D: Dimension>(array: ArrayView<'_, f32, D>) -> Cow<'_, [f32]> {
    match array.to_slice() {
        Some(values) => Cow::Borrowed(values),
        None => array.iter().copied().collect(),
    }
}

pub(super) fn little_endian(values: &[f32]) -> Cow<'_, [u8]> {
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
pub(super) fn digest(tensors: &[(&[usize], &[u8])]) -> Digest {
    let each = tensors
        .iter()
        .map(|(shape, bytes)| format!("{shape:?} {}\n", Digest::of(bytes)));
    Digest::of(each.collect::<String>().as_bytes())
}
