//! `t1`: T1-weighted MRI of a BIDS, as it was acquired.

use super::{Choice, FileType, Layout, Preprocessing};

/// Raw images of the modality T1w.
pub(super) struct T1;

impl Preprocessing for T1 {
    fn file_type(&self, _: &Choice) -> FileType {
        FileType {
            pattern: "anat/sub-*_T1w.nii*".to_owned(),
            description: "T1-weighted MRI of a BIDS".to_owned(),
            needed_pipeline: None,
        }
    }

    fn folder(&self) -> &'static str {
        "t1"
    }

    fn layout(&self) -> Layout {
        Layout::Bids
    }
}
