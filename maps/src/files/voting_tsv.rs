//! `voting.tsv`: how good each part of images is on the validation set, and how much it counts when parts
//! vote for a class of their image. A file of this program.

use crate::MapsError;
use crate::layout::LEVELS;

use super::prediction_tsv::part_column;
use super::tsv::{Sheet, float_cell, write};

const IMAGES: &str = "n_images";
const ACCURACY: &str = "accuracy";
const BALANCED_ACCURACY: &str = "balanced_accuracy";
const WEIGHT: &str = "weight";

/// The parts of images, and what they count.
#[derive(Debug, Clone, PartialEq)]
pub struct VotingTable {
    /// The kind of parts, one of [`LEVELS`].
    pub level: String,
    /// In the order of the file.
    pub rows: Vec<VotingRow>,
}

/// One part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VotingRow {
    /// Its number within the image.
    pub part: usize,
    /// Validation images that have it.
    pub images: usize,
    /// Accuracy on them.
    pub accuracy: f64,
    /// Balanced accuracy on them.
    pub balanced_accuracy: f64,
    /// Its share of the vote; all of them add up to 1.
    pub weight: f64,
}

impl VotingTable {
    /// Reads the file.
    ///
    /// # Errors
    /// It is no table with these columns, a cell is no number, or a weight is below 0.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let sheet = Sheet::read(bytes, file)?;
        let mut parts = LEVELS.iter().skip(1);
        let has = |level: &&&str| sheet.find(part_column(level)).is_some();
        let level = parts.find(has).copied().unwrap_or("patch");
        let [part, images, accuracy, balanced, weight] = [
            sheet.column(part_column(level))?,
            sheet.column(IMAGES)?,
            sheet.column(ACCURACY)?,
            sheet.column(BALANCED_ACCURACY)?,
            sheet.column(WEIGHT)?,
        ];
        let rows = sheet.rows.iter().map(|row| {
            let number = |column| match sheet.float(row, column)? {
                number if number >= 0.0 && number.is_finite() => Ok(number),
                _ => Err(sheet.wrong(row, column, "a number from 0")),
            };
            Ok(VotingRow {
                part: sheet.integer(row, part)?,
                images: sheet.integer(row, images)?,
                accuracy: number(accuracy)?,
                balanced_accuracy: number(balanced)?,
                weight: number(weight)?,
            })
        });
        Ok(Self {
            level: level.to_owned(),
            rows: rows.collect::<Result<_, MapsError>>()?,
        })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let part = part_column(&self.level);
        let header = [part, IMAGES, ACCURACY, BALANCED_ACCURACY, WEIGHT].map(str::to_owned);
        let rows = self.rows.iter().map(|row| {
            [
                row.part.to_string(),
                row.images.to_string(),
                float_cell(row.accuracy),
                float_cell(row.balanced_accuracy),
                float_cell(row.weight),
            ]
        });
        write(std::iter::once(header).chain(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_back() {
        let row = |part, weight| VotingRow {
            part,
            images: 8,
            accuracy: 0.75,
            balanced_accuracy: 0.7,
            weight,
        };
        let table = VotingTable {
            level: "roi".to_owned(),
            rows: vec![row(0, 1.0 / 3.0), row(2, 2.0 / 3.0)],
        };
        let bytes = table.to_bytes();
        assert!(
            bytes.starts_with(b"roi_id\tn_images\taccuracy\tbalanced_accuracy\tweight\n0\t8\t")
        );
        assert_eq!(VotingTable::read(&bytes, "v").unwrap(), table);
    }

    #[test]
    fn what_is_no_weight_is_refused_with_its_place() {
        let text = "patch_id\tn_images\taccuracy\tbalanced_accuracy\tweight\n0\t8\t0.5\t0.5\t-1\n";
        let error = VotingTable::read(text.as_bytes(), "v.tsv").unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("v.tsv") && message.contains("weight"),
            "{message}"
        );
        assert!(VotingTable::read(b"image_id\n0\n", "v.tsv").is_err());
    }
}
