//! Parts of images: what a network sees of one, cut from its voxels.
//!
//! A part is numbered from 0 in an order that ClinicaDL 1.6.1 shares. The same code cuts parts when
//! they are extracted and when they are read in training, so that both have the same voxels.

mod artifact;
mod patch;
mod place;
mod roi;
mod slice;

use std::ops::Range;

use ndarray::{ArrayD, ArrayView4};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use artifact::Extraction;
pub use patch::Patches;
pub use place::{Place, Whole};
pub use roi::{Region, Regions};
pub use slice::{SliceMode, Slices};

/// What is extracted of an image.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The whole image.
    Image,
    /// Cubes: `patch_size`, `stride_size`.
    Patch,
    /// Regions of interest: `roi_list`.
    Roi,
    /// Slices: `slice_direction`, `slice_mode`, `discarded_slices`.
    Slice,
}

impl Mode {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Patch => "patch",
            Self::Roi => "roi",
            Self::Slice => "slice",
        }
    }
}

/// How images are cut into parts.
#[derive(Debug, Clone, PartialEq)]
pub enum Parts {
    /// Not at all: the one part is the image.
    Image,
    /// Into cubes.
    Patch(Patches),
    /// Into regions of interest.
    Roi(Regions),
    /// Into slices.
    Slice(Slices),
}

/// Some of the voxels of an image: all of them within ranges of the first two axes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    /// `[C, x, y, Z]`.
    pub(crate) voxels: ArrayView4<'a, f32>,
    /// Where it starts on the first two axes.
    pub(crate) start: [usize; 2],
    /// Sizes of the image, `[C, X, Y, Z]`.
    pub(crate) image: [usize; 4],
}

impl Parts {
    /// What is extracted.
    pub fn mode(&self) -> Mode {
        match self {
            Self::Image => Mode::Image,
            Self::Patch(_) => Mode::Patch,
            Self::Roi(_) => Mode::Roi,
            Self::Slice(_) => Mode::Slice,
        }
    }

    /// Number of parts of an image of shape `[C, X, Y, Z]`.
    ///
    /// # Errors
    /// Such an image cannot be cut so; a clause such as `has [1, 5, 5, 5] voxels, fewer than …`.
    pub fn count(&self, shape: [usize; 4]) -> Result<usize, String> {
        match self {
            Self::Image => Ok(1),
            Self::Patch(patches) => patches.count(shape),
            Self::Roi(regions) => regions.count(shape),
            Self::Slice(slices) => slices.count(shape),
        }
    }

    /// Cuts part `index`, below [`Parts::count`], from an image `[C, X, Y, Z]`.
    ///
    /// Patches and regions are `[C, x, y, z]`, slices `[C, a, b]` or, as RGB, `[3 C, a, b]`.
    ///
    /// # Panics
    /// There is no such part.
    pub fn cut(&self, image: ArrayView4<'_, f32>, index: usize) -> ArrayD<f32> {
        let (channels, x, y, z) = image.dim();
        let whole = Window {
            voxels: image,
            start: [0, 0],
            image: [channels, x, y, z],
        };
        self.cut_from(whole, index)
    }

    /// The same from a window with at least the voxels of [`Parts::range`].
    ///
    /// # Panics
    /// There is no such part, or the window lacks some of it.
    pub(crate) fn cut_from(&self, window: Window<'_>, index: usize) -> ArrayD<f32> {
        match self {
            Self::Image => window.voxels.to_owned().into_dyn(),
            Self::Patch(patches) => patches.cut(window, index),
            Self::Roi(regions) => regions.cut(window, index),
            Self::Slice(slices) => slices.cut(window, index),
        }
    }

    /// On the first two axes, the range of the voxels that part `index` of such an image is made of.
    ///
    /// # Panics
    /// There is no such part.
    pub(crate) fn range(&self, image: [usize; 4], index: usize) -> [Range<usize>; 2] {
        let [x, y, _] = self.place(image, index).kept;
        [x, y].map(|kept| match (kept.first(), kept.last()) {
            (Some(first), Some(last)) => *first..last + 1,
            _ => 0..0,
        })
    }

    /// Shape of a part of an image of shape `[C, X, Y, Z]`.
    ///
    /// # Panics
    /// There is no such part.
    pub(crate) fn shape(&self, image: [usize; 4], index: usize) -> Vec<usize> {
        match self {
            Self::Image => image.to_vec(),
            Self::Patch(patches) => patches.shape(image),
            Self::Roi(regions) => regions.shape(image, index),
            Self::Slice(slices) => slices.shape(image),
        }
    }

    /// The name of the tensor of a part, given the name of the image's file, as ClinicaDL 1.6.1 names it.
    pub fn file_name(&self, image: &str, index: usize) -> String {
        let stem = image
            .strip_suffix(".gz")
            .map_or(image, |name| name)
            .trim_end_matches(".nii");
        let (prefix, suffix) = stem.rsplit_once('_').unwrap_or(("", stem));
        match self {
            Self::Image => format!("{stem}.pt"),
            Self::Patch(patches) => format!("{prefix}_{}_{suffix}.pt", patches.entities(index)),
            Self::Slice(slices) => format!("{prefix}_{}_{suffix}.pt", slices.entities(index)),
            Self::Roi(regions) => regions.file_name(stem, suffix, index),
        }
    }

    /// The entries of an extraction file that tell how parts are cut, in ClinicaDL's order.
    pub fn record(&self) -> Map<String, Value> {
        let record = match self {
            Self::Image => json!({}),
            Self::Patch(p) => json!({ "patch_size": p.size, "stride_size": p.stride }),
            Self::Slice(s) => json!({
                "slice_direction": s.direction,
                "slice_mode": s.mode,
                "discarded_slices": s.discarded,
            }),
            Self::Roi(r) => r.record(),
        };
        record.as_object().cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
