//! What the pipelines that register to MNI152NLin2009cSym have in common.

use super::{Choice, FileType};

/// The space they register to.
pub(super) const SPACE: &str = "MNI152NLin2009cSym";
/// Template and masks of regions of interest.
pub(super) const REGIONS: Option<(&str, &str)> = Some((SPACE, "res-1x1x1"));

/// What names have where images were cropped.
pub(super) fn crop_tag(choice: &Choice) -> &'static str {
    if choice.use_uncropped_image {
        ""
    } else {
        "_desc-Crop"
    }
}

/// Images of 1 mm, 169×208×179 voxels when cropped, 193×229×193 when not.
///
/// # Source
/// Routier et al. 2021 (Clinica), doi:10.3389/fninf.2021.689675; patterns of ClinicaDL 1.6.1.
pub(super) fn file_type(choice: &Choice, suffix: &str, pipeline: &'static str) -> FileType {
    let tag = crop_tag(choice);
    let words = if choice.use_uncropped_image {
        ""
    } else {
        "and cropped (matrix size 169×208×179, 1 mm isotropic voxels)"
    };
    FileType {
        pattern: format!("*space-{SPACE}{tag}_res-1x1x1_{suffix}.nii.gz"),
        description: format!(
            "{suffix} Image registered in {SPACE} space using {pipeline} pipeline {words}"
        ),
        needed_pipeline: Some(pipeline),
    }
}
