//! Which images are extracted: those of all folders, or those of a table.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Context, StageError};

use super::{OnMissing, PARTICIPANTS, PrepareDataParams, Source, written};
use crate::caps::{CapsImage, some};
use crate::table::Table;

/// Column of the cohort.
const COHORT: &str = "cohort";

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
        restrict(&mut found, &table, params, context)?;
    }
    Ok(found)
}

/// Keeps the sessions of a table.
fn restrict(
    found: &mut Found,
    table: &Table,
    params: &PrepareDataParams,
    context: &Context,
) -> Result<(), StageError> {
    let cohorts = cohorts_of(table, params)?;
    let wanted: BTreeSet<[String; 3]> = table
        .sessions()?
        .into_iter()
        .zip(cohorts)
        .map(|(session, cohort)| {
            [
                cohort,
                session.participant.to_owned(),
                session.session.to_owned(),
            ]
        })
        .collect();
    let key = |image: &CapsImage| {
        let (cohort, participant, session) = image.key();
        [cohort.unwrap_or_default(), participant, session].map(str::to_owned)
    };
    let present: BTreeSet<_> = found.images.iter().map(|found| key(&found.image)).collect();
    let missing: Vec<[String; 3]> = wanted.difference(&present).cloned().collect();
    let name = |[cohort, participant, session]: &[String; 3]| match cohort.as_str() {
        "" => format!("{participant}, {session}"),
        cohort => format!("{participant}, {session} of {cohort}"),
    };
    if !missing.is_empty() {
        let names: Vec<String> = missing.iter().map(name).collect();
        let pattern = params.file_type().pattern;
        let message = format!(
            "no image `{pattern}` for {} of {} sessions of `{}`: ",
            missing.len(),
            wanted.len(),
            table.shown(),
        );
        match params.on_missing {
            OnMissing::Drop => {
                context.warn(format!("{message}{}; see `missing.tsv`", some(&names)));
            }
            OnMissing::Error => {
                let hint = "leave them out of the table, or set `on_missing: drop`";
                let mut error = StageError::new(message + &names.join("; ")).hint(hint);
                if let Some(pipeline) = params.file_type().needed_pipeline {
                    error = error.hint(format!("they come from Clinica's pipeline `{pipeline}`"));
                }
                return Err(error);
            }
        }
    }
    found
        .images
        .retain(|found| wanted.contains(&key(&found.image)));
    found.missing = missing;
    if found.images.is_empty() {
        let message = format!("no session of `{}` has an image", table.shown());
        return Err(StageError::new(message));
    }
    Ok(())
}

/// The cohort of each row; empty where there is one only.
fn cohorts_of(table: &Table, params: &PrepareDataParams) -> Result<Vec<String>, StageError> {
    if params.cohorts.is_empty() {
        return Ok(vec![String::new(); table.len()]);
    }
    let column = table.column(COHORT).map_err(|e| {
        e.hint("a participant is known by cohort and name: the table needs a column `cohort`")
    })?;
    let known: BTreeMap<&str, ()> = params.cohorts.iter().map(|c| (c.as_str(), ())).collect();
    let cohorts = table.complete_texts(COHORT)?;
    for (row, cohort) in cohorts.iter().enumerate() {
        if !known.contains_key(cohort) {
            let message = format!(
                "{}: there is no cohort `{cohort}`",
                table.place(row, column)
            );
            let names = params.cohorts.join(", ");
            return Err(StageError::new(message).hint(format!("the cohorts are {names}")));
        }
    }
    Ok(cohorts.into_iter().map(str::to_owned).collect())
}
