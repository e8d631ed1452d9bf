//! The rows of every participant.

use std::collections::BTreeMap;

use engine::StageError;

use super::{Person, Table, compare_sessions};

/// Which rows of a table belong to whom; participants in order of their text, and of that of their
/// cohorts.
#[derive(Debug, Clone)]
pub struct People {
    /// The row of each participant's first session.
    first: Vec<usize>,
    /// All rows of each participant, in file order.
    rows: Vec<Vec<usize>>,
    /// The participant of each row.
    of_row: Vec<usize>,
}

impl Table {
    /// Finds the rows of every participant.
    ///
    /// # Errors
    /// Those of [`Table::sessions`].
    pub fn people(&self) -> Result<People, StageError> {
        let sessions = self.sessions()?;
        let mut found: BTreeMap<Person<'_>, Vec<usize>> = BTreeMap::new();
        for (row, session) in sessions.iter().enumerate() {
            found.entry(session.person()).or_default().push(row);
        }
        let earliest = |rows: &Vec<usize>| {
            let rows = rows.iter().copied();
            rows.min_by(|&a, &b| compare_sessions(sessions[a].session, sessions[b].session))
        };
        let rows: Vec<Vec<usize>> = found.into_values().collect();
        let mut of_row = vec![0; self.len()];
        for (person, rows) in rows.iter().enumerate() {
            rows.iter().for_each(|&row| of_row[row] = person);
        }
        Ok(People {
            first: rows.iter().filter_map(earliest).collect(),
            rows,
            of_row,
        })
    }

    /// The row of each participant's first session, participants in order of their text, and of that of
    /// their cohorts.
    ///
    /// # Errors
    /// Those of [`Table::sessions`].
    pub fn baseline(&self) -> Result<Vec<usize>, StageError> {
        self.people().map(|people| people.first)
    }
}

impl People {
    /// The row of each participant's first session.
    pub fn baseline(&self) -> &[usize] {
        &self.first
    }

    /// All rows of the participant of a row, in file order.
    pub fn rows_of(&self, row: usize) -> &[usize] {
        &self.rows[self.of_row[row]]
    }

    /// All rows of the participants of `baseline` rows, participant by participant, in file order.
    pub fn longitudinal(&self, baseline: &[usize]) -> Vec<usize> {
        let rows = baseline.iter().map(|&row| self.rows_of(row));
        rows.flatten().copied().collect()
    }
}
