//! A value that all sessions of a participant share, such as a site or a family.

use std::collections::BTreeSet;

use engine::StageError;

use crate::table::{People, Table, is_missing};

/// How many participants a message names at most.
const NAMED: usize = 20;

/// The value of every participant in a column.
#[derive(Debug)]
pub(super) struct Groups<'a> {
    /// Name of the column.
    pub(super) column: &'a str,
    /// The value of each participant, in the order of the baseline.
    pub(super) of_member: Vec<&'a str>,
}

impl<'a> Groups<'a> {
    /// Reads a column, which may be empty at some of a participant's sessions.
    ///
    /// # Errors
    /// There is no such column, or participants have no value or several; all of them are named.
    pub(super) fn read(
        table: &'a Table,
        people: &People,
        baseline: &[usize],
        column: &'a str,
    ) -> Result<Self, StageError> {
        let cells = table.texts(column)?;
        let sessions = table.sessions()?;
        let mut of_member = Vec::with_capacity(baseline.len());
        let mut wrong = Vec::new();
        for &first in baseline {
            let known = people.rows_of(first).iter().copied();
            let mut known = known.filter(|&row| !is_missing(cells[row]));
            let person = sessions[first].person();
            match known.next() {
                None => wrong.push(format!("{person} has none (line {})", table.line(first))),
                Some(row) => {
                    of_member.push(cells[row]);
                    if let Some(other) = known.find(|&other| cells[other] != cells[row]) {
                        wrong.push(format!(
                            "{person} has `{}` on line {} and `{}` on line {}",
                            cells[row],
                            table.line(row),
                            cells[other],
                            table.line(other)
                        ));
                    }
                }
            }
        }
        if wrong.is_empty() {
            return Ok(Self { column, of_member });
        }
        let more = match wrong.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        wrong.truncate(NAMED);
        Err(StageError::new(format!(
            "`{}`: every participant must have one `{column}`, but {}{more}",
            table.shown(),
            wrong.join("; ")
        )))
    }

    /// The distinct values, sorted as text.
    pub(super) fn names(&self) -> Vec<&'a str> {
        let names: BTreeSet<&str> = self.of_member.iter().copied().collect();
        names.into_iter().collect()
    }
}
