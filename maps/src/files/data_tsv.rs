//! `groups/…/data.tsv`: the sessions of a data group, with their labels.
//!
//! ClinicaDL 1.6.1 writes an unnamed index column first for train and validation; it is read over
//! and not written.

use crate::MapsError;

use super::tsv::{Sheet, write};

const PARTICIPANT: &str = "participant_id";
const SESSION: &str = "session_id";
const COHORT: &str = "cohort";

/// The cohort of a study that has only one.
pub const SINGLE_COHORT: &str = "single";

/// The sessions of a data group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataTable {
    /// The column with the labels, such as `diagnosis`; a group without labels has none.
    pub label: Option<String>,
    /// In the order of the file.
    pub rows: Vec<DataRow>,
}

/// A session of a data group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRow {
    /// The participant, `sub-…`.
    pub participant: String,
    /// The session, `ses-…`.
    pub session: String,
    /// The cohort, [`SINGLE_COHORT`] unless there are several.
    pub cohort: String,
    /// The label as text; `None` where it is missing or the group has none.
    pub label: Option<String>,
}

impl DataTable {
    /// Reads the file. The label is the first column that is none of the others.
    ///
    /// # Errors
    /// It is no table with these columns, or a cell other than a label is empty.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let sheet = Sheet::read(bytes, file)?;
        let [participant, session, cohort] = [
            sheet.column(PARTICIPANT)?,
            sheet.column(SESSION)?,
            sheet.column(COHORT)?,
        ];
        let label = (0..sheet.header.len()).find(|column| {
            ![participant, session, cohort].contains(column) && !sheet.header[*column].is_empty()
        });
        let rows = sheet.rows.iter().map(|row| {
            let label = label.map(|label| sheet.cell(row, label).to_owned());
            Ok(DataRow {
                participant: sheet.text(row, participant)?,
                session: sheet.text(row, session)?,
                cohort: sheet.text(row, cohort)?,
                label: label.filter(|label| !label.is_empty()),
            })
        });
        Ok(Self {
            label: label.map(|column| sheet.header[column].clone()),
            rows: rows.collect::<Result<_, MapsError>>()?,
        })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut header = [PARTICIPANT, SESSION, COHORT].map(str::to_owned).to_vec();
        header.extend(self.label.clone());
        let rows = self.rows.iter().map(|row| {
            let mut cells = vec![
                row.participant.clone(),
                row.session.clone(),
                row.cohort.clone(),
            ];
            if self.label.is_some() {
                cells.push(row.label.clone().unwrap_or_default());
            }
            cells
        });
        write(std::iter::once(header).chain(rows))
    }
}
