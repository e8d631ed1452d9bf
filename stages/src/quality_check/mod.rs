//! Quality control of preprocessed images: one score per image, and whether the image passes.
//!
//! ```text
//! caps ─▶ images (pattern) ─▶ measure: one cached item per image ─▶ sorted tables
//! ```
//!
//! An image whose score is not a number, because its voxels are not or because they are all equal, does
//! not pass: its cell is empty, it is at the end of the table, and a warning names it.
//!
//! # Source
//! `clinicadl quality-check` 1.6.1. What differs is said in each file.

pub mod measure;
pub mod pet_linear;
pub mod quality;
mod similarity;
pub mod t1_linear;
pub mod t1_volume;
pub mod views;

pub use pet_linear::{QualityCheckPetLinear, QualityCheckPetLinearParams};
pub use t1_linear::{QualityCheckT1Linear, QualityCheckT1LinearParams};
pub use t1_volume::{QualityCheckT1Volume, QualityCheckT1VolumeParams};

use engine::{Context, StageError};

use crate::caps::{self, CapsImage, OnMissing, Restriction};
use crate::io::nifti;
use crate::listed::some;
use crate::preprocessing::{Choice, PreprocessingName};
use crate::table::Table;
use crate::volume::Volume;

/// The images that a stage checks.
enum Checked<'a> {
    /// Uncropped images of t1-linear.
    T1Linear,
    /// Grey-matter maps of t1-volume in Ixi549 space.
    T1Volume,
    /// Images of pet-linear.
    PetLinear {
        tracer: &'a str,
        suvr_reference_region: &'a str,
        cropped: bool,
    },
}

/// The pattern of the images below a session's folder.
fn pattern(checked: &Checked<'_>) -> String {
    match checked {
        Checked::T1Linear => {
            let t1_linear = PreprocessingName::T1Linear.get();
            let choice = Choice {
                use_uncropped_image: true,
                ..Choice::default()
            };
            t1_linear.file_type(&choice).pattern
        }
        Checked::T1Volume => {
            let t1_volume = PreprocessingName::T1Volume.get();
            t1_volume.file_type(&Choice::default()).pattern
        }
        Checked::PetLinear {
            tracer,
            suvr_reference_region,
            cropped,
        } => {
            let crop = if *cropped { "_desc-Crop" } else { "" };
            format!(
                "pet_linear/*_trc-{tracer}_space-MNI152NLin2009cSym{crop}_res-1x1x1_suvr-{suvr_reference_region}_pet.nii.gz"
            )
        }
    }
}

/// The images of input `caps`, those of the table `participants` only if one is connected.
fn images(
    pattern: &str,
    on_missing: OnMissing,
    context: &Context,
) -> Result<Vec<CapsImage>, StageError> {
    let images = caps::images(context.input("caps")?, pattern, context)?;
    match context.optional_input("participants") {
        None => Ok(images),
        Some(participants) => {
            let table = Table::read(participants.only_file()?)?;
            let restriction = Restriction {
                pattern,
                needed_pipeline: None,
                cohorts: &[],
                on_missing,
            };
            let (images, _) = restriction.apply(images, |image| image, &table, context)?;
            Ok(images)
        }
    }
}

/// Reads the image of an input that is one file, such as a mask.
fn only_volume(port: &str, context: &Context) -> Result<Volume, StageError> {
    nifti::read_input(context.input(port)?)
}

/// Refuses an image on another grid than the volume it is compared with.
fn require_shape(
    volume: &Volume,
    shown: &str,
    expected: [usize; 3],
    of: &str,
) -> Result<(), StageError> {
    if volume.shape == expected {
        return Ok(());
    }
    Err(StageError::new(format!(
        "`{shown}` has {:?} voxels, expected {expected:?} as {of}",
        volume.shape
    )))
}

/// Names the images that have no score.
fn warn_unscored<'a>(unscored: impl Iterator<Item = &'a CapsImage>, context: &Context) {
    let names: Vec<String> = unscored.map(CapsImage::name).collect();
    if !names.is_empty() {
        context.warn(format!(
            "{} images have no score and do not pass, since their voxels are all equal or not all finite: {}",
            names.len(),
            some(&names)
        ));
    }
}

#[cfg(test)]
mod tests;
