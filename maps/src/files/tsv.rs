//! Reading and writing of tables, shared by the files of a MAPS.
//!
//! A table is UTF-8 text with tabs and a header line; a byte order mark, CRLF and quoted cells are
//! accepted, an empty cell is a missing value. What is written has `\n` and no byte order mark.

use crate::MapsError;

use super::python::python_repr;

/// A table in memory, all cells text.
#[derive(Debug)]
pub(super) struct Sheet {
    file: String,
    pub(super) header: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// A row with the line where it starts.
#[derive(Debug)]
pub(super) struct Row {
    line: u64,
    cells: Vec<String>,
}

impl Sheet {
    pub(super) fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let not_text = || MapsError::NotText {
            file: file.to_owned(),
        };
        let text = std::str::from_utf8(bytes).map_err(|_| not_text())?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(b'\t')
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut header: Option<Vec<String>> = None;
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|_| not_text())?;
            let cells: Vec<String> = record.iter().map(str::to_owned).collect();
            let Some(header) = &header else {
                header = Some(cells);
                continue;
            };
            let line = record.position().map_or(0, csv::Position::line);
            if cells.len() != header.len() {
                return Err(MapsError::RaggedRow {
                    file: file.to_owned(),
                    line,
                    expected: header.len(),
                    got: cells.len(),
                });
            }
            rows.push(Row { line, cells });
        }
        Ok(Self {
            header: header.ok_or_else(|| MapsError::NoHeader {
                file: file.to_owned(),
            })?,
            file: file.to_owned(),
            rows,
        })
    }

    /// The index of a column.
    pub(super) fn find(&self, column: &str) -> Option<usize> {
        self.header.iter().position(|name| name == column)
    }

    /// The index of a column that must be there.
    pub(super) fn column(&self, column: &str) -> Result<usize, MapsError> {
        self.find(column).ok_or_else(|| MapsError::MissingColumn {
            file: self.file.clone(),
            column: column.to_owned(),
            found: self.header.clone(),
        })
    }

    pub(super) fn missing_row(&self, row: &'static str) -> MapsError {
        MapsError::MissingRow {
            file: self.file.clone(),
            row,
        }
    }

    pub(super) fn cell<'a>(&self, row: &'a Row, column: usize) -> &'a str {
        &row.cells[column]
    }

    /// A cell that may not be empty.
    pub(super) fn text(&self, row: &Row, column: usize) -> Result<String, MapsError> {
        match self.cell(row, column) {
            "" => Err(self.wrong(row, column, "text")),
            text => Ok(text.to_owned()),
        }
    }

    pub(super) fn integer<T: std::str::FromStr>(
        &self,
        row: &Row,
        column: usize,
    ) -> Result<T, MapsError> {
        let cell = self.cell(row, column);
        cell.parse()
            .map_err(|_| self.wrong(row, column, "an integer"))
    }

    /// A number; an empty cell is NaN, as in Pandas.
    pub(super) fn float(&self, row: &Row, column: usize) -> Result<f64, MapsError> {
        match self.cell(row, column) {
            "" => Ok(f64::NAN),
            cell => cell
                .parse()
                .map_err(|_| self.wrong(row, column, "a number")),
        }
    }

    pub(super) fn wrong(&self, row: &Row, column: usize, expected: &'static str) -> MapsError {
        MapsError::Cell {
            file: self.file.clone(),
            line: row.line,
            column: self.header[column].clone(),
            expected,
            got: self.cell(row, column).to_owned(),
        }
    }
}

/// A table of numbers, whatever its columns.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// The names of the columns.
    pub(crate) header: Vec<String>,
    /// One number for each column; an empty cell is NaN.
    pub(crate) rows: Vec<Vec<f64>>,
}

impl Numbers {
    pub(crate) fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let sheet = Sheet::read(bytes, file)?;
        let columns = 0..sheet.header.len();
        let rows = sheet.rows.iter();
        let rows = rows.map(|row| columns.clone().map(|c| sheet.float(row, c)).collect());
        Ok(Self {
            rows: rows.collect::<Result<_, MapsError>>()?,
            header: sheet.header,
        })
    }

    /// The numbers of a column, if it is there.
    pub(crate) fn column(&self, name: &str) -> Option<Vec<f64>> {
        let place = self.header.iter().position(|column| column == name)?;
        Some(self.rows.iter().map(|row| row[place]).collect())
    }
}

/// The text of a number's cell: Python's spelling, empty for NaN.
pub(super) fn float_cell(value: f64) -> String {
    if value.is_nan() {
        String::new()
    } else {
        python_repr(value)
    }
}

/// Writes rows of cells, the header first.
pub(super) fn write<R, C>(rows: R) -> Vec<u8>
where
    R: IntoIterator<Item = C>,
    C: IntoIterator<Item = String>,
{
    let mut writer = csv::WriterBuilder::new()
        .delimiter(b'\t')
        .terminator(csv::Terminator::Any(b'\n'))
        .flexible(true)
        .from_writer(Vec::new());
    for row in rows {
        writer
            .write_record(row)
            .expect("memory takes every write, and rows may differ in length");
    }
    writer.into_inner().expect("memory takes every write")
}
