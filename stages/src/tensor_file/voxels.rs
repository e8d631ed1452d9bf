//! Voxels on their way into a file: their bytes, their digest and what is noticed of them.

use std::borrow::Cow;

use engine::Digest;
use engine::digest::Hasher;
use ndarray::ArrayViewD;

use crate::thumbnail::{Sketch, Thumbnail};

/// What is noticed of voxels.
#[derive(Default)]
struct Voxels {
    /// Number of voxels that are NaN or infinite.
    not_finite: u64,
    first: Option<f32>,
    /// Whether not all finite voxels are equal.
    varies: bool,
}

impl Voxels {
    #[expect(clippy::float_cmp, reason = "exactly equal voxels are looked for")]
    fn add(&mut self, values: &[f32]) {
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

/// What is found out about the voxels of a file.
pub(super) struct Seen {
    /// Number of voxels that are NaN or infinite.
    pub(super) not_finite: u64,
    /// Whether all finite voxels are equal.
    pub(super) constant: bool,
    /// Digest of sizes and voxels.
    pub(super) digest: Digest,
    /// The picture of an image; of parts there is none.
    pub(super) thumbnail: Thumbnail,
}

impl Seen {
    /// Of an image `[C, X, Y, Z]`; its picture is that of its first channel.
    pub(super) fn image(image: &Held<'_>) -> Self {
        let sizes = &image.shape;
        let (planes, rows, columns) = (sizes[1], sizes[2], sizes[3]);
        let mut sketch = Sketch::new([planes, rows, columns]);
        let of_first = |plane: usize, values: &[f32]| {
            if plane < planes {
                sketch.add(plane, values);
            }
        };
        let seen = Self::look(std::slice::from_ref(image), rows * columns, of_first);
        Self {
            thumbnail: sketch.finish(),
            ..seen
        }
    }

    /// Of parts.
    pub(super) fn parts(parts: &[Held<'_>]) -> Self {
        Self::look(parts, 1 << 16, |_, _| {})
    }

    /// Looks at pieces of so many voxels once, while they are in the cache. `also` has the number of a
    /// piece in its tensor, and its voxels.
    fn look(tensors: &[Held<'_>], piece: usize, mut also: impl FnMut(usize, &[f32])) -> Self {
        let mut voxels = Voxels::default();
        let mut text = String::new();
        for Held { shape, values } in tensors {
            let mut hasher = Hasher::default();
            for (number, piece) in values.chunks(piece.max(1)).enumerate() {
                voxels.add(piece);
                hasher.update(&little_endian(piece));
                also(number, piece);
            }
            text += &format!("{shape:?} {}\n", hasher.finish());
        }
        Self {
            not_finite: voxels.not_finite,
            constant: !voxels.varies,
            digest: Digest::of(text.as_bytes()),
            thumbnail: Thumbnail::default(),
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

/// The bytes of values in a file.
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
