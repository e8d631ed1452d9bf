//! Tables of participants and sessions: tab-separated values with a header.
//!
//! A cell is text until a column's meaning is known. Rows remember their line, so that every complaint
//! about a cell names file, line and column. A table knows nothing of what its labels mean.

mod column;
mod edit;
mod parse;
mod people;
mod session;

use engine::{InputFile, StageError};

pub use column::Column;
pub use people::People;
pub(crate) use session::is_identifier;
pub use session::{Person, SINGLE_COHORT, Session, canonical_session, compare_sessions, months};

/// Column of participants.
pub const PARTICIPANT: &str = "participant_id";
/// Column of cohorts, which a table may lack.
pub const COHORT: &str = "cohort";
/// Column of sessions.
pub const SESSION: &str = "session_id";
/// How many columns a message lists at most.
const LISTED: usize = 20;

/// A table in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    shown: String,
    columns: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    line: u64,
    cells: Vec<String>,
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// The file cannot be read or is not a table; see [`Table::parse`].
    pub fn read(file: &InputFile) -> Result<Self, StageError> {
        let bytes =
            std::fs::read(&file.path).map_err(|e| StageError::io("read table", &file.path, &e))?;
        Self::parse(&bytes, &file.shown)
    }

    /// What messages call the table.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Number of rows below the header.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row below the header.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The position of a column.
    ///
    /// # Errors
    /// There is none; the hints name a similar one and those that are there.
    pub fn column(&self, name: &str) -> Result<usize, StageError> {
        if let Some(position) = self.columns.iter().position(|column| column == name) {
            return Ok(position);
        }
        let mut error = StageError::new(format!("`{}` has no column `{name}`", self.shown));
        if let Some(similar) = most_similar(name, &self.columns) {
            error = error.hint(format!("did you mean `{similar}`?"));
        }
        let listed = self.columns.iter().take(LISTED);
        let mut known = listed
            .map(|c| format!("`{c}`"))
            .collect::<Vec<_>>()
            .join(", ");
        if self.columns.len() > LISTED {
            known.push_str(&format!(" and {} more", self.columns.len() - LISTED));
        }
        Err(error.hint(format!("its columns are {known}")))
    }

    /// The text of a cell; empty if it is missing.
    pub fn cell(&self, row: usize, column: usize) -> &str {
        self.rows[row].cells.get(column).map_or("", String::as_str)
    }

    /// The place of a cell in messages: `table.tsv`, line 3, column `age`.
    pub fn place(&self, row: usize, column: usize) -> String {
        format!(
            "`{}`, line {}, column `{}`",
            self.shown, self.rows[row].line, self.columns[column]
        )
    }

    /// A column's texts.
    ///
    /// # Errors
    /// There is no such column.
    pub fn texts(&self, name: &str) -> Result<Vec<&str>, StageError> {
        let column = self.column(name)?;
        Ok((0..self.len()).map(|row| self.cell(row, column)).collect())
    }

    /// A column's texts, none of which may be missing.
    ///
    /// # Errors
    /// There is no such column, or a cell is empty or says `n/a` or NaN.
    pub fn complete_texts(&self, name: &str) -> Result<Vec<&str>, StageError> {
        self.complete_texts_of(name, &(0..self.len()).collect::<Vec<_>>())
    }

    /// A column's texts in some rows, none of which may be missing.
    ///
    /// # Errors
    /// There is no such column, or a cell is empty or says `n/a` or NaN.
    pub fn complete_texts_of(&self, name: &str, rows: &[usize]) -> Result<Vec<&str>, StageError> {
        let column = self.column(name)?;
        rows.iter()
            .map(|&row| match self.cell(row, column) {
                cell if is_missing(cell) => {
                    let place = self.place(row, column);
                    Err(StageError::new(format!("{place}: the value is missing")))
                }
                cell => Ok(cell),
            })
            .collect()
    }

    /// The line of a row in its file.
    pub fn line(&self, row: usize) -> u64 {
        self.rows[row].line
    }

    /// The table of some rows.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            shown: self.shown.clone(),
            columns: self.columns.clone(),
            rows: rows.iter().map(|&row| self.rows[row].clone()).collect(),
        }
    }

    /// The table as text: participant and session first, then the other columns as they were.
    ///
    /// # Errors
    /// The columns of participants and sessions are missing.
    pub fn to_tsv(&self) -> Result<Vec<u8>, StageError> {
        let first = [self.column(PARTICIPANT)?, self.column(SESSION)?];
        let order: Vec<usize> = first
            .into_iter()
            .chain((0..self.columns.len()).filter(|column| !first.contains(column)))
            .collect();
        let mut writer = csv::WriterBuilder::new()
            .delimiter(b'\t')
            .from_writer(Vec::new());
        let header = order.iter().map(|&column| self.columns[column].as_str());
        writer.write_record(header).map_err(StageError::internal)?;
        for row in 0..self.len() {
            let cells = order.iter().map(|&column| self.cell(row, column));
            writer.write_record(cells).map_err(StageError::internal)?;
        }
        writer.into_inner().map_err(StageError::internal)
    }
}

/// Whether a cell says that its value is not known.
pub fn is_missing(cell: &str) -> bool {
    matches!(cell, "" | "n/a" | "N/A" | "NA" | "nan" | "NaN")
}

/// The name that was probably meant, if one is close enough.
fn most_similar<'a>(wrong: &str, names: &'a [String]) -> Option<&'a String> {
    let distance =
        |name: &str| strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase());
    names
        .iter()
        .filter(|name| distance(name) <= 1 + wrong.len().max(name.len()) / 4)
        .min_by_key(|name| distance(name))
}

#[cfg(test)]
mod tests;
