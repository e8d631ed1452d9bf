//! `<group>_<level>_level_prediction.tsv` of a classification: one row per image, or per part of one.

use crate::MapsError;

use super::tsv::{Sheet, float_cell, write};
use crate::layout::{IMAGE_LEVEL, LEAKAGE, LEVELS};

const PARTICIPANT: &str = "participant_id";
const SESSION: &str = "session_id";
const TRUE_LABEL: &str = "true_label";
const PREDICTED_LABEL: &str = "predicted_label";
const PROBABILITY: &str = "proba";

/// What stands for a true label that was not used.
const NO_LABEL: i64 = -1;

/// Predictions of a data group.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionTable {
    n_classes: usize,
    level: String,
    leakage: Option<String>,
    rows: Vec<PredictionRow>,
}

/// The prediction of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionRow {
    /// The participant, `sub-…`.
    pub participant: String,
    /// The session, `ses-…`.
    pub session: String,
    /// The number of the part within the image: 0 for a whole image.
    pub image_id: u32,
    /// The code of the true label; `None` when labels were not used.
    pub true_label: Option<i64>,
    /// The code of the first label with the greatest logit.
    pub predicted_label: i64,
    /// The probability of each code.
    pub probabilities: Vec<f64>,
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
        Ok(Self {
            n_classes,
            level: IMAGE_LEVEL.to_owned(),
            leakage: None,
            rows,
        })
    }

    /// The same predictions, of parts of images: one of [`LEVELS`].
    #[must_use]
    pub fn of_level(self, level: &str) -> Self {
        Self {
            level: level.to_owned(),
            ..self
        }
    }

    /// The same predictions, marked in every row as made of data that leak.
    #[must_use]
    pub fn marked(self, leakage: Option<&str>) -> Self {
        Self {
            leakage: leakage.map(str::to_owned),
            ..self
        }
    }

    /// What is predicted, one of [`LEVELS`].
    pub fn level(&self) -> &str {
        &self.level
    }

    /// How the data leak, where that was allowed.
    pub fn leakage(&self) -> Option<&str> {
        self.leakage.as_deref()
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
        let has = |level: &&&str| sheet.find(&format!("{level}_id")).is_some();
        let level = LEVELS.iter().find(has).copied().unwrap_or(IMAGE_LEVEL);
        let [participant, session, image, true_label, predicted_label] = [
            sheet.column(PARTICIPANT)?,
            sheet.column(SESSION)?,
            sheet.column(part_column(level))?,
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
                    .map(|&column| sheet.float(row, column))
                    .collect::<Result<_, _>>()?,
            })
        });
        let leakage = sheet.find(LEAKAGE).zip(sheet.rows.first());
        let leakage = leakage.map(|(column, row)| sheet.cell(row, column).to_owned());
        Ok(Self {
            n_classes: probabilities.len(),
            level: level.to_owned(),
            leakage,
            rows: rows.collect::<Result<_, MapsError>>()?,
        })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let part = part_column(&self.level);
        let columns = [PARTICIPANT, SESSION, part, TRUE_LABEL, PREDICTED_LABEL];
        let mut header = columns.map(str::to_owned).to_vec();
        header.extend((0..self.n_classes).map(probability_column));
        header.extend(self.leakage.iter().map(|_| LEAKAGE.to_owned()));
        let rows = self.rows.iter().map(|row| {
            let mut cells = vec![
                row.participant.clone(),
                row.session.clone(),
                row.image_id.to_string(),
                row.true_label.unwrap_or(NO_LABEL).to_string(),
                row.predicted_label.to_string(),
            ];
            cells.extend(row.probabilities.iter().map(|&p| float_cell(p)));
            cells.extend(self.leakage.clone());
            cells
        });
        write(std::iter::once(header).chain(rows))
    }
}

/// The column of the number of a part.
pub(super) fn part_column(level: &str) -> &'static str {
    match level {
        "patch" => "patch_id",
        "roi" => "roi_id",
        "slice" => "slice_id",
        _ => "image_id",
    }
}

fn probability_column(code: usize) -> String {
    format!("{PROBABILITY}{code}")
}
