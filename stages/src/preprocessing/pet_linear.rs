//! `pet-linear`: PET, affinely registered to MNI152NLin2009cSym, intensities relative to those of a
//! reference region (SUVR).
//!
//! # Source
//! Routier et al. 2021 (Clinica), doi:10.3389/fninf.2021.689675; patterns of ClinicaDL 1.6.1.

use super::choice::word;
use super::linear::{REGIONS, SPACE, crop_tag};
use super::{Choice, Field, FileType, Preprocessing};

/// Images of Clinica's pipeline `pet-linear`.
pub(super) struct PetLinear;

impl Preprocessing for PetLinear {
    fn file_type(&self, choice: &Choice) -> FileType {
        let tag = crop_tag(choice);
        let tracer = choice.tracer();
        let region = choice.suvr_reference_region.map(|region| word(&region));
        let region = region.unwrap_or_default();
        FileType {
            pattern: format!(
                "pet_linear/*_trc-{tracer}_space-{SPACE}{tag}_res-1x1x1_suvr-{region}_pet.nii.gz"
            ),
            description: String::new(),
            needed_pipeline: Some("pet-linear"),
        }
    }

    fn folder(&self) -> &'static str {
        "pet_linear"
    }

    fn fields(&self) -> &'static [Field] {
        &[
            Field::UseUncroppedImage,
            Field::Tracer,
            Field::SuvrReferenceRegion,
        ]
    }

    fn required(&self) -> &'static [Field] {
        &[Field::Tracer, Field::SuvrReferenceRegion]
    }

    fn regions(&self) -> Option<(&'static str, &'static str)> {
        REGIONS
    }
}
