//! `dwi-dti`: maps of a diffusion tensor, of the session's own space or of MNI space.
//!
//! ClinicaDL 1.6.1 offers the type and fails on it (it reads options under other names); its pattern
//! would put the words `native` and `normalized` where Clinica has the name of a space.
//!
//! # Source
//! Output folders of Clinica's pipeline `dwi-dti`.

use super::choice::word;
use super::{Choice, DtiMeasure, DtiSpace, Field, FileType, Preprocessing};

/// Maps of Clinica's pipeline `dwi-dti`.
pub(super) struct DwiDti;

impl Preprocessing for DwiDti {
    fn file_type(&self, choice: &Choice) -> FileType {
        let measure = word(&choice.dti_measure.unwrap_or(DtiMeasure::Fa));
        let space = word(&choice.dti_space.unwrap_or(DtiSpace::Native));
        FileType {
            pattern: format!("dwi/dti_based_processing/{space}_space/*_space-*_{measure}.nii.gz"),
            description: format!("DTI-based {measure} in {space} space"),
            needed_pipeline: Some("dwi_dti"),
        }
    }

    fn folder(&self) -> &'static str {
        "dwi_dti"
    }

    fn fields(&self) -> &'static [Field] {
        &[Field::DtiSpace, Field::DtiMeasure]
    }
}
