//! `dwi`: Diffusion MRI of a BIDS, as it was acquired.

use super::{Choice, FileType, Layout, Preprocessing};

/// Raw images of the modality dwi: usually a series.
pub(super) struct Dwi;

impl Preprocessing for Dwi {
    fn file_type(&self, _: &Choice) -> FileType {
        FileType {
            pattern: "dwi/sub-*_dwi.nii*".to_owned(),
            description: "Diffusion MRI of a BIDS".to_owned(),
            needed_pipeline: None,
        }
    }

    fn folder(&self) -> &'static str {
        "dwi"
    }

    fn layout(&self) -> Layout {
        Layout::Bids
    }
}
