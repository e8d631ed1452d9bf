//! `t2-linear`: T2-weighted MRI, bias-corrected and affinely registered to MNI152NLin2009cSym.

use super::linear::{self, REGIONS};
use super::{Choice, Field, FileType, Preprocessing};

/// Images of Clinica's pipeline `t2-linear`.
pub(super) struct T2Linear;

impl Preprocessing for T2Linear {
    fn file_type(&self, choice: &Choice) -> FileType {
        linear::file_type(choice, "T2w", "t2-linear")
    }

    fn folder(&self) -> &'static str {
        "t2_linear"
    }

    fn fields(&self) -> &'static [Field] {
        &[Field::UseUncroppedImage]
    }

    fn regions(&self) -> Option<(&'static str, &'static str)> {
        REGIONS
    }
}
