//! `<group>_image_level_prediction.tsv` of a classification: one row per image.

use crate::MapsError;

use super::tsv::{Sheet, float_cell, write};

const PARTICIPANT: &str = "participant_id";
const SESSION: &str = "session_id";
const IMAGE: &str = "image_id";
const TRUE_LABEL: &str = "true_label";
const PREDICTED_LABEL: &str = "predicted_label";
const PROBABILITY: &str = "proba";

/// What stands for a true label that was not used.
const NO_LABEL: i64 = -1;

/// Predictions of a data group.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionTable {
    n_classes: usize,
    rows: Vec<PredictionRow>,
}

/// The prediction of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionRow {
    /// The participant, `sub-…`.
    pub participant: String,
    /// The session, `ses-…`.
    pub session: String,
    /// The number of the image within the session: 0, whole images having no parts.
    pub image_id: u32,
    /// The code of the true label; `None` when labels were not used.
    pub true_label: Option<i64>,
    /// The code of the first label with the greatest logit.
    pub predicted_label: i64,
    /// The probability of each code; written as float64 like Pandas does.
    pub probabilities: Vec<f32>,
}

impl PredictionTable {
    /// Predictions of `n_classes` classes.
    ///
    /// # Errors
    /// A row with another number of probabilities.
    pub fn try_new(n_classes: usize, rows: Vec<PredictionRow>) -> Result<Self, MapsError> {
        for (row, prediction) in rows.iter().enumerate() {
            if prediction.probabilities.len() != n_classes {
                return Err(MapsError::Row {
                    row,
                    what: "probabilities",
                    expected: n_classes,
                    got: prediction.probabilities.len(),
                });
            }
        }
        Ok(Self { n_classes, rows })
    }

    /// The number of classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// In the order of the file.
    pub fn rows(&self) -> &[PredictionRow] {
        &self.rows
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It is no table with these columns, `proba0` included, or a cell is not what its column holds.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let sheet = Sheet::read(bytes, file)?;
        let [participant, session, image, true_label, predicted_label] = [
            sheet.column(PARTICIPANT)?,
            sheet.column(SESSION)?,
            sheet.column(IMAGE)?,
            sheet.column(TRUE_LABEL)?,
            sheet.column(PREDICTED_LABEL)?,
        ];
        let mut probabilities = vec![sheet.column(&probability_column(0))?];
        while let Some(column) = sheet.find(&probability_column(probabilities.len())) {
            probabilities.push(column);
        }
        let rows = sheet.rows.iter().map(|row| {
            let code: i64 = sheet.integer(row, true_label)?;
            Ok(PredictionRow {
                participant: sheet.text(row, participant)?,
                session: sheet.text(row, session)?,
                image_id: sheet.integer(row, image)?,
                true_label: (code != NO_LABEL).then_some(code),
                predicted_label: sheet.integer(row, predicted_label)?,
                probabilities: probabilities
                    .iter()
                    .map(|&column| sheet.float(row, column).map(narrow))
                    .collect::<Result<_, _>>()?,
            })
        });
        Ok(Self {
            n_classes: probabilities.len(),
            rows: rows.collect::<Result<_, MapsError>>()?,
        })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let columns = [PARTICIPANT, SESSION, IMAGE, TRUE_LABEL, PREDICTED_LABEL];
        let mut header = columns.map(str::to_owned).to_vec();
        header.extend((0..self.n_classes).map(probability_column));
        let rows = self.rows.iter().map(|row| {
            let mut cells = vec![
                row.participant.clone(),
                row.session.clone(),
                row.image_id.to_string(),
                row.true_label.unwrap_or(NO_LABEL).to_string(),
                row.predicted_label.to_string(),
            ];
            cells.extend(row.probabilities.iter().map(|&p| float_cell(p.into())));
            cells
        });
        write(std::iter::once(header).chain(rows))
    }
}

fn probability_column(code: usize) -> String {
    format!("{PROBABILITY}{code}")
}

/// Back to the float32 that was printed as float64.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the number was a float32 before it was printed"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}
