//! Preprocessing types: where a CAPS keeps their images. One file each, listed in [`PREPROCESSINGS`].

mod t1_linear;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The types that manifests can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PreprocessingName {
    /// T1-weighted MRI registered to MNI space.
    T1Linear,
}

/// A type of preprocessed image.
pub trait Preprocessing: Sync {
    /// The type's name in manifests.
    fn name(&self) -> PreprocessingName;

    /// The file name pattern below a session's folder: `*` stands for any text.
    fn pattern(&self, cropped: bool) -> String;

    /// The description that ClinicaDL stores with the pattern.
    fn description(&self, cropped: bool) -> String;

    /// The Clinica pipeline that makes these images.
    fn pipeline(&self) -> &'static str;
}

/// Every type, in order of name.
pub static PREPROCESSINGS: &[&dyn Preprocessing] = &[&t1_linear::T1Linear];

impl PreprocessingName {
    /// The type of this name.
    pub fn get(self) -> &'static dyn Preprocessing {
        PREPROCESSINGS
            .iter()
            .copied()
            .find(|preprocessing| preprocessing.name() == self)
            .unwrap_or(PREPROCESSINGS[0])
    }
}

/// Whether `name` fits a pattern, letters compared without case as ClinicaDL does.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_any_text_for_a_star_and_either_case() {
        assert!(fits("*space-x_T1w.nii.gz", "sub-1_ses-1_SPACE-x_t1w.nii.gz"));
        assert!(!fits("*space-x_T1w.nii.gz", "sub-1_space-x_desc-Crop_T1w.nii.gz"));
        assert!(fits("a*b*c", "a__b_b_c") && fits("a", "a") && !fits("a", "ab"));
        assert!(!fits("*a*a", "a"));
    }

    #[test]
    fn every_name_has_its_type() {
        assert_eq!(PreprocessingName::T1Linear.get().pipeline(), "t1-linear");
    }
}
