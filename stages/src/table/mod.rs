//! Tables of participants and sessions: tab-separated values with a header.
//!
//! A cell is text until a column's meaning is known. Rows remember their line, so that every complaint
//! about a cell names file, line and column.

mod session;

use std::collections::{BTreeMap, BTreeSet};

use engine::{InputFile, StageError};

pub use session::{Session, compare_sessions};

/// Column of participants.
pub const PARTICIPANT: &str = "participant_id";
/// Column of sessions.
pub const SESSION: &str = "session_id";

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

    /// Reads a table from bytes; `shown` is what messages call it.
    ///
    /// A byte order mark and Windows line ends are accepted; spaces round cells are dropped.
    ///
    /// # Errors
    /// The text is not UTF-8, has no header, names a column twice, or has a row of another length.
    pub fn parse(bytes: &[u8], shown: &str) -> Result<Self, StageError> {
        let text = std::str::from_utf8(bytes).map_err(|e| {
            StageError::new(format!("`{shown}` is not UTF-8 text at byte {}", e.valid_up_to()))
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(b'\t')
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let wrong = |e: csv::Error| StageError::new(wrong_row(shown, &e));
        let columns: Vec<String> =
            reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
        if columns.iter().all(String::is_empty) {
            return Err(StageError::new(format!("`{shown}` is empty, expected a header line")));
        }
        if columns.len() == 1 && columns[0].contains([',', ';']) {
            let message = format!("`{shown}` is not tab-separated: its header is `{}`", columns[0]);
            return Err(StageError::new(message).hint("save the table with tabs between columns"));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = columns.iter().find(|column| !seen.insert(column.as_str())) {
            return Err(StageError::new(format!("`{shown}` has two columns named `{twice}`")));
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(wrong)?;
            let line = record.position().map_or(0, csv::Position::line);
            rows.push(Row { line, cells: record.iter().map(str::to_owned).collect() });
        }
        Ok(Self { shown: shown.to_owned(), columns, rows })
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
    /// There is none; the hint names a similar one or all.
    pub fn column(&self, name: &str) -> Result<usize, StageError> {
        self.columns.iter().position(|column| column == name).ok_or_else(|| {
            let known: Vec<String> = self.columns.iter().map(|c| format!("`{c}`")).collect();
            StageError::new(format!("`{}` has no column `{name}`", self.shown))
                .hint(format!("its columns are {}", known.join(", ")))
        })
    }

    /// The text of a cell; empty if it is missing.
    pub fn cell(&self, row: usize, column: usize) -> &str {
        self.rows[row].cells.get(column).map_or("", String::as_str)
    }

    /// The place of a cell in messages: `table.tsv`, line 3, column `age`.
    pub fn place(&self, row: usize, column: usize) -> String {
        format!("`{}`, line {}, column `{}`", self.shown, self.rows[row].line, self.columns[column])
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
        let column = self.column(name)?;
        (0..self.len())
            .map(|row| match self.cell(row, column) {
                cell if is_missing(cell) => {
                    let place = self.place(row, column);
                    Err(StageError::new(format!("{place}: the value is missing")))
                }
                cell => Ok(cell),
            })
            .collect()
    }

    /// Participant and session of every row.
    ///
    /// # Errors
    /// A column is missing, a cell is empty, or a session appears twice.
    pub fn sessions(&self) -> Result<Vec<Session<'_>>, StageError> {
        let participants = self.complete_texts(PARTICIPANT)?;
        let sessions = self.complete_texts(SESSION)?;
        let mut seen: BTreeMap<Session<'_>, u64> = BTreeMap::new();
        let mut all = Vec::with_capacity(self.len());
        for (row, (participant, session)) in participants.into_iter().zip(sessions).enumerate() {
            let session = Session { participant, session };
            let line = self.rows[row].line;
            if let Some(first) = seen.insert(session, line) {
                return Err(StageError::new(format!(
                    "`{}`: {participant}, {} is on lines {first} and {line}",
                    self.shown, session.session
                )));
            }
            all.push(session);
        }
        Ok(all)
    }

    /// The row of each participant's first session, participants in order of their text.
    ///
    /// # Errors
    /// Those of [`Table::sessions`].
    pub fn baseline(&self) -> Result<Vec<usize>, StageError> {
        let mut first: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        for (row, session) in self.sessions()?.into_iter().enumerate() {
            let earliest = first.entry(session.participant).or_insert((row, session.session));
            if compare_sessions(session.session, earliest.1).is_lt() {
                *earliest = (row, session.session);
            }
        }
        Ok(first.into_values().map(|(row, _)| row).collect())
    }

    /// All rows of the participants of `baseline` rows, participant by participant, in file order.
    ///
    /// # Errors
    /// Those of [`Table::sessions`].
    pub fn longitudinal(&self, baseline: &[usize]) -> Result<Vec<usize>, StageError> {
        let sessions = self.sessions()?;
        let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (row, session) in sessions.iter().enumerate() {
            rows.entry(session.participant).or_default().push(row);
        }
        Ok(baseline.iter().flat_map(|&row| rows[sessions[row].participant].clone()).collect())
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
        let mut writer = csv::WriterBuilder::new().delimiter(b'\t').from_writer(Vec::new());
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

fn wrong_row(shown: &str, error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("`{shown}`, line {line}: {len} cells, expected {expected_len} as in the header")
        }
        _ => format!("`{shown}` is not a table: {error}"),
    }
}

#[cfg(test)]
mod tests;
