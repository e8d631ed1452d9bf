//! `flair`: FLAIR of a BIDS, as it was acquired.

use super::{Choice, FileType, Layout, Preprocessing};

/// Raw images of the modality FLAIR.
pub(super) struct Flair;

impl Preprocessing for Flair {
    fn file_type(&self, _: &Choice) -> FileType {
        FileType {
            pattern: "anat/sub-*_FLAIR.nii*".to_owned(),
            description: "FLAIR of a BIDS".to_owned(),
            needed_pipeline: None,
        }
    }

    fn folder(&self) -> &'static str {
        "flair"
    }

    fn layout(&self) -> Layout {
        Layout::Bids
    }
}
