//! `t1-volume`: tissue probability maps of SPM, in Ixi549Space or on a DARTEL group template.
//!
//! ClinicaDL 1.6.1 reaches some of them as custom images.
//!
//! # Source
//! Routier et al. 2021 (Clinica), doi:10.3389/fninf.2021.689675, pipeline `t1-volume`.

use super::choice::word;
use super::{Choice, Field, FileType, Preprocessing, Tissue};

/// Maps of Clinica's pipeline `t1-volume`.
pub(super) struct T1Volume;

impl Preprocessing for T1Volume {
    fn file_type(&self, choice: &Choice) -> FileType {
        let tissue = word(&choice.tissue.unwrap_or(Tissue::GrayMatter));
        let modulated = if choice.modulated == Some(true) {
            "on"
        } else {
            "off"
        };
        let folder = choice.group_label.as_ref().map_or_else(
            || "t1/spm/segmentation/normalized_space".to_owned(),
            |group| format!("t1/spm/dartel/group-{group}"),
        );
        let smoothing = choice.fwhm_mm.map(|mm| format!("_fwhm-{mm}mm"));
        let smoothing = smoothing.unwrap_or_default();
        FileType {
            pattern: format!(
                "{folder}/*_T1w_segm-{tissue}_space-Ixi549Space_modulated-{modulated}{smoothing}_probability.nii.gz"
            ),
            description: format!("{tissue} map in Ixi549Space space using t1-volume pipeline"),
            needed_pipeline: Some("t1-volume"),
        }
    }

    fn folder(&self) -> &'static str {
        "t1_volume"
    }

    fn fields(&self) -> &'static [Field] {
        &[
            Field::Tissue,
            Field::Modulated,
            Field::GroupLabel,
            Field::FwhmMm,
        ]
    }
}
