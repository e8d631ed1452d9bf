//! The images of the sessions that a table names.

use std::collections::BTreeSet;

use engine::{Context, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CapsImage;
use crate::listed::some;
use crate::table::{COHORT, Table, canonical_session};

/// What to do about sessions that a participants table names and the folder has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnMissing {
    /// Stop, naming all of them.
    Error,
    /// Leave them out, with a warning, and record them.
    Drop,
}

/// How images are restricted to a table.
#[derive(Debug, Clone, Copy)]
pub struct Restriction<'a> {
    /// The pattern that images were looked for with.
    pub pattern: &'a str,
    /// The pipeline that makes them.
    pub needed_pipeline: Option<&'a str>,
    /// The cohorts, where there are several.
    pub cohorts: &'a [String],
    /// What is done about sessions without an image.
    pub on_missing: OnMissing,
}

/// Cohort (empty where there is one only), participant and session.
pub type Key = [String; 3];

impl Restriction<'_> {
    /// Keeps the images of the table's sessions; returns them, and the sessions without.
    ///
    /// # Errors
    /// Sessions have no image (all are named), none has one, or the table does not tell cohorts apart.
    pub fn apply<T>(
        &self,
        mut images: Vec<T>,
        image: impl Fn(&T) -> &CapsImage,
        table: &Table,
        context: &Context,
    ) -> Result<(Vec<T>, Vec<Key>), StageError> {
        let cohorts = self.cohorts_of(table)?;
        let rows = table.sessions()?.into_iter().zip(cohorts);
        let wanted: BTreeSet<Key> = rows
            .map(|(session, cohort)| {
                [
                    cohort,
                    session.participant.to_owned(),
                    canonical_session(session.session).into_owned(),
                ]
            })
            .collect();
        let key = |found: &T| {
            let (cohort, participant, session) = image(found).key();
            let session = canonical_session(session);
            [cohort.unwrap_or_default(), participant, &*session].map(str::to_owned)
        };
        let present: BTreeSet<Key> = images.iter().map(key).collect();
        let missing: Vec<Key> = wanted.difference(&present).cloned().collect();
        if !missing.is_empty() {
            self.tell(&missing, wanted.len(), table, context)?;
        }
        images.retain(|image| wanted.contains(&key(image)));
        if images.is_empty() {
            let message = format!("no session of `{}` has an image", table.shown());
            return Err(StageError::new(message));
        }
        Ok((images, missing))
    }

    fn tell(
        &self,
        missing: &[Key],
        wanted: usize,
        table: &Table,
        context: &Context,
    ) -> Result<(), StageError> {
        let name = |[cohort, participant, session]: &Key| match cohort.as_str() {
            "" => format!("{participant}, {session}"),
            cohort => format!("{participant}, {session} of {cohort}"),
        };
        let names: Vec<String> = missing.iter().map(name).collect();
        let message = format!(
            "no image `{}` for {} of {wanted} sessions of `{}`: ",
            self.pattern,
            missing.len(),
            table.shown(),
        );
        if self.on_missing == OnMissing::Drop {
            context.warn(message + &some(&names));
            return Ok(());
        }
        let hint = "leave them out of the table, or set `on_missing: drop`";
        let mut error = StageError::new(message + &names.join("; ")).hint(hint);
        if let Some(pipeline) = self.needed_pipeline {
            error = error.hint(format!("they come from Clinica's pipeline `{pipeline}`"));
        }
        Err(error)
    }

    /// The cohort of each row; empty where there is one only.
    fn cohorts_of(&self, table: &Table) -> Result<Vec<String>, StageError> {
        if self.cohorts.is_empty() {
            return Ok(vec![String::new(); table.len()]);
        }
        let column = table.column(COHORT).map_err(|e| {
            e.hint("a participant is known by cohort and name: the table needs a column `cohort`")
        })?;
        let cohorts = table.complete_texts(COHORT)?;
        for (row, cohort) in cohorts.iter().enumerate() {
            if !self.cohorts.iter().any(|known| known == cohort) {
                let message = format!(
                    "{}: there is no cohort `{cohort}`",
                    table.place(row, column)
                );
                let names = self.cohorts.join(", ");
                return Err(StageError::new(message).hint(format!("the cohorts are {names}")));
            }
        }
        Ok(cohorts.into_iter().map(str::to_owned).collect())
    }
}
