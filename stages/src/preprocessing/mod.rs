//! Preprocessing types: where a CAPS keeps their images.
//!
//! One file each and one line in the table below; patterns are those of ClinicaDL 1.6.1, which existing
//! extraction files and MAPS hold.

mod pattern;
mod t1_linear;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use pattern::fits;

/// A type of preprocessed image.
pub trait Preprocessing: Sync {
    /// How its images are found.
    fn file_type(&self, choice: &Choice) -> FileType;
}

/// What a manifest chooses besides the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Images cut to the brain's surroundings rather than whole ones.
    pub cropped: bool,
}

/// How images are found, as extraction files hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileType {
    /// Pattern below a session's folder; see [`fits`].
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
    /// T1-weighted MRI registered to MNI space.
    t1_linear::T1Linear,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_patterns_name_gzipped_images() {
        let name = |name: &PreprocessingName| serde_json::to_string(name).unwrap();
        assert!(PreprocessingName::ALL.is_sorted_by_key(name));
        for name in PreprocessingName::ALL {
            for cropped in [false, true] {
                let file_type = name.get().file_type(&Choice { cropped });
                assert!(file_type.pattern.ends_with(".nii.gz"), "{file_type:?}");
            }
        }
    }

    #[test]
    fn the_description_of_t1_linear_is_that_of_extraction_files_of_clinicadl() {
        let cropped = PreprocessingName::T1Linear
            .get()
            .file_type(&Choice { cropped: true });
        let expected = r#"{"pattern":"*space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz","description":"T1w Image registered in MNI152NLin2009cSym space using t1-linear pipeline and cropped (matrix size 169×208×179, 1 mm isotropic voxels)","needed_pipeline":"t1-linear"}"#;
        assert_eq!(serde_json::to_string(&cropped).unwrap(), expected);
        let whole = PreprocessingName::T1Linear
            .get()
            .file_type(&Choice { cropped: false });
        assert_eq!(
            whole.pattern,
            "*space-MNI152NLin2009cSym_res-1x1x1_T1w.nii.gz"
        );
    }
}
