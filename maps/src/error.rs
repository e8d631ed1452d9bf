//! What can be wrong with a MAPS folder or with what is to become one.

use std::io;
use std::path::PathBuf;

use engine::StageError;

use crate::weights::WeightsError;

/// Why a MAPS or one of its files cannot be read or assembled.
///
/// `file` is how the file was named by whoever passed its bytes: a path, or a path in an artifact.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapsError {
    /// A file or folder cannot be read.
    #[error("failed to {act} `{}`", path.display())]
    Io {
        /// What was being done, such as `read`.
        act: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A text file that is not UTF-8.
    #[error("`{file}` is not UTF-8 text")]
    NotText {
        /// The file.
        file: String,
    },
    /// A file without a single line.
    #[error("`{file}` is empty, expected a header line")]
    NoHeader {
        /// The file.
        file: String,
    },
    /// A column that the file must have.
    #[error("`{file}` has no column `{column}`, only {}", list(found))]
    MissingColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The columns it has.
        found: Vec<String>,
    },
    /// A row of another length than the header.
    #[error("`{file}`, line {line}: expected {expected} cells, got {got}")]
    RaggedRow {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: u64,
        /// Cells of the header.
        expected: usize,
        /// Cells of the row.
        got: usize,
    },
    /// A row that the file must have.
    #[error("`{file}` has no row `{row}`")]
    MissingRow {
        /// The file.
        file: String,
        /// The row's first cell.
        row: &'static str,
    },
    /// A cell that is not what its column holds.
    #[error("`{file}`, line {line}, column `{column}`: expected {expected}, got `{got}`")]
    Cell {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: u64,
        /// The column.
        column: String,
        /// What the column holds.
        expected: &'static str,
        /// What is there.
        got: String,
    },
    /// A table whose rows do not have the columns that it declares.
    #[error("row {row} has {got} {what}, expected {expected}")]
    Row {
        /// Number of the row, counted from 0.
        row: usize,
        /// What is counted.
        what: &'static str,
        /// How many the table declares.
        expected: usize,
        /// How many the row has.
        got: usize,
    },
    /// A JSON file that does not parse.
    #[error("`{file}` is not valid JSON: {reason}")]
    Json {
        /// The file.
        file: String,
        /// What the parser says, with line and column.
        reason: String,
        /// The line, counted from 1.
        line: u64,
        /// The character of the line, counted from 1.
        column: u64,
    },
    /// A key that the file must have.
    #[error("`{file}` has no key `{key}`")]
    MissingKey {
        /// The file.
        file: String,
        /// The key.
        key: String,
    },
    /// A value of the wrong type.
    #[error("`{file}`, key `{key}`: expected {expected}, got `{got}`")]
    Value {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// What is needed.
        expected: &'static str,
        /// What is there, as JSON.
        got: String,
    },
    /// Weights that do not load.
    #[error("failed to load weights `{file}`")]
    Weights {
        /// The file.
        file: String,
        /// Why not.
        source: WeightsError,
    },
    /// A folder without `maps.json`.
    #[error("`{}` is not a MAPS folder: it has no `maps.json`", .0.display())]
    NotAMaps(PathBuf),
    /// A MAPS of ClinicaDL 2.0, which has another layout.
    #[error("`{}` is a MAPS of ClinicaDL 2.0, expected one of this program or of ClinicaDL 1.6", .0.display())]
    Version2(PathBuf),
    /// A certificate that does not fit its own digest.
    #[error("`{file}` is not what was written: its digest is {got}, expected {expected}")]
    Digest {
        /// The file.
        file: String,
        /// The digest that it holds.
        expected: String,
        /// That of its content.
        got: String,
    },
    /// Two artifacts with different content for the same file of the MAPS.
    #[error("`{first}` and `{second}` both write `{path}`, with different content")]
    Conflict {
        /// The file, relative to the MAPS.
        path: String,
        /// Stage and split of one.
        first: String,
        /// Stage and split of the other.
        second: String,
    },
    /// Models that cannot share one `maps.json`.
    #[error("`{first}` and `{second}` differ in `{key}` of `maps.json`: `{left}` and `{right}`")]
    Disagreement {
        /// The key.
        key: String,
        /// Stage and split of one.
        first: String,
        /// Its value, as JSON.
        left: String,
        /// Stage and split of the other.
        second: String,
        /// Its value, as JSON.
        right: String,
    },
}

impl MapsError {
    /// What the user can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Weights { source, .. } => source.hints(),
            Self::Conflict { .. } => vec![
                "give the two stages different data groups or names, or publish them to \
                 different folders"
                    .to_owned(),
            ],
            Self::Version2(_) => {
                vec!["`clinicadl maps import` makes one of this program of it".to_owned()]
            }
            Self::Disagreement { .. } => vec![
                "one MAPS describes one training: publish the two trainings to different folders"
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }

    /// Where in its file something is wrong: the line, and in it the column of a table by name, or a
    /// character by number.
    pub fn place(&self) -> (Option<u64>, Option<String>) {
        match self {
            Self::RaggedRow { line, .. } => (Some(*line), None),
            Self::Cell { line, column, .. } => (Some(*line), Some(column.clone())),
            Self::Json { line, column, .. } => (Some(*line), Some(column.to_string())),
            _ => (None, None),
        }
    }

    /// The message without the file and the place in it.
    pub fn fact(&self) -> String {
        match self {
            Self::Io { act, source, .. } => format!("failed to {act}: {source}"),
            Self::NotText { .. } => "is not UTF-8 text".to_owned(),
            Self::NoHeader { .. } => "is empty, expected a header line".to_owned(),
            Self::MissingColumn { column, found, .. } => {
                format!("has no column `{column}`, only {}", list(found))
            }
            Self::RaggedRow { expected, got, .. } => {
                format!("expected {expected} cells, got {got}")
            }
            Self::MissingRow { row, .. } => format!("has no row `{row}`"),
            Self::Cell { expected, got, .. } => format!("expected {expected}, got `{got}`"),
            Self::Json { reason, .. } => {
                let reason = reason.split(" at line ").next().unwrap_or_default();
                format!("is not valid JSON: {reason}")
            }
            Self::MissingKey { key, .. } => format!("has no key `{key}`"),
            Self::Value {
                key, expected, got, ..
            } => format!("key `{key}`: expected {expected}, got `{got}`"),
            Self::Weights { source, .. } => format!("failed to load weights: {source}"),
            Self::Digest { expected, got, .. } => {
                format!("is not what was written: its digest is {got}, expected {expected}")
            }
            _ => self.to_string(),
        }
    }

    /// The key of a JSON file that something is wrong with.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Value { key, .. } => Some(key),
            _ => None,
        }
    }

    /// The message with what caused it.
    pub fn full_message(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("{self}: {source}"),
            Self::Weights { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }
}

impl From<MapsError> for StageError {
    fn from(error: MapsError) -> Self {
        if let MapsError::Io { act, path, source } = &error {
            return Self::io(act, path, source);
        }
        let stage_error = Self::new(error.full_message());
        error.hints().into_iter().fold(stage_error, Self::hint)
    }
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
