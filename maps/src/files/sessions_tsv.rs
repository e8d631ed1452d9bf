//! `groups/train+validation.tsv`: every session that a training could see, in any split.

use crate::MapsError;

use super::tsv::{Sheet, write};

const COLUMNS: [&str; 2] = ["participant_id", "session_id"];

/// A session of a participant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session {
    /// The participant, `sub-…`.
    pub participant: String,
    /// The session, `ses-…`.
    pub session: String,
}

/// The rows of `train+validation.tsv`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionsTable {
    /// In the order of the file.
    pub rows: Vec<Session>,
}

impl SessionsTable {
    /// Reads the file; further columns are ignored.
    ///
    /// # Errors
    /// It is no table with these columns, or a cell is empty.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let sheet = Sheet::read(bytes, file)?;
        let [participant, session] = [sheet.column(COLUMNS[0])?, sheet.column(COLUMNS[1])?];
        let rows = sheet.rows.iter().map(|row| {
            Ok(Session {
                participant: sheet.text(row, participant)?,
                session: sheet.text(row, session)?,
            })
        });
        Ok(Self {
            rows: rows.collect::<Result<_, MapsError>>()?,
        })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = COLUMNS.map(str::to_owned);
        let rows = self
            .rows
            .iter()
            .map(|row| [row.participant.clone(), row.session.clone()]);
        write(std::iter::once(header).chain(rows))
    }
}
