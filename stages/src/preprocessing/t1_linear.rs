//! `t1-linear`: T1-weighted MRI, bias-corrected and affinely registered to MNI152NLin2009cSym.

use super::linear::{self, REGIONS};
use super::{Choice, Field, FileType, Preprocessing};

/// Images of Clinica's pipeline `t1-linear`.
pub(super) struct T1Linear;

impl Preprocessing for T1Linear {
    fn file_type(&self, choice: &Choice) -> FileType {
        linear::file_type(choice, "T1w", "t1-linear")
    }

    fn folder(&self) -> &'static str {
        "t1_linear"
    }

    fn fields(&self) -> &'static [Field] {
        &[Field::UseUncroppedImage]
    }

    fn regions(&self) -> Option<(&'static str, &'static str)> {
        REGIONS
    }
}
