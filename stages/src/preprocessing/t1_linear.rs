//! `t1-linear`: T1-weighted MRI, bias-corrected and affinely registered to MNI152NLin2009cSym.
//!
//! # Source
//! Routier et al. 2021 (Clinica), doi:10.3389/fninf.2021.689675; file names of ClinicaDL 1.6.1.

use super::{Preprocessing, PreprocessingName};

/// Images at 1 mm, 169×208×179 voxels when cropped, 193×229×193 when not.
pub(super) struct T1Linear;

impl Preprocessing for T1Linear {
    fn name(&self) -> PreprocessingName {
        PreprocessingName::T1Linear
    }

    fn pattern(&self, cropped: bool) -> String {
        let crop = if cropped { "_desc-Crop" } else { "" };
        format!("*space-MNI152NLin2009cSym{crop}_res-1x1x1_T1w.nii.gz")
    }

    fn description(&self, cropped: bool) -> String {
        let crop = if cropped { "and cropped (matrix size 169×208×179, 1 mm isotropic voxels)" } else { "" };
        format!("T1W Image registered in MNI152NLin2009cSym space using t1-linear pipeline {crop}")
    }

    fn pipeline(&self) -> &'static str {
        "t1-linear"
    }
}
