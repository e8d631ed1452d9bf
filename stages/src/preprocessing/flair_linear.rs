//! `flair-linear`: FLAIR, bias-corrected and affinely registered to MNI152NLin2009cSym.

use super::linear::{self, REGIONS};
use super::{Choice, Field, FileType, Preprocessing};

/// Images of Clinica's pipeline `flair-linear`.
pub(super) struct FlairLinear;

impl Preprocessing for FlairLinear {
    fn file_type(&self, choice: &Choice) -> FileType {
        linear::file_type(choice, "flair", "flair-linear")
    }

    fn folder(&self) -> &'static str {
        "flair_linear"
    }

    fn fields(&self) -> &'static [Field] {
        &[Field::UseUncroppedImage]
    }

    fn regions(&self) -> Option<(&'static str, &'static str)> {
        REGIONS
    }
}
