//! From bytes to a table. Whatever is accepted here has one cell per column in every row, and no line
//! end inside a cell.

use std::collections::BTreeSet;

use engine::StageError;

use super::{Row, Table};

impl Table {
    /// Reads a table from bytes; `shown` is what messages call it.
    ///
    /// A byte order mark and Windows line ends are accepted; spaces round cells are dropped, and lines
    /// without any character are left out.
    ///
    /// # Errors
    /// The text is not UTF-8, has no header, names a column twice, or has a row of another length.
    pub fn parse(bytes: &[u8], shown: &str) -> Result<Self, StageError> {
        let text = text(bytes, shown)?;
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(b'\t')
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let wrong = |e: csv::Error| StageError::new(wrong_row(text, shown, &e));
        let header = reader.headers().map_err(wrong)?;
        let columns: Vec<String> = header.iter().map(str::to_owned).collect();
        check_header(&columns, shown)?;
        let mut rows = Vec::new();
        let mut lines = Lines::new(text);
        for record in reader.records() {
            let record = record.map_err(wrong)?;
            let line = lines.at(record.position());
            if record.iter().any(|cell| cell.contains(['\n', '\r'])) {
                let message =
                    format!("`{shown}`, line {line}: a quoted cell goes over the line's end");
                return Err(StageError::new(message).hint("is a closing quote missing?"));
            }
            rows.push(Row {
                line,
                cells: record.iter().map(str::to_owned).collect(),
            });
        }
        Ok(Self {
            shown: shown.to_owned(),
            columns,
            rows,
        })
    }
}

fn text<'a>(bytes: &'a [u8], shown: &str) -> Result<&'a str, StageError> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        StageError::new(format!(
            "`{shown}` is not UTF-8 text at byte {}",
            e.valid_up_to()
        ))
        .hint("save the table as UTF-8")
    })?;
    if let Some(position) = text.find('\0') {
        let message = format!("`{shown}` is not text: byte {position} is 0");
        return Err(StageError::new(message).hint("save the table as UTF-8"));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn check_header(columns: &[String], shown: &str) -> Result<(), StageError> {
    if columns.iter().all(String::is_empty) {
        return Err(StageError::new(format!(
            "`{shown}` is empty, expected a header line"
        )));
    }
    if let [only] = columns
        && only.contains([',', ';'])
    {
        let message = format!("`{shown}` is not tab-separated: its header is `{only}`");
        return Err(StageError::new(message).hint("save the table with tabs between columns"));
    }
    let mut seen = BTreeSet::new();
    match columns.iter().find(|column| !seen.insert(column.as_str())) {
        None => Ok(()),
        Some(twice) => Err(StageError::new(format!(
            "`{shown}` has two columns named `{twice}`"
        ))),
    }
}

/// Counts lines as editors do. The reader's own count is that before any empty lines it leaves out.
struct Lines<'a> {
    text: &'a str,
    counted: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            counted: 0,
            line: 1,
        }
    }

    /// The line of a record that begins at or after `position`. Positions must not go back.
    fn at(&mut self, position: Option<&csv::Position>) -> u64 {
        let bytes = self.text.as_bytes();
        let byte = position.and_then(|position| usize::try_from(position.byte()).ok());
        let mut start = byte
            .unwrap_or(self.counted)
            .clamp(self.counted, bytes.len());
        while bytes
            .get(start)
            .is_some_and(|byte| matches!(byte, b'\r' | b'\n'))
        {
            start += 1;
        }
        let ends = bytes[self.counted..start]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        self.counted = start;
        self.line += ends as u64;
        self.line
    }
}

fn wrong_row(text: &str, shown: &str, error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => {
            let line = Lines::new(text).at(pos.as_ref());
            format!("`{shown}`, line {line}: {len} cells, expected {expected_len} as in the header")
        }
        _ => format!("`{shown}` is not a table: {error}"),
    }
}
