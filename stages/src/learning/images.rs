//! Extracted images, by session.

use std::collections::BTreeMap;

use engine::{Input, InputFile, StageError};

use crate::extraction::Extraction;
use crate::table::{Session, Table, canonical_session};

/// Participant and session.
type Key = (String, String);

/// An extracted image.
#[derive(Debug)]
pub struct Stored {
    /// Its cohort.
    pub cohort: String,
    /// The session as the index names it.
    pub session: String,
    /// Where it is.
    pub file: InputFile,
    /// Digest of the voxels.
    pub voxels: Option<String>,
}

/// Extracted images.
#[derive(Debug)]
pub struct Images {
    shown: String,
    /// One image of each cohort that has such a participant and session.
    files: BTreeMap<Key, Vec<Stored>>,
    /// Whether there are several cohorts.
    pub has_cohorts: bool,
    /// How they were extracted.
    pub extraction: Extraction,
}

impl Images {
    /// Reads the index of extracted images.
    ///
    /// # Errors
    /// A file of the artifact is missing or malformed.
    pub fn open(input: &Input) -> Result<Self, StageError> {
        let index = Table::read(input.require("images.tsv")?)?;
        let paths = index.complete_texts("file")?;
        let voxels = index.texts("voxels").unwrap_or_default();
        let files = index
            .sessions()?
            .into_iter()
            .zip(paths)
            .enumerate()
            .map(|(row, (session, path))| {
                let voxels = voxels.get(row).map(|digest| (*digest).to_owned());
                // The index may name files from its own folder or from the artifact's root.
                let file = input.file(path).map_or_else(
                    || input.require(&format!("images/{path}")),
                    Ok::<_, StageError>,
                )?;
                let stored = Stored {
                    cohort: session.cohort.to_owned(),
                    session: session.session.to_owned(),
                    file: file.clone(),
                    voxels,
                };
                Ok((key(session), stored))
            })
            .collect::<Result<Vec<_>, StageError>>()?;
        let mut by_session: BTreeMap<Key, Vec<Stored>> = BTreeMap::new();
        for (key, stored) in files {
            by_session.entry(key).or_default().push(stored);
        }
        Ok(Self {
            shown: input.shown.clone(),
            files: by_session,
            has_cohorts: index.has_cohorts(),
            extraction: Extraction::open(input)?,
        })
    }

    /// What messages call them.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The image of a session. A table that tells no cohort, or images that have none, are compared by
    /// participant and session.
    /// # Errors
    /// It is in several cohorts, and the table does not say which.
    pub fn find(&self, session: Session<'_>, table: &Table) -> Result<Option<&Stored>, StageError> {
        let Some(found) = self.files.get(&key(session)) else {
            return Ok(None);
        };
        if table.has_cohorts() && self.has_cohorts {
            return Ok(found.iter().find(|stored| stored.cohort == session.cohort));
        }
        match found.as_slice() {
            [stored] => Ok(Some(stored)),
            _ => Err(StageError::new(format!(
                "`{}`: {session} is in several cohorts of `{}`",
                table.shown(),
                self.shown
            ))
            .hint("the table needs a column `cohort`")),
        }
    }
}

/// The key of a session.
fn key(session: Session<'_>) -> Key {
    (
        session.participant.to_owned(),
        canonical_session(session.session).into_owned(),
    )
}
