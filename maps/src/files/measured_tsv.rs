//! `<group>_<level>_level_prediction.tsv` of a regression or a reconstruction: numbers for each image, or
//! for each part of one.

use super::prediction_tsv::part_column;
use super::tsv::{Sheet, float_cell, write};
use crate::MapsError;
use crate::layout::{IMAGE_LEVEL, LEAKAGE, LEVELS};

const PARTICIPANT: &str = "participant_id";
const SESSION: &str = "session_id";

/// The columns of a regression; the true number is -1 where labels were not used.
pub const REGRESSION_COLUMNS: [&str; 2] = ["true_label", "predicted_label"];
/// The columns of a reconstruction.
pub const RECONSTRUCTION_COLUMNS: [&str; 6] = ["MAE", "RMSE", "PSNR", "SSIM", "MS_SSIM", "LNCC"];
/// Those of them that tables of ClinicaDL 1.6 lack: their values are NaN then.
const ADDED: [&str; 2] = ["MS_SSIM", "LNCC"];

/// Who a prediction is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The participant, `sub-…`.
    pub participant: String,
    /// The session, `ses-…`.
    pub session: String,
    /// The number of the part within the image: 0 for a whole image.
    pub image_id: u32,
}

/// Numbers about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredRow {
    /// Whose they are.
    pub identity: Identity,
    /// One for each column.
    pub values: Vec<f64>,
}

/// Numbers about the images of a data group.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredTable {
    /// [`REGRESSION_COLUMNS`] or [`RECONSTRUCTION_COLUMNS`].
    pub columns: &'static [&'static str],
    /// What is predicted, one of [`LEVELS`].
    pub level: String,
    /// How the data leak, where that was allowed.
    pub leakage: Option<String>,
    /// In the order of the file.
    pub rows: Vec<MeasuredRow>,
}

impl MeasuredTable {
    /// Reads the file.
    ///
    /// # Errors
    /// It is no table with these columns, or a cell is not what its column holds.
    pub fn read(
        bytes: &[u8],
        file: &str,
        columns: &'static [&'static str],
    ) -> Result<Self, MapsError> {
        let sheet = Sheet::read(bytes, file)?;
        let has = |level: &&&str| sheet.find(part_column(level)).is_some();
        let level = LEVELS.iter().find(has).copied().unwrap_or(IMAGE_LEVEL);
        let [participant, session, image] = [
            sheet.column(PARTICIPANT)?,
            sheet.column(SESSION)?,
            sheet.column(part_column(level))?,
        ];
        let places = columns
            .iter()
            .map(|name| match sheet.find(name) {
                None if ADDED.contains(name) => Ok(None),
                _ => sheet.column(name).map(Some),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let rows = sheet.rows.iter().map(|row| {
            Ok(MeasuredRow {
                identity: Identity {
                    participant: sheet.text(row, participant)?,
                    session: sheet.text(row, session)?,
                    image_id: sheet.integer(row, image)?,
                },
                values: places
                    .iter()
                    .map(|column| column.map_or(Ok(f64::NAN), |column| sheet.float(row, column)))
                    .collect::<Result<_, _>>()?,
            })
        });
        let rows = rows.collect::<Result<_, MapsError>>()?;
        let leakage = sheet.find(LEAKAGE).zip(sheet.rows.first());
        Ok(Self {
            columns,
            level: level.to_owned(),
            leakage: leakage.map(|(column, row)| sheet.cell(row, column).to_owned()),
            rows,
        })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut header = vec![PARTICIPANT, SESSION, part_column(&self.level)];
        header.extend(self.columns);
        header.extend(self.leakage.iter().map(|_| LEAKAGE));
        let header = header.into_iter().map(str::to_owned).collect();
        let rows = self.rows.iter().map(|row| {
            let Identity {
                participant,
                session,
                image_id,
            } = &row.identity;
            let mut cells = vec![participant.clone(), session.clone(), image_id.to_string()];
            cells.extend(row.values.iter().map(|&value| float_cell(value)));
            cells.extend(self.leakage.clone());
            cells
        });
        write(std::iter::once(header).chain(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_back() {
        let row = |image_id, values: [f64; 2]| MeasuredRow {
            identity: Identity {
                participant: "sub-1".to_owned(),
                session: "ses-1".to_owned(),
                image_id,
            },
            values: values.to_vec(),
        };
        let table = MeasuredTable {
            columns: &REGRESSION_COLUMNS,
            level: "patch".to_owned(),
            leakage: Some("why".to_owned()),
            rows: vec![row(0, [70.0, 68.25]), row(1, [-1.0, 0.1])],
        };
        let bytes = table.to_bytes();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let head = "participant_id\tsession_id\tpatch_id\ttrue_label\tpredicted_label\tleakage\n";
        assert!(text.starts_with(head), "{text}");
        assert_eq!(
            MeasuredTable::read(&bytes, "t", &REGRESSION_COLUMNS).unwrap(),
            table
        );
        let error = MeasuredTable::read(&bytes, "t", &RECONSTRUCTION_COLUMNS).unwrap_err();
        assert!(error.to_string().contains("MAE"), "{error}");
    }

    #[test]
    fn a_table_of_clinicadl_has_two_columns_less() {
        let text = "participant_id\tsession_id\timage_id\tMAE\tRMSE\tPSNR\tSSIM\n\
                    sub-1\tses-1\t0\t1.0\t2.0\t3.0\t0.5\n";
        let table = MeasuredTable::read(text.as_bytes(), "t", &RECONSTRUCTION_COLUMNS).unwrap();
        assert_eq!(table.rows[0].values[..4], [1.0, 2.0, 3.0, 0.5]);
        assert!(table.rows[0].values[4..].iter().all(|value| value.is_nan()));
    }
}
