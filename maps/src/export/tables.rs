//! Tables: which are about participants, and which of their columns may be shared.

use std::collections::BTreeSet;

use engine::manifest::Redaction;
use engine::provenance::without_places;

use super::Names;
use crate::MapsError;

const PARTICIPANT: &str = "participant_id";

/// Columns without which a table cannot be read.
const STRUCTURE: [&str; 10] = [
    PARTICIPANT,
    "session_id",
    "cohort",
    "origin",
    "leakage",
    "image_id",
    "patch_id",
    "roi_id",
    "slice_id",
    "true_label",
];
/// Names that begin so are those of columns with predictions.
const PREDICTED: [&str; 2] = ["predicted_label", "proba"];

/// A table about participants.
pub(super) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    delimiter: u8,
}

impl Table {
    /// Reads a table; `None` if the file is none, or not about participants.
    pub(super) fn read(path: &str, text: &str) -> Result<Option<Self>, MapsError> {
        let delimiter = match path.rsplit('.').next() {
            Some("tsv") => b'\t',
            Some("csv") => b',',
            _ => return Ok(None),
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut rows: Vec<Vec<String>> = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|_| MapsError::NotText {
                file: path.to_owned(),
            })?;
            rows.push(record.iter().map(str::to_owned).collect());
        }
        if rows.is_empty() || !rows[0].iter().any(|name| name == PARTICIPANT) {
            return Ok(None);
        }
        let header = rows.remove(0);
        for (number, row) in rows.iter().enumerate() {
            if row.len() != header.len() {
                return Err(MapsError::RaggedRow {
                    file: path.to_owned(),
                    line: number as u64 + 2,
                    expected: header.len(),
                    got: row.len(),
                });
            }
        }
        Ok(Some(Self {
            header,
            rows,
            delimiter,
        }))
    }

    /// The participants, row by row.
    pub(super) fn participants(&self) -> impl Iterator<Item = &str> {
        let column = self.header.iter().position(|name| name == PARTICIPANT);
        self.rows
            .iter()
            .filter_map(move |row| row.get(column?).map(String::as_str))
            .filter(|id| !id.is_empty())
    }

    /// Leaves out the columns that may not be shared, and adds their names to `left_out`.
    pub(super) fn keep_columns(
        &mut self,
        policy: &Redaction,
        label: Option<&str>,
        left_out: &mut BTreeSet<String>,
    ) {
        let keep: Vec<bool> = self
            .header
            .iter()
            .map(|name| {
                STRUCTURE.contains(&name.as_str())
                    || PREDICTED.iter().any(|start| name.starts_with(start))
                    || label == Some(name)
                    || policy.columns.contains(name)
            })
            .collect();
        // The unnamed column is the row numbers of Pandas: nothing that anybody would miss.
        let out = self.header.iter().zip(&keep).filter(|(_, keep)| !**keep);
        left_out.extend(
            out.map(|(name, _)| name.clone())
                .filter(|name| !name.is_empty()),
        );
        for row in std::iter::once(&mut self.header).chain(&mut self.rows) {
            let mut keep = keep.iter();
            row.retain(|_| *keep.next().unwrap_or(&true));
        }
    }

    /// Replaces IDs and absolute paths in every cell, and orders the rows by the new IDs: the order of
    /// rows would tell that of the old ones.
    pub(super) fn redact_cells(&mut self, names: &Names) {
        for cell in self.rows.iter_mut().flatten() {
            let redacted = names.replace(cell);
            let redacted = without_places(&redacted);
            if *redacted != **cell {
                *cell = redacted.into_owned();
            }
        }
        if names.len() > 0 {
            let column = self.header.iter().position(|name| name == PARTICIPANT);
            let id = |row: &Vec<String>| column.and_then(|column| row.get(column).cloned());
            self.rows.sort_by_cached_key(id);
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut writer = csv::WriterBuilder::new()
            .delimiter(self.delimiter)
            .terminator(csv::Terminator::Any(b'\n'))
            .from_writer(Vec::new());
        for row in std::iter::once(&self.header).chain(&self.rows) {
            writer
                .write_record(row)
                .expect("memory takes every write, and rows have the length of the header");
        }
        writer.into_inner().expect("memory takes every write")
    }
}
