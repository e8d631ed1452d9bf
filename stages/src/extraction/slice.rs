//! Slices across one axis of the stored array.

use ndarray::{Array3, ArrayD, Axis, concatenate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Window;

/// How many channels a slice has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SliceMode {
    /// Three equal channels, for networks made for photographs.
    Rgb,
    /// One channel.
    Single,
}

/// Slices of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slices {
    /// The axis that is cut: 0 sagittal, 1 coronal, 2 axial in images of MNI space.
    pub direction: usize,
    /// Number of channels.
    pub mode: SliceMode,
    /// Slices left out at the beginning and at the end.
    pub discarded: [usize; 2],
}

impl Slices {
    pub(super) fn count(self, shape: [usize; 4]) -> Result<usize, String> {
        let all = shape[1 + self.direction];
        let [first, last] = self.discarded;
        match all.checked_sub(first.saturating_add(last)) {
            Some(count) if count > 0 => Ok(count),
            _ => Err(format!(
                "has {all} slices along axis {}, of which {first} and {last} are discarded",
                self.direction
            )),
        }
    }

    pub(super) fn cut(self, window: Window<'_>, index: usize) -> ArrayD<f32> {
        let start = window.start.get(self.direction).unwrap_or(&0);
        let at = self.discarded[0] + index - start;
        let slice = window.voxels.index_axis(Axis(1 + self.direction), at);
        match self.mode {
            SliceMode::Single => slice.to_owned().into_dyn(),
            // Views of one shape along one axis always fit.
            SliceMode::Rgb => concatenate(Axis(0), &[slice, slice, slice])
                .unwrap_or_else(|_| Array3::zeros((0, 0, 0)))
                .into_dyn(),
        }
    }

    pub(super) fn shape(self, image: [usize; 4]) -> Vec<usize> {
        let mut shape = image.to_vec();
        shape.remove(1 + self.direction);
        if self.mode == SliceMode::Rgb {
            shape[0] *= 3;
        }
        shape
    }

    /// Slices are named by their place in the volume.
    pub(super) fn entities(self, index: usize) -> String {
        format!("{}{}", self.key(), self.discarded[0] + index)
    }

    /// The name of a slice before its number.
    pub(crate) fn key(self) -> String {
        let axis = ["sag", "cor", "axi"][self.direction];
        let channels = match self.mode {
            SliceMode::Rgb => "rgb",
            SliceMode::Single => "single",
        };
        format!("axis-{axis}_channel-{channels}_slice-")
    }
}
