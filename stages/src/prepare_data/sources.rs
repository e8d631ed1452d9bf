//! Which images are extracted: those of all folders, or those of a table.

use engine::{Context, StageError};

use super::{PARTICIPANTS, PrepareDataParams, Source, written};
use crate::caps::{CapsImage, Restriction};
use crate::table::Table;

/// What was found.
pub(super) struct Found {
    /// One image per session, sorted by cohort, participant and session; or one tensor, or the first
    /// of its parts.
    pub(super) images: Vec<FoundImage>,
    /// Sessions that a table names without an image.
    pub(super) missing: Vec<[String; 3]>,
}

/// An image, or the tensors that another program made from it.
pub(super) struct FoundImage {
    pub(super) image: CapsImage,
    /// The tensors of its parts, in order; empty for whole images.
    pub(super) parts: Vec<engine::InputFile>,
}

/// Finds the images of every folder, and keeps those of the participants table if there is one.
pub(super) fn find(params: &PrepareDataParams, context: &Context) -> Result<Found, StageError> {
    let mut images = Vec::new();
    for (port, cohort) in params.folders() {
        let input = context.input(port)?;
        let mut found = match params.source {
            Source::Images => params
                .lookup()
                .images(input, context)?
                .into_iter()
                .map(|image| FoundImage {
                    image,
                    parts: Vec::new(),
                })
                .collect(),
            Source::Tensors => written::find(params, input)?,
        };
        for found in &mut found {
            found.image.cohort = cohort.map(str::to_owned);
        }
        images.append(&mut found);
    }
    let mut found = Found {
        images,
        missing: Vec::new(),
    };
    if let Some(participants) = context.optional_input(PARTICIPANTS) {
        let table = Table::read(participants.only_file()?)?;
        let file_type = params.file_type();
        let restriction = Restriction {
            pattern: &file_type.pattern,
            needed_pipeline: file_type.needed_pipeline,
            cohorts: &params.cohorts,
            on_missing: params.on_missing,
        };
        (found.images, found.missing) =
            restriction.apply(found.images, |found| &found.image, &table, context)?;
    }
    Ok(found)
}
