//! `pet`: PET of a BIDS, as it was acquired.

use super::{Choice, Field, FileType, Layout, Preprocessing};

/// Raw images of the modality pet, of one tracer if it is given: often a series.
pub(super) struct Pet;

impl Preprocessing for Pet {
    fn file_type(&self, choice: &Choice) -> FileType {
        let tracer = match &choice.tracer {
            Some(tracer) => format!("_trc-{tracer}*"),
            None => "*".to_owned(),
        };
        FileType {
            pattern: format!("pet/sub-*{tracer}_pet.nii*"),
            description: "PET of a BIDS".to_owned(),
            needed_pipeline: None,
        }
    }

    fn folder(&self) -> &'static str {
        "pet"
    }

    fn layout(&self) -> Layout {
        Layout::Bids
    }

    fn fields(&self) -> &'static [Field] {
        &[Field::Tracer]
    }
}
