//! `t1-extensive`: T1-weighted MRI without skull, registered non-linearly to Ixi549Space.
//!
//! ClinicaDL 1.6.1 offers the type and has no code for it.
//!
//! # Source
//! Documentation of ClinicaDL 0.2, `preprocessing t1-extensive`.

use super::{Choice, FileType, Preprocessing};

/// Images of the pipeline `t1-extensive`.
pub(super) struct T1Extensive;

impl Preprocessing for T1Extensive {
    fn file_type(&self, _: &Choice) -> FileType {
        FileType {
            pattern: "*space-Ixi549Space_desc-SkullStripped_T1w.nii.gz".to_owned(),
            description: "T1w image without skull, registered in Ixi549Space space using \
                          t1-extensive pipeline"
                .to_owned(),
            needed_pipeline: Some("t1-extensive"),
        }
    }

    fn folder(&self) -> &'static str {
        "t1_extensive"
    }
}
