//! `training_logs/training.tsv`: the course of a training, one row per evaluation.
//!
//! ClinicaDL 1.6.1 writes rows only for evaluations inside an epoch; we write one for every epoch.

use crate::MapsError;

use super::tsv::{Sheet, float_cell, write};

const EPOCH: &str = "epoch";
const ITERATION: &str = "iteration";
const TIME: &str = "time";
const TRAIN: &str = "_train";
const VALIDATION: &str = "_valid";

/// The course of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingTable {
    metrics: Vec<String>,
    rows: Vec<TrainingRow>,
}

/// One evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingRow {
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// The last batch seen, counted from 0 within the epoch.
    pub iteration: u64,
    /// Seconds since the training of the split began; `None` where runs shall give equal bytes.
    pub time_s: Option<f64>,
    /// Each metric on the training data.
    pub train: Vec<f64>,
    /// Each metric on the validation data.
    pub validation: Vec<f64>,
}

impl TrainingTable {
    /// The course of a training, `metrics` being names in MAPS files with the loss last.
    ///
    /// # Errors
    /// A row with another number of values.
    pub fn try_new(metrics: Vec<String>, rows: Vec<TrainingRow>) -> Result<Self, MapsError> {
        for (row, values) in rows.iter().enumerate() {
            for got in [values.train.len(), values.validation.len()] {
                if got != metrics.len() {
                    return Err(MapsError::Row {
                        row,
                        what: "metrics",
                        expected: metrics.len(),
                        got,
                    });
                }
            }
        }
        Ok(Self { metrics, rows })
    }

    /// The metrics' names.
    pub fn metrics(&self) -> &[String] {
        &self.metrics
    }

    /// In the order of the file.
    pub fn rows(&self) -> &[TrainingRow] {
        &self.rows
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It lacks a column, has a metric for training only, or a cell is no number.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let sheet = Sheet::read(bytes, file)?;
        let [epoch, iteration, time] = [
            sheet.column(EPOCH)?,
            sheet.column(ITERATION)?,
            sheet.column(TIME)?,
        ];
        let metrics: Vec<String> = sheet
            .header
            .iter()
            .filter_map(|name| name.strip_suffix(TRAIN).map(str::to_owned))
            .collect();
        let columns = |suffix: &str| -> Result<Vec<usize>, MapsError> {
            let names = metrics.iter().map(|name| format!("{name}{suffix}"));
            names.map(|name| sheet.column(&name)).collect()
        };
        let (train, validation) = (columns(TRAIN)?, columns(VALIDATION)?);
        let rows = sheet.rows.iter().map(|row| {
            let values = |columns: &[usize]| -> Result<Vec<f64>, MapsError> {
                columns
                    .iter()
                    .map(|&column| sheet.float(row, column))
                    .collect()
            };
            let time_s = sheet.float(row, time)?;
            Ok(TrainingRow {
                epoch: sheet.integer(row, epoch)?,
                iteration: sheet.integer(row, iteration)?,
                time_s: (!time_s.is_nan()).then_some(time_s),
                train: values(&train)?,
                validation: values(&validation)?,
            })
        });
        let rows = rows.collect::<Result<_, MapsError>>()?;
        Ok(Self { metrics, rows })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut header = [EPOCH, ITERATION, TIME].map(str::to_owned).to_vec();
        for suffix in [TRAIN, VALIDATION] {
            header.extend(self.metrics.iter().map(|name| format!("{name}{suffix}")));
        }
        let rows = self.rows.iter().map(|row| {
            let time = row.time_s.map(float_cell).unwrap_or_default();
            let mut cells = vec![row.epoch.to_string(), row.iteration.to_string(), time];
            cells.extend(
                row.train
                    .iter()
                    .chain(&row.validation)
                    .map(|&value| float_cell(value)),
            );
            cells
        });
        write(std::iter::once(header).chain(rows))
    }
}
