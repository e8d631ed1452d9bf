//! Preprocessing types: where a CAPS or a BIDS keeps their images.
//!
//! One file each and one line in the table below; patterns are those of ClinicaDL 1.6.1, which existing
//! extraction files and MAPS hold.

mod choice;
mod custom;
mod dwi;
mod dwi_dti;
mod flair;
mod flair_linear;
mod linear;
mod pattern;
mod pet;
mod pet_linear;
mod t1;
mod t1_extensive;
mod t1_linear;
mod t1_volume;
mod t2_linear;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use choice::{Choice, DtiMeasure, DtiSpace, Field, SuvrRegion, Tissue};
pub use pattern::{Pattern, fits};

/// A type of image.
pub trait Preprocessing: Sync {
    /// How its images are found.
    fn file_type(&self, choice: &Choice) -> FileType;

    /// Folder of its tensors below `deeplearning_prepare_data/<mode>_based/`.
    fn folder(&self) -> &'static str;

    /// Where its images are.
    fn layout(&self) -> Layout {
        Layout::Caps
    }

    /// The fields of a [`Choice`] that it uses.
    fn fields(&self) -> &'static [Field] {
        &[]
    }

    /// The fields that must be given.
    fn required(&self) -> &'static [Field] {
        &[]
    }

    /// The template space of its images and what the names of masks on its grid contain, for regions
    /// of interest; none if a manifest has to name them.
    fn regions(&self) -> Option<(&'static str, &'static str)> {
        None
    }
}

/// Which trees have the images of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `subjects/sub-*/ses-*/…`, made by Clinica.
    Caps,
    /// `sub-*/ses-*/…` or, without sessions, `sub-*/…`: raw images.
    Bids,
    /// Either, whichever the folder is.
    Any,
}

/// How images are found, as extraction files hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileType {
    /// Pattern below a session's folder; see [`Pattern`].
    pub pattern: String,
    /// One sentence.
    pub description: String,
    /// The Clinica pipeline that makes these images, if it is one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed_pipeline: Option<&'static str>,
}

macro_rules! preprocessings {
    ($( $(#[$meta:meta])* $module:ident::$name:ident ),* $(,)?) => {
        /// The types that manifests can name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum PreprocessingName {
            $( $(#[$meta])* $name, )*
        }

        impl PreprocessingName {
            /// Every type.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The type of this name.
            pub fn get(self) -> &'static dyn Preprocessing {
                match self {
                    $( Self::$name => &$module::$name, )*
                }
            }
        }
    };
}

preprocessings! {
    /// Any images, found by the end of their names: `custom_suffix`.
    custom::Custom,
    /// Raw diffusion MRI of a BIDS.
    dwi::Dwi,
    /// Maps of a diffusion tensor: `dti_measure`, `dti_space`.
    dwi_dti::DwiDti,
    /// Raw FLAIR of a BIDS.
    flair::Flair,
    /// FLAIR registered to MNI space.
    flair_linear::FlairLinear,
    /// Raw PET of a BIDS; `tracer` if there are several.
    pet::Pet,
    /// PET registered to MNI space, intensities relative to a region: `tracer`, `suvr_reference_region`.
    pet_linear::PetLinear,
    /// Raw T1-weighted MRI of a BIDS.
    t1::T1,
    /// T1-weighted MRI without skull, registered non-linearly.
    t1_extensive::T1Extensive,
    /// T1-weighted MRI registered to MNI space.
    t1_linear::T1Linear,
    /// Tissue maps of SPM: `tissue`, `modulated`, `group_label`, `fwhm_mm`.
    t1_volume::T1Volume,
    /// T2-weighted MRI registered to MNI space.
    t2_linear::T2Linear,
}

impl PreprocessingName {
    /// What is wrong with a choice: the field and why.
    pub fn check(self, choice: &Choice) -> Vec<(&'static str, String)> {
        let kind = self.get();
        let name = serde_json::to_value(self).unwrap_or_default();
        let name = name.as_str().unwrap_or_default();
        let mut issues = Vec::new();
        for field in Field::ALL {
            let (is_set, field_name) = (field.is_set(choice), field.name());
            if is_set && !kind.fields().contains(field) {
                let message = format!("preprocessing `{name}` does not use it");
                issues.push((field_name, message));
            }
            if !is_set && kind.required().contains(field) {
                issues.push((field_name, format!("preprocessing `{name}` needs it")));
            }
        }
        for (field, text) in [
            (Field::Tracer, &choice.tracer),
            (Field::CustomSuffix, &choice.custom_suffix),
            (Field::GroupLabel, &choice.group_label),
        ] {
            let text = text.as_deref().unwrap_or("x");
            if text.is_empty() || text.starts_with('/') || text.contains("..") {
                issues.push((
                    field.name(),
                    format!("`{text}` cannot be a part of file names"),
                ));
            }
        }
        issues
    }
}

#[cfg(test)]
mod tests;
