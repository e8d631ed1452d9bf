//! `t1-linear`: T1-weighted MRI, bias-corrected and affinely registered to MNI152NLin2009cSym.
//!
//! # Source
//! Routier et al. 2021 (Clinica), doi:10.3389/fninf.2021.689675; patterns of ClinicaDL 1.6.1.

use super::{Choice, FileType, Preprocessing};

/// Images at 1 mm, 169×208×179 voxels when cropped, 193×229×193 when not.
pub(super) struct T1Linear;

impl Preprocessing for T1Linear {
    fn file_type(&self, choice: &Choice) -> FileType {
        let (tag, words) = if choice.cropped {
            let size = "matrix size 169×208×179, 1 mm isotropic voxels";
            ("_desc-Crop", format!("and cropped ({size})"))
        } else {
            ("", String::new())
        };
        let space = "MNI152NLin2009cSym";
        FileType {
            pattern: format!("*space-{space}{tag}_res-1x1x1_T1w.nii.gz"),
            description: format!(
                "T1w Image registered in {space} space using t1-linear pipeline {words}"
            ),
            needed_pipeline: Some("t1-linear"),
        }
    }
}
