//! `custom`: images of one's own, found by the end of their names.

use super::{Choice, Field, FileType, Layout, Preprocessing};

/// Images whose names end in `custom_suffix`.
pub(super) struct Custom;

impl Preprocessing for Custom {
    fn file_type(&self, choice: &Choice) -> FileType {
        let suffix = choice.custom_suffix.as_deref().unwrap_or_default();
        FileType {
            pattern: format!("*{suffix}"),
            description: "Custom suffix".to_owned(),
            needed_pipeline: None,
        }
    }

    fn folder(&self) -> &'static str {
        "custom"
    }

    fn layout(&self) -> Layout {
        Layout::Any
    }

    fn fields(&self) -> &'static [Field] {
        &[Field::CustomSuffix]
    }

    fn required(&self) -> &'static [Field] {
        &[Field::CustomSuffix]
    }
}
